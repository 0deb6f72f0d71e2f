//! Callbacks and error callbacks that do what they should not, or what may wait for themselves.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pool::{AsyncResult, Error, Pool, StartMethod, pool_task};
use serde::{Deserialize, Serialize};

use super::{Scene, hold_callbacks, row, squares};
use crate::support::{Gate, PATIENCE, start, tasks, wait_until};

crate::cases![
    one_that_panics_fails_its_own_handle,
    what_panics_when_it_is_dropped_fails_its_own_handle,
    one_that_blocks_holds_up_other_callbacks_and_nothing_else,
    one_that_submits_work_of_every_kind_gets_its_results,
    get_of_its_own_handle_is_an_error_at_once,
    get_of_the_handle_of_a_later_callback_is_an_error_at_once,
    get_after_the_pool_is_gone_is_an_error_at_once,
    close_is_allowed_and_join_an_error_at_once,
    terminate_is_allowed,
    waiting_for_a_callback_that_ran_is_allowed,
    waiting_in_a_waker_is_an_error_at_once,
    a_waker_may_ask_for_what_a_callback_makes,
];

/// Longer than a case may take.
const LONG: Duration = Duration::from_secs(3600);

#[track_caller]
fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("a callback runs")
}

/// The text and the cause of what a callback ended with.
#[track_caller]
fn panicked<R: std::fmt::Debug>(outcome: pool::Result<R>) -> (String, Option<Arc<Error>>) {
    match outcome {
        Err(Error::CallbackPanicked { message, source }) => (message, source),
        other => panic!("{other:?}"),
    }
}

/// Callbacks that come later run.
fn go_on(pool: &Pool) {
    let (sender, values) = mpsc::channel();
    pool.apply_async(tasks::square, (4,)).callback(move |n| sender.send(n).unwrap()).get().unwrap();
    assert_eq!(next(&values), 16);
}

fn one_that_panics_fails_its_own_handle(method: StartMethod) {
    row(method, |pool| {
        let good = || pool.apply_async(tasks::square, (3,));
        let bad = || pool.apply_async(tasks::only_even, (1,));
        let (message, source) = panicked(good().callback(|n| panic!("no {n}")).get());
        assert!(message == "no 9" && source.is_none());
        assert_eq!(panicked(good().inspect(|_| panic!("again")).get()).0, "again");
        let (message, source) = panicked(bad().error_callback(|_| panic!("worse")).get());
        assert_eq!(message, "worse");
        assert!(matches!(source.as_deref(), Some(Error::Panicked { index: 0, .. })), "{source:?}");
        // What it panics with may panic as well.
        let payload = || std::panic::panic_any(Touchy(7));
        panicked(good().callback(move |_| payload()).get());
        panicked(bad().error_callback(move |_| payload()).get());
        go_on(pool);
    });
}

/// Panics when it is dropped where callbacks run.
#[derive(Serialize, Deserialize)]
struct Touchy(u64);

impl Drop for Touchy {
    fn drop(&mut self) {
        if std::thread::current().name() == Some("pool-callbacks") && !std::thread::panicking() {
            panic!("{} is dropped", self.0);
        }
    }
}

#[pool_task]
fn touchy(n: u64) -> Touchy {
    Touchy(n)
}

fn what_panics_when_it_is_dropped_fails_its_own_handle(method: StartMethod) {
    row(method, |pool| {
        let message = |outcome| panicked::<()>(outcome).0;
        let capture = |n| {
            let capture = Touchy(n);
            move || drop(capture)
        };
        // The value that it is given, or ..
        assert_eq!(message(pool.apply_async(touchy, (1,)).callback(drop).get()), "1 is dropped");
        // .. what it captured, whether it is called ..
        let called = capture(2);
        assert_eq!(
            message(pool.apply_async(tasks::square, (3,)).callback(move |_| called()).get()),
            "2 is dropped"
        );
        // .. or not.
        let not_called = capture(3);
        let outcome = pool.apply_async(tasks::only_even, (1,)).callback(move |_| not_called());
        assert_eq!(message(outcome.get()), "3 is dropped");
        let not_called = capture(4);
        let outcome = pool.apply_async(tasks::square, (3,)).error_callback(move |_| not_called());
        assert_eq!(panicked(outcome.get()).0, "4 is dropped");
        // A value that nobody has a handle of any more.
        let (sender, seen) = mpsc::channel();
        let hold = hold_callbacks(pool);
        drop(pool.apply_async(touchy, (5,)).inspect(move |value| sender.send(value.0).unwrap()));
        drop(hold);
        assert_eq!(next(&seen), 5);
        // The value of one that panics.
        let outcome = pool.apply_async(touchy, (6,)).inspect(|_| panic!("no"));
        assert!(panicked(outcome.get().map(drop)).0 == "6 is dropped");
        go_on(pool);
    });
}

