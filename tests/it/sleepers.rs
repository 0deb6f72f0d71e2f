//! Who waits for something long uses no CPU, and neither does the rest of the pool.
//!
//! Counted are the times that threads of the program gave up their CPU by themselves: a thread that sleeps and looks again is seen
//! by that, however busy the machine is.

use std::fs;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pool::{Pool, StartMethod};

use crate::support::{Gate, Log, start, tasks, wait_until};

crate::cases![
    nothing_happens_in_an_idle_pool,
    who_waits_in_apply_sleeps_and_so_do_the_others,
    who_waits_in_get_sleeps_beside_one_in_apply,
    who_waits_for_imap_sleeps,
    nobody_needs_to_wait_for_a_future,
];

/// How long threads are watched.
const WATCHED: Duration = Duration::from_secs(2);
/// Far more than it takes to get to sleep and to be woken now and then; who looks every millisecond wakes 2000 times.
const MOST: u64 = 200;

/// How often the threads of this process gave up their CPU by themselves, but for the one that asks.
fn switches() -> u64 {
    let own = fs::read_link("/proc/thread-self").expect("every thread has a name");
    let own = own.file_name().expect("its id").to_owned();
    let threads = fs::read_dir("/proc/self/task").expect("every process has threads").flatten();
    let others = threads.filter(|thread| thread.file_name() != own);
    // One that ends meanwhile has no status.
    let statuses = others.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    statuses.map(|status| voluntary(&status)).sum()
}

fn voluntary(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.expect("the kernel counts them").trim().parse().expect("a number")
}

/// Watches the threads for a while; returns how often they gave up their CPU.
fn watch() -> u64 {
    let before = switches();
    std::thread::sleep(WATCHED);
    switches() - before
}

/// A pool whose threads wait for jobs, and not for the first time.
fn used(method: StartMethod) -> Pool {
    let pool = start(method, 2);
    assert_eq!(pool.apply_async(tasks::square, (3,)).get().unwrap(), 9);
    pool
}

fn nothing_happens_in_an_idle_pool(method: StartMethod) {
    let pool = used(method);
    wait_until("all threads sleep", || {
        let before = switches();
        std::thread::sleep(Duration::from_millis(100));
        switches() == before
    });
    assert_eq!(watch(), 0);
    drop(pool);
}

fn who_waits_in_apply_sleeps_and_so_do_the_others(method: StartMethod) {
    let (pool, gate, log) = (&used(method), &Gate::new(), &Log::new());
    // Has the thread that leads while nobody waits give way.
    let unwaited = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 0));
    log.wait_for(1);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.apply(tasks::noted_gated, (log.path(), gate.path(), 1)));
        log.wait_for(2);
        let count = watch();
        gate.open();
        assert_eq!(waits.join().unwrap().unwrap(), 1);
        assert!(count < MOST, "{count} times");
    });
    assert_eq!(unwaited.get().unwrap(), 0);
}

fn who_waits_in_get_sleeps_beside_one_in_apply(method: StartMethod) {
    let (pool, gate, log) = (&used(method), &Gate::new(), &Log::new());
    std::thread::scope(|scope| {
        let handle = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 0));
        let gets = scope.spawn(|| handle.get());
        let applies = scope.spawn(|| pool.apply(tasks::noted_gated, (log.path(), gate.path(), 1)));
        log.wait_for(2);
        let count = watch();
        gate.open();
        assert_eq!(gets.join().unwrap().unwrap() + applies.join().unwrap().unwrap(), 1);
        assert!(count < MOST, "{count} times");
    });
}

fn who_waits_for_imap_sleeps(method: StartMethod) {
    let (pool, gate, log) = (&used(method), &Gate::new(), &Log::new());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let items = (0..4).map(|n| (log.path(), gate.path(), n));
            pool.istarmap(tasks::noted_gated, items).map(Result::unwrap).sum::<u64>()
        });
        log.wait_for(2);
        let count = watch();
        gate.open();
        assert_eq!(waits.join().unwrap(), 6);
        assert!(count < MOST, "{count} times");
    });
}

fn nobody_needs_to_wait_for_a_future(method: StartMethod) {
    let (pool, gate, log) = (&used(method), &Gate::new(), &Log::new());
    let mut future = pin!(pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 7)));
    log.wait_for(1);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let count = watch();
    gate.open();
    assert!(count < MOST, "{count} times");
    wait_until("the result is there", || {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.unwrap() == 7,
            Poll::Pending => false,
        }
    });
}
