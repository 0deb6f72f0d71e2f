//! Callbacks of handles.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use pool::{AsyncResult, Error, Pool, StartMethod};

use crate::support::{Gate, PATIENCE, Program, processes, start, tasks, wait_until};

crate::cases![
    a_callback_takes_the_value,
    inspect_looks_at_the_value_and_leaves_it,
    an_error_callback_sees_the_error_and_leaves_it,
    callbacks_run_in_order_of_completion,
    a_callback_attached_after_the_result_arrived_runs,
    the_callback_of_an_empty_input_runs,
    callbacks_run_though_nobody_waits,
    a_panicking_callback_is_the_error_of_its_handle,
    a_panicking_error_callback_keeps_the_error_as_its_source,
    a_slow_callback_delays_no_job,
    a_callback_may_submit_and_wait,
    join_in_a_callback_is_refused,
    get_of_a_later_callback_in_a_callback_is_refused,
    join_waits_for_callbacks,
    join_waits_for_callbacks_behind_others,
    callbacks_of_cancelled_and_terminated_jobs_run,
    callbacks_can_be_chained,
    callbacks_are_called_once_each_with_ten_thousand_jobs,
    the_last_reference_to_a_pool_may_be_dropped_in_a_callback,
    panics_of_callbacks_are_not_lost_if_their_handle_is_dropped,
];

#[track_caller]
fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("a callback runs")
}

fn a_callback_takes_the_value(method: StartMethod) {
    let pool = start(method, 1);
    let (sender, values) = mpsc::channel();
    let one = sender.clone();
    pool.apply_async(tasks::square, (3,)).callback(move |n| one.send(vec![n]).unwrap()).get().unwrap();
    assert_eq!(next(&values), [9]);
    pool.map_async(tasks::square, 0..3).callback(move |all| sender.send(all).unwrap()).get().unwrap();
    assert_eq!(next(&values), [0, 1, 4]);
    // It is not called for an error, which stays in the handle.
    let called = pool.apply_async(tasks::only_even, (1,)).callback(|_| panic!("called"));
    assert!(matches!(called.get(), Err(Error::Panicked { .. })));
}

fn inspect_looks_at_the_value_and_leaves_it(method: StartMethod) {
    let pool = start(method, 1);
    let (sender, values) = mpsc::channel();
    let handle = pool.apply_async(tasks::square, (3,)).inspect(move |n| sender.send(*n).unwrap());
    assert_eq!(handle.get().unwrap(), 9);
    assert_eq!(next(&values), 9);
    assert!(pool.apply_async(tasks::only_even, (1,)).inspect(|_| panic!("called")).get().is_err());
}

fn an_error_callback_sees_the_error_and_leaves_it(method: StartMethod) {
    let pool = start(method, 1);
    let (sender, errors) = mpsc::channel();
    let handle = pool.map_async(tasks::only_even, 0..4).error_callback(move |error| {
        sender.send(error.to_string()).unwrap();
    });
    let error = handle.get().unwrap_err();
    assert_eq!(error.index(), Some(1));
    assert_eq!(next(&errors), error.to_string());
    // Once per job, and for no success.
    assert!(errors.recv().is_err());
    assert_eq!(pool.apply_async(tasks::square, (3,)).error_callback(|_| panic!("called")).get().unwrap(), 9);
}

fn callbacks_run_in_order_of_completion(method: StartMethod) {
    let pool = start(method, 3);
    let gates: Vec<_> = (0..3).map(|_| Gate::new()).collect();
    let (sender, order) = mpsc::channel();
    let handles: Vec<_> = gates
        .iter()
        .zip(0..)
        .map(|(gate, n)| {
            let sender = sender.clone();
            pool.apply_async(tasks::gated, (gate.path(), n)).callback(move |n| sender.send(n).unwrap())
        })
        .collect();
    for expected in [1, 2, 0] {
        gates[expected as usize].open();
        assert_eq!(next(&order), expected);
    }
    handles.into_iter().for_each(|handle| handle.get().unwrap());
}

fn a_callback_attached_after_the_result_arrived_runs(method: StartMethod) {
    let pool = start(method, 1);
    let (sender, values) = mpsc::channel();
    let good = pool.apply_async(tasks::square, (3,));
    let bad = pool.apply_async(tasks::only_even, (1,));
    good.wait();
    bad.wait();
    let other = sender.clone();
    let good = good.callback(move |n| sender.send(n).unwrap());
    assert_eq!(next(&values), 9);
    let bad = bad.error_callback(move |_| other.send(0).unwrap());
    assert_eq!(next(&values), 0);
    good.get().unwrap();
    bad.get().unwrap_err();
}

fn the_callback_of_an_empty_input_runs(method: StartMethod) {
    let pool = start(method, 1);
    let (sender, values) = mpsc::channel();
    pool.map_async(tasks::square, []).callback(move |all| sender.send(all).unwrap()).get().unwrap();
    assert_eq!(next(&values), []);
}

