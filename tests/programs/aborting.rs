//! A program that is to be built with `panic = "abort"`: `cargo run -p tests --profile abort --bin aborting`.
//!
//! There a panic ends the worker, and the pool tells what it said. A scenario that goes wrong panics.

use pool::{Error, Exit, Pool, StartMethod, pool_task};
use tests::support::census::Census;
use tests::support::{processes, tasks, wait_until};

#[pool_task]
fn panics_on_13(n: u64) -> u64 {
    assert!(n != 13, "unlucky {n}");
    n
}
const LINE_OF_THE_PANIC: u32 = line!() - 3;

#[pool_task]
fn has_a_thread_that_panics() {
    let _ = std::thread::spawn(|| panic!("on another thread")).join();
}

#[pool_task]
fn panics_at_length(bytes: usize) {
    panic!("{}", "x".repeat(bytes));
}

fn main() {
    if cfg!(not(panic = "abort")) {
        panic!("build this with the profile `abort`");
    }
    for method in [StartMethod::Fork, StartMethod::ForkServer, StartMethod::Spawn] {
        let before = Census::take().descriptors();
        let pool = Pool::builder().start_method(method).workers(2).build().expect("the pool starts");
        the_panic_is_told(&pool);
        only_the_item_that_panics_is_lost(&pool);
        close(pool);
        let is_clean = || processes::children().is_empty() && Census::take().descriptors() == before;
        wait_until("nothing is left behind", is_clean);
        println!("{method:?}: every panic was told, and the pool went on");
    }
}

/// Message and place of the panic that ended a worker.
fn told(error: Error) -> (String, String) {
    let text = error.to_string();
    let Error::WorkerLost { exit: Exit::Signal(6), report, .. } = error else { panic!("{error:?}") };
    let panic = report.panic.expect("the panic is told");
    assert!(text.contains(&format!("panicked at {}: {}", panic.location, panic.message)), "{text}");
    (panic.message, panic.location)
}

fn the_panic_is_told(pool: &Pool) {
    for _ in 0..3 {
        let (message, location) = told(pool.apply(panics_on_13, (13,)).unwrap_err());
        assert_eq!(message, "unlucky 13");
        assert!(location.contains(&format!("{}:{LINE_OF_THE_PANIC}:", file!())), "{location}");
        assert_eq!(pool.apply(panics_on_13, (1,)).unwrap(), 1);
    }
    let (message, location) = told(pool.apply(has_a_thread_that_panics, ()).unwrap_err());
    assert!(message == "on another thread" && location.contains(file!()), "{location}: {message}");
    let (message, _) = told(pool.apply(panics_at_length, (10 << 20,)).unwrap_err());
    assert!((2000..4000).contains(&message.len()), "{}", message.len());
}

fn only_the_item_that_panics_is_lost(pool: &Pool) {
    let results: Vec<_> =
        pool.options().chunk_size(1000).window(1000).imap(panics_on_13, (0..1000).map(|n| n % 500)).collect();
    assert_eq!(results.len(), 1000);
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(value, n as u64 % 500),
            Err(error) => {
                assert!(n % 500 == 13 && error.index() == Some(n), "{error}");
                assert_eq!(told(error).0, "unlucky 13");
            }
        }
    }
}

fn close(pool: Pool) {
    assert_eq!(pool.map(tasks::square, 0..4).unwrap(), [0, 1, 4, 9]);
    pool.close();
    pool.join().unwrap();
}
