//! Catches what panics say: message, place and backtrace, without printing.
//!
//! The hook keeps quiet only for the thread that runs an item and only while it does. Panics of
//! other threads that a task started go to the hook that was there before. A panic may turn out to be the process's end,
//! so what it says is also written where the parent finds it then.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::handshake::PanicReport;
use crate::payload::message_of;
use crate::transport::last_words::LastWords;

thread_local! {
    static RUNS_AN_ITEM: Cell<bool> = const { Cell::new(false) };
    /// Whether it said something since [`forget`].
    static HAS_SAID: Cell<bool> = const { Cell::new(false) };
    /// What this thread said in its last panics, two at the most.
    static SAID: RefCell<Vec<PanicReport>> = const { RefCell::new(Vec::new()) };
}

/// What the language says before it aborts, because a panic came to where none may pass. It is no panic of its own.
const IN_DESTRUCTOR: &str = "panic in a destructor during cleanup";
const AT_BORDER: &str = "panic in a function that cannot unwind";

/// Installs the hook. Once per process, before the first item.
pub(crate) fn install_hook(words: LastWords) {
    let words = Mutex::new(words);
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = message_of(info.payload());
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let aborts = message == IN_DESTRUCTOR || message == AT_BORDER;
        let is_ours = RUNS_AN_ITEM.get();
        // A panic of another thread concerns the item only if it ends the process. One of the item's own may, too, without a word:
        // where it would have to unwind through what cannot be unwound.
        if is_ours || aborts || cfg!(panic = "abort") {
            // If two threads panic at once, one speaks for both.
            if let Ok(words) = words.try_lock() {
                match if aborts { what_ends(&message) } else { None } {
                    Some((message, location)) => words.say(&message, &location),
                    None => words.say(&message, &location),
                }
            }
        }
        if !aborts {
            let backtrace = if is_ours { Backtrace::capture() } else { Backtrace::disabled() };
            let is_captured = backtrace.status() == BacktraceStatus::Captured;
            let backtrace = is_captured.then(|| backtrace.to_string());
            remember(PanicReport { message, location, backtrace });
        }
        if !is_ours {
            previous(info);
        }
    }));
}

fn remember(report: PanicReport) {
    // A thread that has put its variables away has nobody left to tell.
    let _ = SAID.try_with(|said| {
        let mut said = said.borrow_mut();
        if said.len() == 2 {
            said.remove(0);
        }
        said.push(report);
        HAS_SAID.set(true);
    });
}

/// The panic because of which the language says that word: message and place.
fn what_ends(word: &str) -> Option<(String, String)> {
    let said = SAID.try_with(|said| said.borrow().clone()).ok()?;
    let last = said.last()?;
    let message = match &said[..] {
        [first, last] if word == IN_DESTRUCTOR => {
            let PanicReport { message: earlier, location, .. } = first;
            format!("{} ({word}; the panic before it, at {location}: {earlier})", last.message)
        }
        _ => last.message.clone(),
    };
    Some((message, last.location.clone()))
}

/// Forgets what was said: what an earlier item caught itself says nothing about the next one.
#[inline]
pub(crate) fn forget() {
    if HAS_SAID.replace(false) {
        SAID.take();
    }
}

/// Runs items, one after another; a panic comes back as its description. One guard for all of them costs less than one
/// for each.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, PanicReport> {
    forget();
    RUNS_AN_ITEM.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(code));
    RUNS_AN_ITEM.set(false);
    outcome.map_err(|payload| {
        let message = message_of(&*payload);
        let told = SAID.take().pop().filter(|report| report.message == message);
        let report = told.unwrap_or_else(|| PanicReport {
            // `resume_unwind`, or a task that replaced the hook.
            message,
            location: "an unknown place".to_owned(),
            backtrace: None,
        });
        // A payload may panic when it is dropped, and then so may the payload of that.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        report
    })
}