fn one_that_blocks_holds_up_other_callbacks_and_nothing_else(method: StartMethod) {
    row(method, |pool| {
        let (hold, held) = mpsc::channel::<()>();
        let (entered, enters) = mpsc::channel();
        let blocked = pool.apply_async(tasks::square, (3,)).callback(move |_| {
            entered.send(()).unwrap();
            held.recv_timeout(PATIENCE).unwrap();
        });
        next(&enters);
        assert_eq!(pool.map(tasks::square, 0..1000).unwrap(), squares(1000));
        let job = pool.apply_async(tasks::square, (4,));
        wait_until("another job ends though nobody waits for it", || job.ready());
        let mut later = job.callback(|_| ());
        assert!(later.get_timeout(Duration::from_millis(10)).is_none() && !blocked.ready());
        hold.send(()).unwrap();
        blocked.get().unwrap();
        later.get().unwrap();
    });
}

fn one_that_submits_work_of_every_kind_gets_its_results(method: StartMethod) {
    let scene = Scene::set(method);
    let (log, gate) = (scene.log, scene.gate);
    let pool = Arc::new(scene.pool);
    for fails in [false, true] {
        let inner = pool.clone();
        let (sender, results) = mpsc::channel();
        let submit = move || {
            assert_eq!(inner.apply(tasks::square, (3,)).unwrap(), 9);
            assert_eq!(inner.map(tasks::square, 0..100).unwrap(), squares(100));
            let lazy: pool::Result<Vec<_>> = inner.imap(tasks::square, 0..100).collect();
            assert_eq!(lazy.unwrap(), squares(100));
            let mut handle = inner.options().chunk_size(7).map_async(tasks::square, 0..100);
            assert!(handle.wait_timeout(PATIENCE));
            assert_eq!(handle.get_timeout(PATIENCE).unwrap().unwrap(), squares(100));
            assert!(matches!(inner.apply(tasks::only_even, (1,)), Err(Error::Panicked { .. })));
            let sent = sender.clone();
            drop(inner.apply_async(tasks::square, (5,)).callback(move |n| sent.send(n).unwrap()));
        };
        if fails {
            let handle = pool.apply_async(tasks::only_even, (1,)).error_callback(move |_| submit());
            assert!(matches!(handle.get(), Err(Error::Panicked { .. })));
        } else {
            pool.apply_async(tasks::square, (3,)).callback(move |_| submit()).get().unwrap();
        }
        assert_eq!(next(&results), 25);
    }
    wait_until("the callbacks are gone", || Arc::strong_count(&pool) == 1);
    let pool = Arc::into_inner(pool).expect("nobody else has it");
    Scene { pool, log, gate, held: scene.held }.check();
}

/// A callback that asks for what it is itself to make, in every way that waits.
fn ask_for(mut own: AsyncResult<()>, results: &Sender<pool::Result<()>>) {
    own.wait();
    assert!(!own.wait_timeout(LONG) && !own.ready() && own.successful().is_none());
    assert!(!own.cancel(), "the job has ended");
    results.send(own.get_timeout(LONG).expect("nothing is waited for")).unwrap();
    results.send(own.get()).unwrap();
}

#[track_caller]
fn deadlocks(results: &Receiver<pool::Result<()>>) {
    for expected in ["get_timeout", "get"] {
        let outcome = next(results);
        assert!(matches!(outcome, Err(Error::WouldDeadlock { call }) if call == expected), "{outcome:?}");
    }
}

