//! Programs that come to their end in all ways, with a pool in all states: `program_mortal SCENARIO START-METHOD LOG`.
//!
//! Most do not end by themselves: the test ends them. Each notes in the log when it is what its name says.

use pool::{Pool, StartMethod, pool_task};
use tests::support::{note, program, report, start, tasks, wait_until};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [scenario, method, log] = args[..] else { panic!("no scenario") };
    let method = program::method_named(method);
    match scenario {
        "busy" => busy(method, log),
        "starting" => starting(method, log),
        "replacing" => replacing(method, log),
        "churning" => churning(method, log),
        "nesting" => nesting(method, log),
        "of_another_user" => of_another_user(method, log),
        other => panic!("no such scenario: {other:?}"),
    }
    wait_until("the program's end", || false);
}

/// Two workers are busy, two idle.
fn busy(method: StartMethod, log: &str) {
    let pool = start(method, 4);
    for _ in 0..2 {
        drop(pool.apply_async(tasks::linger, (log,)));
    }
    std::mem::forget(pool);
}

/// Workers that do not get ready.
fn starting(method: StartMethod, log: &str) {
    let builder = Pool::builder().start_method(method).workers(3);
    std::mem::forget(builder.initializer(tasks::linger, (log,)).build().unwrap());
}

/// Every item gets a worker of its own.
fn replacing(method: StartMethod, log: &str) {
    let pool = Pool::builder().start_method(method).workers(2).max_tasks_per_worker(1).build().unwrap();
    loop {
        pool.map(tasks::square, 0..20).unwrap();
        note(log, "more");
    }
}

/// Pools are made and dropped for ever.
fn churning(method: StartMethod, log: &str) {
    for round in 0.. {
        let pool = start(method, 2);
        if round % 2 == 0 {
            assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
        }
        drop(pool);
        note(log, round);
    }
}

#[pool_task]
fn has_a_pool(log: &str, method: u32) {
    let methods = [StartMethod::ForkServer, StartMethod::Spawn];
    let pool = start(methods[method as usize], 2);
    let _busy = [0, 1].map(|_| pool.apply_async(tasks::linger, (log,)));
    report::linger();
}

/// Tasks have pools of both kinds that can be had there.
fn nesting(method: StartMethod, log: &str) {
    let pool = start(method, 2);
    for method in 0..2 {
        drop(pool.apply_async(has_a_pool, (log, method)));
    }
    std::mem::forget(pool);
}

#[pool_task]
fn becomes_nobody() {
    // SAFETY: it takes a number.
    assert_eq!(unsafe { libc::setgid(65534) }, 0);
    // SAFETY: it takes a number.
    assert_eq!(unsafe { libc::setuid(65534) }, 0);
}

/// Workers give up their rights before they begin.
fn of_another_user(method: StartMethod, log: &str) {
    let builder = Pool::builder().start_method(method).workers(2);
    let pool = builder.initializer(becomes_nobody, ()).build().unwrap();
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    note(log, "ready");
    std::mem::forget(pool);
}
