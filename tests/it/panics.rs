//! Tasks that panic.

use pool::{Error, Exit, Pool, StartMethod, pool_task};

use crate::PROGRAM;
use crate::support::{Program, start, tasks};

crate::cases![
    a_panic_says_what_and_where_and_the_worker_goes_on,
    payloads_of_every_kind_are_told,
    no_backtrace_comes_unless_it_is_asked_for,
    a_backtrace_comes_if_it_is_asked_for,
    long_messages_arrive_whole,
    every_item_of_a_chunk_has_its_own_outcome,
    payloads_that_panic_when_dropped_do_no_harm,
    a_panic_while_unwinding_ends_the_worker_only,
    panics_of_threads_of_a_task_are_its_own_business,
    a_task_may_catch_its_own_panics,
    a_task_may_replace_the_panic_hook,
    panics_are_not_printed,
];

fn details(error: Error) -> (String, usize, String, String, Option<String>) {
    let Error::Panicked { task, index, message, location, backtrace } = error else { panic!("{error:?}") };
    (task.to_owned(), index, message, location, backtrace)
}

#[pool_task]
fn panics_here(n: u64) -> u32 {
    assert!(n != 13, "unlucky {n}");
    std::process::id()
}
const LINE_OF_THE_PANIC: u32 = line!() - 3;

fn a_panic_says_what_and_where_and_the_worker_goes_on(method: StartMethod) {
    let pool = start(method, 1);
    let pid = pool.apply(panics_here, (1,)).unwrap();
    let error = pool.apply(panics_here, (13,)).unwrap_err();
    assert!(error.task().unwrap().ends_with("panics::panics_here"));
    assert_eq!(error.index(), Some(0));
    assert!(error.to_string().contains("unlucky 13"), "{error}");
    let (_, _, message, location, _) = details(error);
    assert_eq!(message, "unlucky 13");
    assert!(location.contains(&format!("{}:{LINE_OF_THE_PANIC}:", file!())), "{location}");
    assert_eq!(pool.apply(panics_here, (1,)).unwrap(), pid);
    assert_eq!(pool.worker_pids(), [pid]);
}

#[pool_task]
fn panics_with(kind: u8) {
    match kind {
        0 => panic!("literal"),
        1 => panic!("{}", "formatted"),
        2 => std::panic::panic_any(String::from("a string")),
        3 => std::panic::panic_any(42u64),
        4 => std::panic::resume_unwind(Box::new("resumed")),
        5 => drop(Vec::<u8>::new()[kind as usize]),
        6 => "x".parse::<u8>().map(drop).map_err(|_| "inner").expect("outer"),
        _ => unreachable!(),
    }
}

fn payloads_of_every_kind_are_told(method: StartMethod) {
    let pool = start(method, 1);
    let message = |kind| details(pool.apply(panics_with, (kind,)).unwrap_err()).2;
    assert_eq!(message(0), "literal");
    assert_eq!(message(1), "formatted");
    assert_eq!(message(2), "a string");
    assert!(!message(3).is_empty());
    assert_eq!(message(4), "resumed");
    assert!(message(5).contains("out of bounds"));
    assert_eq!(message(6), "outer: \"inner\"");
    // Each panic tells of itself, not of the one before.
    assert!(details(pool.apply(panics_with, (0,)).unwrap_err()).3.contains("panics.rs"));
}

fn no_backtrace_comes_unless_it_is_asked_for(method: StartMethod) {
    assert_eq!(details(start(method, 1).apply(panics_with, (0,)).unwrap_err()).4, None);
}

fn a_backtrace_comes_if_it_is_asked_for(method: StartMethod) {
    let plain = Program::new(PROGRAM, "panics", method).run().expect_success();
    assert_eq!(plain.stdout, "none\n");
    for variable in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
        let traced = Program::new(PROGRAM, "panics", method).env(variable, "1").run().expect_success();
        assert!(traced.stdout.contains("only_even"), "{}", traced.stdout);
    }
}

#[pool_task]
fn panics_at_length(bytes: usize) {
    panic!("{}", "x".repeat(bytes));
}

fn long_messages_arrive_whole(method: StartMethod) {
    let pool = start(method, 1);
    for bytes in [0, 1, 30_000, 100_000, 1 << 20, 10 << 20] {
        assert_eq!(details(pool.apply(panics_at_length, (bytes,)).unwrap_err()).2.len(), bytes);
    }
}

fn every_item_of_a_chunk_has_its_own_outcome(method: StartMethod) {
    let pool = start(method, 1);
    let results: Vec<_> = pool.options().chunk_size(100).imap(tasks::only_even, 0..100).collect();
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert_eq!((value, value % 2), (n, 0)),
            Err(error) => assert_eq!(details(error).1 as u64, n),
        }
    }
}

struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[pool_task]
fn panics_with_explosive() {
    std::panic::panic_any(Explosive);
}

fn payloads_that_panic_when_dropped_do_no_harm(method: StartMethod) {
    let pool = start(method, 1);
    let pids = pool.worker_pids();
    for _ in 0..3 {
        assert!(matches!(pool.apply(panics_with_explosive, ()), Err(Error::Panicked { .. })));
        assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    }
    assert_eq!(pool.worker_pids(), pids);
}

#[pool_task]
fn panics_twice() {
    let _explosive = Explosive;
    panic!("first");
}

fn a_panic_while_unwinding_ends_the_worker_only(method: StartMethod) {
    let pool = start(method, 1);
    let error = pool.apply(panics_twice, ()).unwrap_err();
    assert!(matches!(error, Error::WorkerLost { exit: Exit::Signal(6), .. }), "{error}");
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

#[pool_task]
fn has_a_thread_that_panics() -> bool {
    std::thread::spawn(|| panic!("on another thread")).join().is_err()
}

fn panics_of_threads_of_a_task_are_its_own_business(method: StartMethod) {
    let pool = start(method, 1);
    assert!(pool.apply(has_a_thread_that_panics, ()).unwrap());
    assert_eq!(details(pool.apply(panics_with, (0,)).unwrap_err()).2, "literal");
}

#[pool_task]
fn catches() -> String {
    let caught = std::panic::catch_unwind(|| panic!("inside")).unwrap_err();
    (*caught.downcast_ref::<&str>().unwrap()).to_owned()
}

fn a_task_may_catch_its_own_panics(method: StartMethod) {
    let pool = start(method, 1);
    assert_eq!(pool.apply(catches, ()).unwrap(), "inside");
    // What was caught is not told of the next panic, which has no place of its own.
    let (_, _, message, _, _) = details(pool.apply(panics_with, (4,)).unwrap_err());
    assert_eq!(message, "resumed");
}

#[pool_task]
fn replaces_the_hook() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn a_task_may_replace_the_panic_hook(method: StartMethod) {
    let pool: Pool = start(method, 1);
    pool.apply(replaces_the_hook, ()).unwrap();
    let (_, _, message, location, _) = details(pool.apply(panics_with, (0,)).unwrap_err());
    assert_eq!(message, "literal");
    assert!(!location.is_empty());
}

fn panics_are_not_printed(method: StartMethod) {
    let ended = Program::new(PROGRAM, "panics", method).run().expect_success();
    assert_eq!(ended.stderr, "");
}
