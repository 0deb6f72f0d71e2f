//! The handle of a job that does not block.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use pool::{AsyncResult, Error, StartMethod};

use crate::support::{Gate, Log, PATIENCE, limited, panic_of, start, tasks, wait_until};

crate::cases![
    get_timeout_gives_nothing_before_the_result_and_the_result_later,
    get_timeout_panics_after_the_result_was_taken,
    wait_timeout_tells_whether_the_result_is_there,
    ready_turns_true_though_nobody_waits,
    successful_is_none_before_the_result_is_there,
    cancelled_items_that_wait_never_run,
    a_cancelled_item_that_comes_to_its_end_in_time_keeps_its_worker,
    cancel_is_false_once_the_result_is_there,
    dropped_handles_cancel_nothing,
    a_future_completes,
    a_future_wakes_the_last_waker,
    many_futures_complete_on_one_thread,
    handles_can_be_waited_for_in_any_order_from_any_thread,
    timeouts_too_long_to_add_are_for_ever,
];

const MOMENT: Duration = Duration::from_millis(5);

fn get_timeout_gives_nothing_before_the_result_and_the_result_later(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let mut one = pool.apply_async(tasks::gated, (gate.path(), 7));
    let mut many = pool.starmap_async(tasks::gated, [(gate.path(), 8), (gate.path(), 9)]);
    for timeout in [Duration::ZERO, MOMENT] {
        assert!(one.get_timeout(timeout).is_none());
        assert!(many.get_timeout(timeout).is_none());
    }
    gate.open();
    assert_eq!(one.get_timeout(PATIENCE).unwrap().unwrap(), 7);
    assert_eq!(many.get_timeout(PATIENCE).unwrap().unwrap(), [8, 9]);
}

fn get_timeout_panics_after_the_result_was_taken(method: StartMethod) {
    let pool = start(method, 1);
    let mut handle = pool.apply_async(tasks::square, (3,));
    assert_eq!(handle.get_timeout(PATIENCE).unwrap().unwrap(), 9);
    assert!(panic_of(|| handle.get_timeout(PATIENCE)).contains("taken"));
}

fn wait_timeout_tells_whether_the_result_is_there(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let handle = pool.apply_async(tasks::gated, (gate.path(), 7));
    assert!(!handle.wait_timeout(MOMENT));
    assert!(!handle.wait_timeout(Duration::ZERO));
    gate.open();
    assert!(handle.wait_timeout(PATIENCE));
    handle.wait();
    assert!(handle.wait_timeout(Duration::ZERO));
    assert_eq!(handle.get().unwrap(), 7);
}

fn ready_turns_true_though_nobody_waits(method: StartMethod) {
    let pool = start(method, 2);
    let gate = Gate::new();
    let handles: Vec<_> = (0..20).map(|n| pool.apply_async(tasks::gated, (gate.path(), n))).collect();
    assert!(!handles.iter().any(AsyncResult::ready));
    gate.open();
    wait_until("all handles are ready", || handles.iter().all(AsyncResult::ready));
    // Also after the pool was idle for a while.
    std::thread::sleep(Duration::from_millis(300));
    let late = pool.apply_async(tasks::square, (3,));
    wait_until("the late handle is ready", || late.ready());
    assert_eq!(late.get().unwrap(), 9);
}

fn successful_is_none_before_the_result_is_there(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let good = pool.apply_async(tasks::gated, (gate.path(), 7));
    let bad = pool.apply_async(tasks::only_even, (1,));
    let mixed = pool.map_async(tasks::only_even, 0..4);
    assert_eq!((good.successful(), bad.successful(), mixed.successful()), (None, None, None));
    gate.open();
    bad.wait();
    good.wait();
    mixed.wait();
    assert_eq!(
        (good.successful(), bad.successful(), mixed.successful()),
        (Some(true), Some(false), Some(false))
    );
    // Looking at it takes nothing away.
    assert_eq!(good.get().unwrap(), 7);
    assert_eq!(bad.get().unwrap_err().index(), Some(0));
    assert_eq!(mixed.get().unwrap_err().index(), Some(1));
}

fn cancelled_items_that_wait_never_run(method: StartMethod) {
    let pool = start(method, 1);
    let (log, gate) = (Log::new(), Gate::new());
    let busy = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 0));
    log.wait_for(1);
    let single = pool.apply_async(tasks::noted, (log.path(), 1));
    let many = pool.starmap_async(tasks::noted, (2..100).map(|n| (log.path(), n)));
    assert!(single.cancel());
    assert!(!single.cancel());
    assert!(many.cancel());
    assert!(single.ready());
    gate.open();
    assert!(matches!(single.get(), Err(Error::Cancelled { .. })));
    assert!(matches!(many.get(), Err(Error::Cancelled { .. })));
    assert_eq!(busy.get().unwrap(), 0);
    assert_eq!(pool.apply(tasks::noted, (log.path(), 200)).unwrap(), 200);
    assert_eq!(log.sorted(), [0, 200]);
}