fn callbacks_run_though_nobody_waits(method: StartMethod) {
    let pool = start(method, 2);
    let (sender, values) = mpsc::channel();
    for n in 0..50 {
        let sender = sender.clone();
        drop(pool.apply_async(tasks::square, (n,)).callback(move |n| sender.send(n).unwrap()));
    }
    let mut all: Vec<_> = (0..50).map(|_| next(&values)).collect();
    all.sort_unstable();
    assert_eq!(all, (0..50).map(|n| n * n).collect::<Vec<_>>());
}

fn a_panicking_callback_is_the_error_of_its_handle(method: StartMethod) {
    let pool = start(method, 1);
    let message = |error: Error| match error {
        Error::CallbackPanicked { message, source: None } => message,
        other => panic!("{other:?}"),
    };
    let called = pool.apply_async(tasks::square, (3,)).callback(|n| panic!("no {n}"));
    assert_eq!(message(called.get().unwrap_err()), "no 9");
    let looked = pool.apply_async(tasks::square, (3,)).inspect(|_| panic!("nothing to see"));
    assert_eq!(message(looked.get().unwrap_err()), "nothing to see");
    // Jobs and callbacks go on.
    let (sender, values) = mpsc::channel();
    pool.apply_async(tasks::square, (4,)).callback(move |n| sender.send(n).unwrap()).get().unwrap();
    assert_eq!(next(&values), 16);
}

fn a_panicking_error_callback_keeps_the_error_as_its_source(method: StartMethod) {
    let pool = start(method, 1);
    let handle = pool.apply_async(tasks::only_even, (1,)).error_callback(|_| panic!("worse"));
    let error = handle.get().unwrap_err();
    let Error::CallbackPanicked { message, source: Some(cause) } = &error else { panic!("{error:?}") };
    assert_eq!(message, "worse");
    assert!(matches!(**cause, Error::Panicked { .. }));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("1 is odd"));
}

fn a_slow_callback_delays_no_job(method: StartMethod) {
    let pool = start(method, 2);
    let (hold, held) = mpsc::channel::<()>();
    let (entered_sender, entered) = mpsc::channel();
    let slow = pool.apply_async(tasks::square, (3,)).callback(move |_| {
        entered_sender.send(()).unwrap();
        held.recv_timeout(PATIENCE).unwrap();
    });
    next(&entered);
    assert_eq!(pool.map(tasks::square, 0..1000).unwrap().len(), 1000);
    let others: Vec<_> = (0..100).map(|n| pool.apply_async(tasks::square, (n,))).collect();
    wait_until("the other jobs are done", || others.iter().all(AsyncResult::ready));
    assert!(!slow.ready());
    hold.send(()).unwrap();
    slow.get().unwrap();
}

fn a_callback_may_submit_and_wait(method: StartMethod) {
    let pool = Arc::new(start(method, 1));
    let (sender, values) = mpsc::channel();
    let inner = pool.clone();
    let handle = pool.apply_async(tasks::square, (3,)).callback(move |n| {
        let sum: u64 = inner.map(tasks::square, 0..n).unwrap().into_iter().sum();
        let again = inner.apply_async(tasks::square, (sum,)).get().unwrap();
        // A callback of a callback.
        drop(inner.apply_async(tasks::square, (again,)).callback(move |n| sender.send(n).unwrap()));
    });
    handle.get().unwrap();
    let sum: u64 = (0..9).map(|n| n * n).sum();
    assert_eq!(next(&values), sum.pow(4));
    // The callback's own reference goes when it returns.
    wait_until("the callback is gone", || Arc::strong_count(&pool) == 1);
}

fn get_of_a_later_callback_in_a_callback_is_refused(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let (sender, results) = mpsc::channel();
    let (later, handles) = mpsc::channel::<AsyncResult<()>>();
    let first = pool.apply_async(tasks::square, (3,)).callback(move |_| {
        let later = handles.recv_timeout(PATIENCE).unwrap();
        // Its own job is not even done; but what it waits for can only run after this.
        sender.send(later.get()).unwrap();
    });
    later.send(pool.apply_async(tasks::gated, (gate.path(), 3)).callback(|_| ())).unwrap();
    assert!(matches!(next(&results), Err(Error::WouldDeadlock { call: "get" })));
    gate.open();
    first.get().unwrap();
}

fn join_in_a_callback_is_refused(method: StartMethod) {
    let pool = Arc::new(start(method, 1));
    let inner = pool.clone();
    let (sender, results) = mpsc::channel();
    let handle = pool.apply_async(tasks::square, (3,)).callback(move |_| {
        inner.close();
        sender.send(inner.join()).unwrap();
    });
    assert!(matches!(next(&results), Err(Error::WouldDeadlock { call: "join" })));
    handle.get().unwrap();
    pool.join().unwrap();
    wait_until("the callback is gone", || Arc::strong_count(&pool) == 1);
}

