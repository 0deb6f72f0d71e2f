//! Dispositions and masks of signals, in workers and where they are made.

use std::mem::MaybeUninit;
use std::ptr;

/// Sets what Rust's runtime sets before `main`, leaves Ctrl-C to the program that owns the pool, and sees to it that
/// SIGTERM ends the process, whatever that program does about its own. Who uses the terminal is not stopped for it.
pub(crate) fn set_up_worker() {
    ignore(libc::SIGPIPE);
    ignore(libc::SIGINT);
    ignore(libc::SIGTTIN);
    ignore(libc::SIGTTOU);
    // SAFETY: the default action installs no code.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_DFL) };
    set_mask(&empty());
}

/// Sets what the standard library sets before it executes a program: no handler of this one's can run any more, no signal but SIGABRT is
/// blocked, and a broken pipe ends the process. Signals that wait, for the group that it was in, are forgotten.
pub(crate) fn forget_handlers() {
    // The C library has a lock for this one, and the memory is not this process's own. Whoever aborts unblocks it.
    let but_abort = |signal: &libc::c_int| *signal != libc::SIGABRT;
    for signal in (1..=libc::SIGRTMAX()).filter(but_abort) {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: it writes one `sigaction`, or nothing where it fails.
        let known = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } == 0;
        // SAFETY: a `sigaction` of zeroes is one: the default.
        let mut action = unsafe { action.assume_init() };
        if known && (action.sa_sigaction != libc::SIG_IGN || signal == libc::SIGPIPE) {
            // The first of them is what forgets.
            for disposition in [libc::SIG_IGN, libc::SIG_DFL] {
                action.sa_sigaction = disposition;
                // SAFETY: neither installs code.
                unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
            }
        }
    }
    let mut rest = empty();
    // SAFETY: the set is ours.
    unsafe { libc::sigaddset(&raw mut rest, libc::SIGABRT) };
    set_mask(&rest);
}

fn ignore(signal: libc::c_int) {
    // SAFETY: ignoring a signal installs no code that could run at a bad moment.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Blocks signals on the calling thread until it is dropped, so that no handler of the program's runs there.
pub(crate) struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    pub(crate) fn new() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: it fills the set that it is given.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        // SAFETY: it was just filled.
        let mut set = unsafe { set.assume_init() };
        // What a thread does to itself cannot wait.
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS] {
            // SAFETY: the set is ours.
            unsafe { libc::sigdelset(&mut set, signal) };
        }
        Self { before: set_mask(&set) }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set_mask(&self.before);
    }
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: it empties the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: it was just emptied.
    unsafe { set.assume_init() }
}

/// Sets which signals the calling thread blocks; returns which it blocked before.
fn set_mask(mask: &libc::sigset_t) -> libc::sigset_t {
    let mut before = empty();
    // SAFETY: both sets are initialized, and neither is kept.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(mask), &raw mut before) };
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_blocked(signal: libc::c_int) -> bool {
        let mut now = empty();
        // SAFETY: without a new set it only stores the present one.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut now) };
        // SAFETY: the set is initialized.
        unsafe { libc::sigismember(&now, signal) == 1 }
    }

    #[test]
    fn signals_are_blocked_for_a_while_except_those_that_cannot_wait() {
        // Who started the tests may block some.
        let before = [libc::SIGINT, libc::SIGTERM].map(is_blocked);
        let outer = Blocked::new();
        drop(Blocked::new());
        assert!(is_blocked(libc::SIGINT) && is_blocked(libc::SIGTERM) && !is_blocked(libc::SIGSEGV));
        drop(outer);
        assert_eq!([libc::SIGINT, libc::SIGTERM].map(is_blocked), before);
    }
}
