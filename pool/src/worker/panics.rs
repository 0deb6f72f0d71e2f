//! Catches what panics say: message, place and backtrace, without printing.
//!
//! The hook keeps quiet only for the thread that runs an item and only while it does. Panics of
//! other threads that a task started go to the hook that was there before.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use crate::handshake::PanicReport;
use crate::payload::message_of;

thread_local! {
    static RUNS_AN_ITEM: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

/// Installs the hook. Once per process, before the first item.
pub(crate) fn install_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !RUNS_AN_ITEM.get() {
            return previous(info);
        }
        let report = describe(info);
        LAST.with(|last| {
            // A panic while the last one is described has nowhere to go.
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = Some(report);
            }
        });
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> PanicReport {
    let backtrace = Backtrace::capture();
    PanicReport {
        message: message_of(info.payload()),
        location: info.location().map(ToString::to_string).unwrap_or_default(),
        backtrace: (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string()),
    }
}

/// Runs user code; a panic comes back as its description.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, PanicReport> {
    // What an earlier item caught itself says nothing about this one.
    LAST.take();
    RUNS_AN_ITEM.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(code));
    RUNS_AN_ITEM.set(false);
    outcome.map_err(|payload| {
        let message = message_of(&*payload);
        let told = LAST.take().filter(|report| report.message == message);
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
