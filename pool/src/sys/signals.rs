//! Signal dispositions of a worker.

/// Sets what Rust's runtime sets before `main`, and leaves Ctrl-C to the program that owns the pool.
pub(crate) fn set_up_worker() {
    ignore(libc::SIGPIPE);
    ignore(libc::SIGINT);
}

fn ignore(signal: libc::c_int) {
    // SAFETY: ignoring a signal installs no code that could run at a bad moment.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
