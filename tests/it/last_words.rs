//! Panics that end the worker, and what is told of them.

use pool::{Error, Exit, LastPanic, Pool, StartMethod, pool_task};

use crate::support::{start, tasks};

crate::cases![
    a_panic_that_reaches_a_foreign_function_is_told,
    the_items_around_it_are_as_if_nothing_happened,
    a_panic_in_a_destructor_is_told_with_the_one_before_it,
    a_panic_on_another_thread_is_told_if_it_ends_the_worker,
    a_long_message_is_cut,
    a_payload_that_is_no_string_is_told_as_such,
    a_caught_panic_is_not_told_of_an_item_that_dies_later,
    a_panic_is_not_told_of_a_death_by_another_cause,
    a_caught_panic_is_told_as_the_last_one_of_an_item_that_aborts,
];

/// How the worker ended and what it said.
fn lost(error: Error) -> (Exit, Option<LastPanic>) {
    let text = error.to_string();
    let Error::WorkerLost { exit, report, .. } = error else { panic!("{error:?}") };
    if let Some(panic) = &report.panic {
        assert!(text.contains(&format!("panicked at {}: {}", panic.location, panic.message)), "{text}");
    }
    (exit, report.panic)
}

fn told(error: Error) -> LastPanic {
    let (exit, panic) = lost(error);
    assert_eq!(exit, Exit::Signal(6));
    panic.expect("the panic is told")
}

/// As a library of another language calls it: no panic can pass.
extern "C" fn called_from_c(n: u64) -> u64 {
    assert!(n != 13, "unlucky {n}");
    n
}
const LINE_OF_THE_PANIC: u32 = line!() - 3;

#[pool_task]
fn calls_c(n: u64) -> u64 {
    called_from_c(n)
}

fn a_panic_that_reaches_a_foreign_function_is_told(method: StartMethod) {
    let pool = start(method, 1);
    for _ in 0..3 {
        let error = pool.apply(calls_c, (13,)).unwrap_err();
        assert_eq!(error.index(), Some(0));
        let panic = told(error);
        assert_eq!(panic.message, "unlucky 13");
        assert!(panic.location.contains(&format!("{}:{LINE_OF_THE_PANIC}:", file!())), "{panic}");
        assert_eq!(pool.apply(calls_c, (1,)).unwrap(), 1);
    }
}

fn the_items_around_it_are_as_if_nothing_happened(method: StartMethod) {
    let pool = start(method, 2);
    let results: Vec<_> =
        pool.options().chunk_size(1000).window(1000).imap(calls_c, (0..1000).map(|n| n % 500)).collect();
    assert_eq!(results.len(), 1000);
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(value, n as u64 % 500),
            Err(error) => {
                assert!(n % 500 == 13 && error.index() == Some(n), "{error}");
                assert_eq!(told(error).message, "unlucky 13");
            }
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
fn panics_twice() {
    let _explosive = Explosive;
    panic!("first");
}

fn a_panic_in_a_destructor_is_told_with_the_one_before_it(method: StartMethod) {
    let panic = told(start(method, 1).apply(panics_twice, ()).unwrap_err());
    assert!(panic.message.starts_with("dropped (") && panic.message.ends_with(": first)"), "{panic}");
    assert!(panic.location.contains(file!()), "{panic}");
}

#[pool_task]
fn has_a_thread_that_calls_c(n: u64) -> bool {
    std::thread::spawn(move || called_from_c(n)).join().is_ok()
}

fn a_panic_on_another_thread_is_told_if_it_ends_the_worker(method: StartMethod) {
    let pool = start(method, 1);
    let panic = told(pool.apply(has_a_thread_that_calls_c, (13,)).unwrap_err());
    assert_eq!(panic.message, "unlucky 13");
    assert!(panic.location.contains(file!()), "{panic}");
    assert!(pool.apply(has_a_thread_that_calls_c, (1,)).unwrap());
}

#[pool_task]
fn panics_at_length_in_c(bytes: usize) {
    extern "C" fn in_c(bytes: usize) {
        panic!("{}", "é".repeat(bytes / 2));
    }
    in_c(bytes)
}

fn a_long_message_is_cut(method: StartMethod) {
    let pool = start(method, 1);
    for bytes in [0, 100, 4000, 10 << 20] {
        let panic = told(pool.apply(panics_at_length_in_c, (bytes,)).unwrap_err());
        let kept = panic.message.trim_end_matches('…');
        assert!(kept.len() == bytes || kept.len() > 2000, "{}", kept.len());
        assert_eq!(kept.len() < bytes, kept.len() < panic.message.len());
        assert!(kept.chars().all(|char| char == 'é'), "{kept}");
        assert!(panic.location.contains(file!()), "{panic}");
    }
}

#[pool_task]
fn panics_with_a_number_in_c() {
    extern "C" fn in_c() {
        std::panic::panic_any(42u64);
    }
    in_c()
}

fn a_payload_that_is_no_string_is_told_as_such(method: StartMethod) {
    let panic = told(start(method, 1).apply(panics_with_a_number_in_c, ()).unwrap_err());
    assert_eq!(panic.message, "a value that is no string");
    assert!(panic.location.contains(file!()), "{panic}");
}

/// Panics on 1, ends the process on 2.
#[pool_task]
fn panics_or_dies(how: &str, n: u64) -> u64 {
    match n {
        1 => panic!("harmless"),
        2 => tasks::end_process(how),
        _ => {}
    }
    n
}

fn a_caught_panic_is_not_told_of_an_item_that_dies_later(method: StartMethod) {
    let pool = start(method, 1);
    for chunk_size in [1, 3] {
        let items = [0, 1, 2].map(|n| ("abort", n));
        let mut results = pool.options().chunk_size(chunk_size).istarmap(panics_or_dies, items);
        assert_eq!(results.next().unwrap().unwrap(), 0);
        assert!(matches!(results.next(), Some(Err(Error::Panicked { .. }))));
        assert_eq!(lost(results.next().unwrap().unwrap_err()), (Exit::Signal(6), None));
    }
}

#[pool_task]
fn catches_and_dies(how: &str) {
    assert!(std::panic::catch_unwind(|| panic!("harmless")).is_err());
    tasks::end_process(how);
}

fn a_panic_is_not_told_of_a_death_by_another_cause(method: StartMethod) {
    let pool: Pool = start(method, 1);
    for (how, exit) in [("kill", Exit::Signal(9)), ("segv", Exit::Signal(11)), ("exit", Exit::Code(3))] {
        assert_eq!(lost(pool.apply(catches_and_dies, (how,)).unwrap_err()), (exit, None));
    }
}

#[pool_task]
fn catches_and_aborts() {
    let _ = std::panic::catch_unwind(|| panic!("handled"));
    tasks::end_process("abort");
}

fn a_caught_panic_is_told_as_the_last_one_of_an_item_that_aborts(method: StartMethod) {
    let panic = told(start(method, 1).apply(catches_and_aborts, ()).unwrap_err());
    assert_eq!(panic.message, "handled");
}