fn join_waits_for_callbacks(method: StartMethod) {
    let pool = start(method, 2);
    let sum = Arc::new(Mutex::new(0));
    for n in 0..100 {
        let sum = sum.clone();
        drop(pool.apply_async(tasks::square, (n,)).callback(move |n| {
            std::thread::sleep(std::time::Duration::from_micros(200));
            *sum.lock().unwrap() += n;
        }));
    }
    pool.close();
    pool.join().unwrap();
    assert_eq!(*sum.lock().unwrap(), (0..100).map(|n| n * n).sum::<u64>());
}

fn join_waits_for_callbacks_behind_others(method: StartMethod) {
    let pool = start(method, 2);
    let (joins, joined) = mpsc::channel();
    let has_run = Arc::new(AtomicBool::new(false));
    let runs = has_run.clone();
    let joiner = rustix::thread::gettid();
    let first = pool.apply_async(tasks::square, (3,)).inspect(move |_| {
        joined.recv().unwrap();
        wait_until("the workers are gone, and the other thread waits for this", || {
            !processes::has_thread("pool-supervisor") && processes::rests(joiner)
        });
    });
    let last = first.inspect(|_| ()).callback(move |_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        runs.store(true, Ordering::SeqCst);
    });
    pool.close();
    joins.send(()).unwrap();
    pool.join().unwrap();
    assert!(has_run.load(Ordering::SeqCst));
    last.get().unwrap();
}

fn callbacks_of_cancelled_and_terminated_jobs_run(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let (sender, errors) = mpsc::channel();
    let with_callback = |n: u64| {
        let sender = sender.clone();
        pool.apply_async(tasks::gated, (gate.path(), n))
            .error_callback(move |error| sender.send(error.clone()).unwrap())
    };
    let (cancelled, terminated) = (with_callback(1), with_callback(2));
    assert!(cancelled.cancel());
    assert!(matches!(next(&errors), Error::Cancelled { .. }));
    pool.terminate();
    assert!(matches!(next(&errors), Error::Terminated));
    assert!(matches!(cancelled.get(), Err(Error::Cancelled { .. })));
    assert!(matches!(terminated.get(), Err(Error::Terminated)));
    let (late_sender, late) = mpsc::channel();
    let closed = pool
        .apply_async(tasks::square, (1,))
        .error_callback(move |error| late_sender.send(error.clone()).unwrap());
    assert!(matches!(next(&late), Error::Closed));
    assert!(matches!(closed.get(), Err(Error::Closed)));
}

fn callbacks_can_be_chained(method: StartMethod) {
    let pool = start(method, 1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let push = |what: &'static str| {
        let seen = seen.clone();
        move || seen.lock().unwrap().push(what)
    };
    let (first, second, third, fourth) = (push("first"), push("second"), push("third"), push("fourth"));
    let handle = pool
        .apply_async(tasks::square, (3,))
        .inspect(move |_| first())
        .error_callback(|_| panic!("there is no error"))
        .inspect(move |n| {
            second();
            assert!(*n != 9, "nine");
        })
        .inspect(|_| panic!("there is no value"))
        .error_callback(move |error| {
            assert!(matches!(error, Error::CallbackPanicked { .. }));
            third();
        })
        .error_callback(move |_| fourth());
    assert!(matches!(handle.get(), Err(Error::CallbackPanicked { message, .. }) if message == "nine"));
    assert_eq!(*seen.lock().unwrap(), ["first", "second", "third", "fourth"]);
}

fn callbacks_are_called_once_each_with_ten_thousand_jobs(method: StartMethod) {
    let pool = start(method, 2);
    let seen = Arc::new(Mutex::new(vec![0u8; 10_000]));
    let handles: Vec<_> = (0..10_000u64)
        .map(|n| {
            let seen = seen.clone();
            pool.apply_async(tasks::square, (n,)).inspect(move |_| seen.lock().unwrap()[n as usize] += 1)
        })
        .collect();
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(handle.get().unwrap(), n * n);
    }
    assert!(seen.lock().unwrap().iter().all(|count| *count == 1));
}

fn the_last_reference_to_a_pool_may_be_dropped_in_a_callback(method: StartMethod) {
    let pool: Pool = start(method, 1);
    let pool = Arc::new(pool);
    let inner = pool.clone();
    let outer_gone = Arc::new(AtomicBool::new(false));
    let told = outer_gone.clone();
    let (sender, done) = mpsc::channel();
    let handle = pool.apply_async(tasks::square, (3,)).callback(move |_| {
        wait_until("this is the last reference", || told.load(Ordering::SeqCst));
        drop(inner);
        sender.send(()).unwrap();
    });
    drop(pool);
    outer_gone.store(true, Ordering::SeqCst);
    next(&done);
    handle.get().unwrap();
}

fn panics_of_callbacks_are_not_lost_if_their_handle_is_dropped(method: StartMethod) {
    // The panic's message goes to standard error, as any panic's does.
    let ended = Program::new(crate::PROGRAM, "panicking_callback", method).run().expect_success();
    assert!(ended.stderr.contains("nobody sees this"), "{}", ended.stderr);
}