fn a_cancelled_item_that_comes_to_its_end_in_time_keeps_its_worker(method: StartMethod) {
    let pool = start(method, 1);
    const GRACE: Duration = Duration::from_millis(10);
    let mut in_time = 0;
    wait_until("some come to their end in time", || {
        let (log, gate, done) = (Log::new(), Gate::new(), Log::new());
        let before = pool.apply(tasks::own_pid, ()).unwrap();
        let running = pool.apply_async(noted_twice, (log.path(), gate.path(), done.path()));
        log.wait_for(1);
        let cancelled = limited::now();
        assert!(running.cancel());
        assert!(matches!(running.get(), Err(Error::Cancelled { .. })));
        gate.open();
        let (pid, next) = pool.apply(limited::pid_and_time, ()).unwrap();
        // On a busy machine it may not have got its turn before that.
        if next < cancelled + GRACE {
            assert_eq!((pid, done.count()), (before, 1), "it went on to its end");
            in_time += 1;
        }
        in_time == 5
    });
}

#[pool::pool_task]
fn noted_twice(log: &str, gate: &str, done: &str) {
    crate::support::note(log, 1);
    crate::support::pass(gate);
    crate::support::note(done, 1);
}

fn cancel_is_false_once_the_result_is_there(method: StartMethod) {
    let pool = start(method, 1);
    let handle = pool.apply_async(tasks::square, (3,));
    handle.wait();
    assert!(!handle.cancel());
    assert_eq!(handle.get().unwrap(), 9);
}

fn dropped_handles_cancel_nothing(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    for n in 0..100 {
        drop(pool.apply_async(tasks::noted, (log.path(), n)));
    }
    drop(pool.starmap_async(tasks::noted, (100..200).map(|n| (log.path(), n))));
    pool.close();
    pool.join().unwrap();
    assert_eq!(log.sorted(), (0..200).collect::<Vec<_>>());
}

/// Wakes a thread and counts.
struct Waking {
    thread: Thread,
    count: AtomicUsize,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn waking() -> (Arc<Waking>, Waker) {
    let waking = Arc::new(Waking { thread: std::thread::current(), count: AtomicUsize::new(0) });
    (waking.clone(), Waker::from(waking))
}

/// The smallest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (_, waker) = waking();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn a_future_completes(method: StartMethod) {
    let pool = start(method, 2);
    let answer = block_on(async {
        let first = pool.apply_async(tasks::square, (2,)).await?;
        let all = pool.map_async(tasks::square, 0..first).await?;
        let failed = pool.apply_async(tasks::only_even, (1,)).await;
        assert!(matches!(failed, Err(Error::Panicked { .. })));
        Ok::<_, Error>(all)
    });
    assert_eq!(answer.unwrap(), [0, 1, 4, 9]);
    pool.close();
    assert!(matches!(block_on(pool.apply_async(tasks::square, (2,))), Err(Error::Closed)));
}

fn a_future_wakes_the_last_waker(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let mut handle = pool.apply_async(tasks::gated, (gate.path(), 7));
    let ((first, first_waker), (last, last_waker)) = (waking(), waking());
    for waker in [&first_waker, &last_waker, &first_waker, &last_waker] {
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(waker)).is_pending());
    }
    gate.open();
    wait_until("the waker is woken", || last.count.load(Ordering::SeqCst) == 1);
    assert_eq!(first.count.load(Ordering::SeqCst), 0);
    match Pin::new(&mut handle).poll(&mut Context::from_waker(&last_waker)) {
        Poll::Ready(result) => assert_eq!(result.unwrap(), 7),
        Poll::Pending => panic!("woken and not ready"),
    }
}

fn many_futures_complete_on_one_thread(method: StartMethod) {
    let pool = start(method, 2);
    let (_, waker) = waking();
    let mut open: Vec<_> = (0..500).map(|n| (n, pool.apply_async(tasks::square, (n,)))).collect();
    while !open.is_empty() {
        let mut context = Context::from_waker(&waker);
        open.retain_mut(|(n, handle)| match Pin::new(handle).poll(&mut context) {
            Poll::Ready(result) => {
                assert_eq!(result.unwrap(), *n * *n);
                false
            }
            Poll::Pending => true,
        });
        if !open.is_empty() {
            std::thread::park();
        }
    }
}

fn handles_can_be_waited_for_in_any_order_from_any_thread(method: StartMethod) {
    let pool = start(method, 2);
    let mut handles: Vec<_> = (0..300).map(|n| (n, pool.apply_async(tasks::square, (n,)))).collect();
    handles.reverse();
    std::thread::scope(|scope| {
        while !handles.is_empty() {
            let mine = handles.split_off(handles.len().saturating_sub(60));
            scope.spawn(move || {
                for (n, handle) in mine.into_iter().rev() {
                    assert_eq!(handle.get().unwrap(), n * n);
                }
            });
        }
    });
}

fn timeouts_too_long_to_add_are_for_ever(method: StartMethod) {
    let pool = start(method, 1);
    let mut handle = pool.apply_async(tasks::square, (3,));
    assert!(handle.wait_timeout(Duration::MAX));
    assert_eq!(handle.get_timeout(Duration::MAX).unwrap().unwrap(), 9);
    assert_eq!(pool.imap(tasks::square, [3]).next_timeout(Duration::MAX).unwrap().unwrap().unwrap(), 9);
}
