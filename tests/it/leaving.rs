//! Workers that were told to leave and do not.

use std::time::Duration;

use pool::{Pool, PoolBuilder, StartMethod, pool_task};

use crate::support::{Log, limited, note, processes, report, tasks, wait_until};

crate::cases![
    a_finalizer_that_hangs_holds_up_neither_join_nor_later_calls,
    an_exit_handler_that_hangs_holds_up_neither_join_nor_later_calls,
    a_finalizer_has_as_long_as_an_initializer,
];

fn builder(method: StartMethod) -> PoolBuilder {
    // Long enough to get ready on a busy machine.
    Pool::builder().start_method(method).workers(1).start_timeout(Duration::from_secs(5))
}

fn a_finalizer_that_hangs_holds_up_neither_join_nor_later_calls(method: StartMethod) {
    let log = Log::new();
    let pool =
        builder(method).max_tasks_per_worker(1).finalizer(tasks::linger, (log.path(),)).build().unwrap();
    let first = pool.apply(tasks::own_pid, ()).unwrap();
    let second = pool.apply(tasks::own_pid, ()).unwrap();
    assert_ne!(first, second);
    pool.close();
    pool.join().unwrap();
    let pids = limited::pids(&log);
    assert!(pids.starts_with(&[first, second]), "{pids:?}");
    assert!(pids.into_iter().all(|pid| !processes::is_alive(pid)));
}

extern "C" fn hang() {
    report::linger();
}

#[pool_task]
fn has_exit_hang(log: &str) -> u32 {
    note(log, std::process::id());
    // SAFETY: the handler is a function of this program and does not unwind.
    assert_eq!(unsafe { libc::atexit(hang) }, 0);
    std::process::id()
}

fn an_exit_handler_that_hangs_holds_up_neither_join_nor_later_calls(method: StartMethod) {
    if method == StartMethod::Fork {
        // Exit handlers are the program's own, and do not run.
        return;
    }
    let log = Log::new();
    let pool = builder(method).max_tasks_per_worker(1).build().unwrap();
    let first = pool.apply(has_exit_hang, (log.path(),)).unwrap();
    let second = pool.apply(has_exit_hang, (log.path(),)).unwrap();
    assert_ne!(first, second);
    pool.close();
    pool.join().unwrap();
    wait_until("no process is left", || processes::children().is_empty());
}

#[pool_task]
fn takes_a_while(log: &str) {
    std::thread::sleep(Duration::from_secs(1));
    note(log, std::process::id());
}

fn a_finalizer_has_as_long_as_an_initializer(method: StartMethod) {
    let log = Log::new();
    let pool = builder(method).finalizer(takes_a_while, (log.path(),)).build().unwrap();
    let pid = pool.apply(tasks::own_pid, ()).unwrap();
    pool.close();
    pool.join().unwrap();
    assert_eq!(limited::pids(&log), [pid]);
}