fn get_of_its_own_handle_is_an_error_at_once(method: StartMethod) {
    row(method, |pool| {
        let (sender, results) = mpsc::channel();
        // Its handle reaches it in the way that it must: after it was attached.
        let (give, given) = mpsc::channel();
        let handle = pool.apply_async(tasks::square, (3,));
        let asking = sender.clone();
        give.send(handle.callback(move |_| ask_for(given.recv_timeout(PATIENCE).unwrap(), &asking))).unwrap();
        deadlocks(&results);
        // The same through a lock.
        let place = Arc::new(Mutex::new(None));
        let inner = place.clone();
        let mut full = place.lock().unwrap();
        let handle = pool.apply_async(tasks::square, (3,));
        *full = Some(handle.callback(move |_| {
            let own = inner.lock().unwrap().take().expect("it was put there under the lock");
            ask_for(own, &sender);
        }));
        drop(full);
        deadlocks(&results);
        go_on(pool);
    });
}

fn get_of_the_handle_of_a_later_callback_is_an_error_at_once(method: StartMethod) {
    row(method, |pool| {
        let gate = Gate::new();
        let (sender, results) = mpsc::channel();
        let (give, given) = mpsc::channel::<AsyncResult<()>>();
        let first = pool.apply_async(tasks::square, (3,)).callback(move |_| {
            let mut later = given.recv_timeout(PATIENCE).unwrap();
            sender.send(later.get_timeout(LONG).expect("nothing is waited for")).unwrap();
            sender.send(later.get()).unwrap();
        });
        // Neither the job nor its callback has ended.
        let (ran_sender, ran) = mpsc::channel();
        let job = pool.apply_async(tasks::gated, (gate.path(), 3));
        give.send(job.callback(move |n| ran_sender.send(n).unwrap())).unwrap();
        deadlocks(&results);
        first.get().unwrap();
        gate.open();
        assert_eq!(next(&ran), 3);
    });
}

fn get_after_the_pool_is_gone_is_an_error_at_once(method: StartMethod) {
    let pool = start(method, 1);
    let square = || {
        let handle = pool.apply_async(tasks::square, (3,));
        handle.wait();
        handle
    };
    let (sender, results) = mpsc::channel();
    let (enter, entered) = mpsc::channel();
    let (give, given) = mpsc::channel();
    let outlives = square().callback(move |_| {
        enter.send(()).unwrap();
        for _ in 0..3 {
            ask_for(given.recv_timeout(PATIENCE).unwrap(), &sender);
        }
    });
    next(&entered);
    let (ran_sender, ran) = mpsc::channel();
    let later = square().inspect(move |n| ran_sender.send(*n).unwrap());
    let followed = square().inspect(|_| ());
    drop(pool);
    // What is attached now runs on the thread of what it follows.
    let following = followed.callback(|_| ());
    for handle in [outlives, later.callback(|_| ()), following] {
        give.send(handle).unwrap();
        deadlocks(&results);
    }
    assert_eq!(next(&ran), 9);
}

fn waiting_for_a_callback_that_ran_is_allowed(method: StartMethod) {
    row(method, |pool| {
        let earlier = pool.apply_async(tasks::square, (3,)).inspect(|_| ());
        earlier.wait();
        let (sender, results) = mpsc::channel();
        let handle = pool.apply_async(tasks::square, (4,));
        handle.callback(move |_| sender.send(earlier.get()).unwrap()).get().unwrap();
        assert_eq!(next(&results).unwrap(), 9);
    });
}

fn close_is_allowed_and_join_an_error_at_once(method: StartMethod) {
    let scene = Scene::set(method);
    let pool = Arc::new(scene.pool);
    let inner = pool.clone();
    let (sender, results) = mpsc::channel();
    let handle = pool.apply_async(tasks::only_even, (1,)).error_callback(move |_| {
        sender.send(inner.join()).unwrap();
        inner.close();
        sender.send(inner.join()).unwrap();
        sender.send(inner.join_timeout(LONG).expect("nothing is waited for")).unwrap();
        assert!(matches!(inner.apply(tasks::square, (3,)), Err(Error::Closed)));
    });
    assert!(matches!(next(&results), Err(Error::StillRunning)));
    for call in ["join", "join"] {
        let outcome = next(&results);
        assert!(matches!(outcome, Err(Error::WouldDeadlock { call: is }) if is == call), "{outcome:?}");
    }
    assert!(matches!(handle.get(), Err(Error::Panicked { .. })));
    // What was open goes on to its end.
    scene.gate.open();
    assert_eq!(scene.held.get().unwrap(), 7);
    pool.join().unwrap();
    wait_until("the callback is gone", || Arc::strong_count(&pool) == 1);
}

