//! Programs that come to their end in all ways, with a pool in all states: `program_mortal SCENARIO START-METHOD LOG`.
//!
//! Most do not end by themselves: the test ends them. Each notes in the log when it is what its name says.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pool::{Pool, StartMethod, pool_task};
use tests::support::{before_main, note, program, report, start, tasks, wait_until};

/// Before the library's own constructor, which has no number.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static WAIT_IF_TOLD: extern "C" fn() = before_main::wait_if_told;

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
        "panicking" => panicking(method, log),
        "unwinding" => unwinding(method, log),
        "exiting" => exiting(method, log),
        "exiting_in_a_thread" => exiting_in_a_thread(method, log),
        "aborting" => aborting(method, log),
        "returning" => return returning(method, log),
        "handling_interrupts" => return handling_interrupts(method, log),
        "handling_interrupts_while_it_builds" => return handling_interrupts_while_it_builds(method, log),
        "handling_sigterm" => handling_sigterm(method, log),
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

/// A pool with open work of every kind, for a program that does not wait for it, and two workers that have none.
fn with_open_work(method: StartMethod, log: &str) -> Pool {
    let pool = start(method, 5);
    for _ in 0..2 {
        drop(pool.apply_async(tasks::linger, (log,)));
    }
    drop(pool.map_async(tasks::square, 0..1000));
    drop(pool.apply_async(tasks::linger, (log,)).callback(|()| panic!("it never returns")));
    wait_until("two are busy", || std::fs::read_to_string(log).is_ok_and(|log| log.lines().count() >= 2));
    pool
}

/// The pool is dropped by unwinding.
fn panicking(method: StartMethod, log: &str) {
    let _pool = with_open_work(method, log);
    panic!("enough");
}

/// The panic passes through a call of the pool, from the caller's iterator.
fn unwinding(method: StartMethod, log: &str) {
    let pool = with_open_work(method, log);
    let numbers = (0..100).inspect(|n| assert!(*n < 50, "enough"));
    let _ = pool.map(tasks::square, numbers);
}

fn exiting(method: StartMethod, log: &str) {
    let _pool = with_open_work(method, log);
    std::process::exit(3);
}

/// Another thread ends the program while the main one waits for a result.
fn exiting_in_a_thread(method: StartMethod, log: &str) {
    let pool = with_open_work(method, log);
    std::thread::scope(|scope| {
        scope.spawn(|| pool.apply(tasks::linger, (log,)));
        scope.spawn(|| {
            let _ = pool.imap(tasks::square, 0..).take(100).count();
            std::process::exit(3);
        });
    });
}

fn aborting(method: StartMethod, log: &str) {
    let _pool = with_open_work(method, log);
    std::process::abort();
}

/// `main` returns while a pool is in a static, and another one is dropped.
fn returning(method: StartMethod, log: &str) {
    static POOL: OnceLock<Pool> = OnceLock::new();
    let dropped = (method != StartMethod::Fork).then(|| start(method, 2));
    POOL.get_or_init(|| with_open_work(method, log));
    drop(dropped);
}

static INTERRUPTS: AtomicUsize = AtomicUsize::new(0);

/// Counts SIGINT from now on. Calls that it comes into the middle of are not begun again by the kernel.
fn count_interrupts() {
    extern "C" fn count(_: libc::c_int) {
        INTERRUPTS.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: all zeros is an action: no flags, no signals blocked.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler only adds to an atomic, which it may at any moment.
    assert_eq!(unsafe { libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut()) }, 0);
}

fn was_interrupted(times: usize) -> bool {
    INTERRUPTS.load(Ordering::SeqCst) >= times
}

#[pool_task]
fn half(n: u64) -> Result<u64, String> {
    if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) }
}

/// Goes on after each Ctrl-C, and every job is right.
fn handling_interrupts(method: StartMethod, log: &str) {
    count_interrupts();
    let pool = start(method, 2);
    note(log, "ready");
    while !was_interrupted(20) {
        assert_eq!(pool.map(tasks::square, 0..500).unwrap(), (0..500).map(|n| n * n).collect::<Vec<_>>());
        let halves = pool.options().chunk_size(3).imap_unordered(half, 0..50).map(Result::unwrap);
        assert_eq!(halves.filter(Result::is_ok).count(), 25);
        assert_eq!(pool.apply(tasks::bytes, (3_000_000,)).unwrap().len(), 3_000_000);
        let blocks = vec![vec![1.0; 300_000]; 3];
        let sums = pool.map_async(tasks::sum_of, blocks).get().unwrap();
        assert_eq!(sums, [300_000.0; 3]);
    }
    assert_eq!(pool.worker_pids().len(), 2);
    pool.close();
    pool.join().unwrap();
}

/// The same while workers start and end.
fn handling_interrupts_while_it_builds(method: StartMethod, log: &str) {
    count_interrupts();
    note(log, "ready");
    while !was_interrupted(20) {
        let pool = Pool::builder().start_method(method).workers(2).max_tasks_per_worker(2).build().unwrap();
        assert_eq!(pool.map(tasks::square, 0..20).unwrap(), (0..20).map(|n| n * n).collect::<Vec<_>>());
    }
}

/// The program's handler of SIGTERM is not its workers'.
fn handling_sigterm(method: StartMethod, log: &str) {
    static LOG: OnceLock<String> = OnceLock::new();
    extern "C" fn say(_: libc::c_int) {
        note(LOG.get().expect("it was set before"), format_args!("handled in {}", std::process::id()));
    }
    LOG.set(log.to_owned()).expect("it is set once");
    // SAFETY: no code of this program holds a lock that the handler needs, while the test sends SIGTERM.
    unsafe { libc::signal(libc::SIGTERM, say as extern "C" fn(libc::c_int) as usize) };
    let pool = start(method, 2);
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    pool.terminate();
    pool.join().unwrap();
    note(log, format_args!("main {}", std::process::id()));
}