fn terminate_is_allowed(method: StartMethod) {
    let pool = Arc::new(start(method, 2));
    let gate = Gate::new();
    let running = pool.apply_async(tasks::gated, (gate.path(), 7));
    let inner = pool.clone();
    let handle = pool.apply_async(tasks::square, (3,)).callback(move |_| {
        inner.terminate();
        assert!(matches!(inner.join(), Err(Error::WouldDeadlock { .. })));
    });
    handle.get().unwrap();
    assert!(matches!(running.get(), Err(Error::Terminated)));
    pool.join().unwrap();
    wait_until("the callback is gone", || Arc::strong_count(&pool) == 1);
}

/// Runs code when it is woken for the first time, as an executor may that polls right there.
struct Runs(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Runs {
    fn wake(self: Arc<Self>) {
        let code = self.0.lock().unwrap().take();
        code.into_iter().for_each(|code| code());
    }
}

/// Has the code run when the result is there.
fn when_woken<R>(handle: &mut AsyncResult<R>, code: impl FnOnce() + Send + 'static) {
    let waker = Waker::from(Arc::new(Runs(Mutex::new(Some(Box::new(code))))));
    assert!(Pin::new(handle).poll(&mut Context::from_waker(&waker)).is_pending());
}

fn waiting_in_a_waker_is_an_error_at_once(method: StartMethod) {
    let pool = Arc::new(start(method, 2));
    let gates = [Gate::new(), Gate::new()];
    let mut running = pool.apply_async(tasks::gated, (gates[0].path(), 1));
    let mut other = pool.apply_async(tasks::gated, (gates[1].path(), 2));
    let (sender, results) = mpsc::channel();
    let (submit, submitted) = mpsc::channel();
    let inner = pool.clone();
    when_woken(&mut running, move || {
        submit.send(inner.apply_async(tasks::square, (3,))).unwrap();
        let send = |result: pool::Result<()>| sender.send(result).unwrap();
        send(inner.apply(tasks::square, (3,)).map(drop));
        send(inner.map(tasks::square, 0..3).map(drop));
        let mut lazy = inner.imap(tasks::square, 0..3);
        send(lazy.next().expect("it is an error").map(drop));
        assert!(lazy.next().is_none());
        send(other.get_timeout(LONG).expect("nothing is waited for").map(drop));
        other.wait();
        assert!(!other.wait_timeout(LONG));
        send(other.get().map(drop));
        inner.close();
        send(inner.join());
        send(inner.join_timeout(LONG).expect("nothing is waited for"));
    });
    // Nobody waits, so that the pool's own thread sees the result.
    gates[0].open();
    for expected in ["apply", "map", "next", "get_timeout", "get", "join", "join"] {
        let outcome = next(&results);
        assert!(matches!(outcome, Err(Error::WouldDeadlock { call }) if call == expected), "{outcome:?}");
    }
    assert_eq!(next(&submitted).get().unwrap(), 9);
    gates[1].open();
    assert_eq!(running.get().unwrap(), 1);
    pool.join().unwrap();
    wait_until("the waker is gone", || Arc::strong_count(&pool) == 1);
}

fn a_waker_may_ask_for_what_a_callback_makes(method: StartMethod) {
    row(method, |pool| {
        let gates = [Gate::new(), Gate::new()];
        let with_callback = |gate: &Gate| pool.apply_async(tasks::gated, (gate.path(), 3)).inspect(|_| ());
        let (mut first, mut second) = (with_callback(&gates[0]), with_callback(&gates[1]));
        let (sender, results) = mpsc::channel();
        // It is woken on the thread that is to make the other one as well, and does not wait for it.
        when_woken(&mut first, move || {
            let polled = Pin::new(&mut second).poll(&mut Context::from_waker(Waker::noop()));
            sender.send((polled.map(|result| result.map(drop)), second)).unwrap();
        });
        gates[0].open();
        let (polled, second) = next(&results);
        assert!(matches!(polled, Poll::Pending), "{polled:?}");
        gates[1].open();
        assert_eq!(second.get().unwrap(), 3);
        assert_eq!(first.get().unwrap(), 3);
    });
}
