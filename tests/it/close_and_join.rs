//! The orderly end.

use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use pool::{AsyncResult, Error, Pool, StartMethod, pool_task};

use crate::support::{Gate, Log, PATIENCE, ask_until, note, pass, processes, start, tasks};

crate::cases![
    join_on_an_open_pool_is_an_error,
    close_lets_queued_work_finish,
    a_closed_pool_refuses_every_call,
    close_and_join_may_be_repeated,
    terminate_after_close_ends_what_is_left,
    close_after_terminate_changes_nothing,
    join_waits_for_running_work,
    join_from_several_threads_returns_to_each,
    join_leaves_no_worker,
    close_on_an_unused_pool_ends_it,
    close_while_others_submit_loses_nothing,
    work_queued_at_close_survives_a_lost_worker,
    join_waits_until_everybody_is_told,
    join_returns_though_what_a_dropped_lazy_call_left_running_needs_memory,
];

fn join_on_an_open_pool_is_an_error(method: StartMethod) {
    let pool = start(method, 1);
    assert!(matches!(pool.join(), Err(Error::StillRunning)));
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn close_lets_queued_work_finish(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    let handles: Vec<_> =
        (0..1000).map(|n| pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), n))).collect();
    let many = pool.map_async(tasks::square, 0..5000);
    pool.close();
    assert!(!handles.iter().any(AsyncResult::ready));
    gate.open();
    pool.join().unwrap();
    assert!(handles.iter().all(|handle| handle.successful() == Some(true)));
    assert_eq!(many.get().unwrap().len(), 5000);
    assert_eq!(log.sorted(), (0..1000).collect::<Vec<_>>());
}

fn refuses_everything(pool: &Pool) {
    let is_closed = |error: Option<Error>| assert!(matches!(error, Some(Error::Closed)), "{error:?}");
    is_closed(pool.apply(tasks::square, (1,)).err());
    is_closed(pool.apply_async(tasks::square, (1,)).get().err());
    is_closed(pool.map(tasks::square, [1]).err());
    is_closed(pool.map(tasks::square, []).err());
    is_closed(pool.map_async(tasks::square, [1]).get().err());
    is_closed(pool.starmap(tasks::add, [(1, 2)]).err());
    is_closed(pool.starmap_async(tasks::add, [(1, 2)]).get().err());
    is_closed(pool.imap(tasks::square, [1]).next().and_then(Result::err));
    is_closed(pool.imap_unordered(tasks::square, [1]).next().and_then(Result::err));
    is_closed(pool.istarmap(tasks::add, [(1, 2)]).next().and_then(Result::err));
    is_closed(pool.istarmap_unordered(tasks::add, [(1, 2)]).next().and_then(Result::err));
    let mut handle = pool.apply_async(tasks::square, (1,));
    assert!(handle.ready());
    assert_eq!(handle.successful(), Some(false));
    assert!(!handle.cancel());
    is_closed(handle.get_timeout(Duration::ZERO).unwrap().err());
}

fn a_closed_pool_refuses_every_call(method: StartMethod) {
    let pool = start(method, 1);
    pool.close();
    refuses_everything(&pool);
    pool.join().unwrap();
    refuses_everything(&pool);
    drop(pool);
    let pool = start(method, 1);
    pool.terminate();
    refuses_everything(&pool);
    pool.join().unwrap();
    refuses_everything(&pool);
}

fn close_and_join_may_be_repeated(method: StartMethod) {
    let pool = start(method, 1);
    for _ in 0..3 {
        pool.close();
        pool.join().unwrap();
    }
}

fn terminate_after_close_ends_what_is_left(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let handle = pool.apply_async(tasks::gated, (gate.path(), 1));
    pool.close();
    pool.terminate();
    pool.join().unwrap();
    assert!(matches!(handle.get(), Err(Error::Terminated)));
}

fn close_after_terminate_changes_nothing(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let handle = pool.apply_async(tasks::gated, (gate.path(), 1));
    pool.terminate();
    pool.close();
    pool.terminate();
    pool.join().unwrap();
    assert!(matches!(handle.get(), Err(Error::Terminated)));
}

fn join_waits_for_running_work(method: StartMethod) {
    let pool = start(method, 1);
    let (log, gate) = (Log::new(), Gate::new());
    let handle = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 7));
    log.wait_for(1);
    pool.close();
    std::thread::scope(|scope| {
        let join = scope.spawn(|| pool.join());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!join.is_finished());
        gate.open();
        join.join().unwrap().unwrap();
    });
    assert!(handle.ready());
    assert_eq!(handle.get().unwrap(), 7);
}

fn join_from_several_threads_returns_to_each(method: StartMethod) {
    let pool = start(method, 2);
    let handle = pool.map_async(tasks::square, 0..10_000);
    pool.close();
    std::thread::scope(|scope| {
        let joins: Vec<_> = (0..8).map(|_| scope.spawn(|| pool.join())).collect();
        joins.into_iter().for_each(|join| join.join().unwrap().unwrap());
    });
    assert_eq!(handle.get().unwrap().len(), 10_000);
}

fn join_leaves_no_worker(method: StartMethod) {
    let pool = start(method, 3);
    let pids = pool.worker_pids();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| processes::is_alive(*pid)));
    pool.close();
    pool.join().unwrap();
    assert!(pids.iter().all(|pid| processes::state(*pid).is_none()));
    assert!(pool.worker_pids().is_empty());
    assert!(processes::children().is_empty());
    assert_eq!(pool.worker_count(), 3);
}

fn close_on_an_unused_pool_ends_it(method: StartMethod) {
    for _ in 0..5 {
        // Also while its workers still start.
        let pool = start(method, 2);
        pool.close();
        pool.join().unwrap();
    }
}

fn close_while_others_submit_loses_nothing(method: StartMethod) {
    let pool = start(method, 2);
    std::thread::scope(|scope| {
        let submitters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = 0u64;
                    loop {
                        match pool.apply_async(tasks::square, (done,)).get() {
                            Ok(square) => assert_eq!(square, done * done),
                            Err(error) => {
                                assert!(matches!(error, Error::Closed), "{error}");
                                return done;
                            }
                        }
                        done += 1;
                    }
                })
            })
            .collect();
        pool.apply(tasks::square, (1,)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        pool.close();
        pool.join().unwrap();
        submitters.into_iter().for_each(|submitter| assert!(submitter.join().is_ok()));
    });
}

fn work_queued_at_close_survives_a_lost_worker(method: StartMethod) {
    let pool = start(method, 1);
    let (log, gate) = (Log::new(), Gate::new());
    let first = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 0));
    let rest = pool.map_async(tasks::square, 0..100);
    log.wait_for(1);
    pool.close();
    processes::kill(pool.worker_pids()[0]);
    pool.join().unwrap();
    assert!(matches!(first.get(), Err(Error::WorkerLost { .. })));
    assert_eq!(rest.get().unwrap().len(), 100);
}

/// Says that it is woken, and holds up who wakes it for as long as `go` has another end.
struct Reluctant {
    woken: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Wake for Reluctant {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().send(()).unwrap();
        let _ = self.go.lock().unwrap().recv();
    }
}

fn join_waits_until_everybody_is_told(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let mut watched = pool.apply_async(tasks::gated, (gate.path(), 1));
    let last = pool.apply_async(tasks::gated, (gate.path(), 2)).error_callback(|_| {});
    let ((woken, is_woken), (hold, go)) = (mpsc::channel(), mpsc::channel());
    let waker = Waker::from(Arc::new(Reluctant { woken: Mutex::new(woken), go: Mutex::new(go) }));
    assert!(Pin::new(&mut watched).poll(&mut Context::from_waker(&waker)).is_pending());
    let (joined, is_joined) = mpsc::channel();
    thread::scope(|scope| {
        // It tells the first job's waker of the end, and the last job's callback only after that.
        scope.spawn(|| pool.terminate());
        is_woken.recv().unwrap();
        scope.spawn(|| joined.send(pool.join()).unwrap());
        assert!(is_joined.recv_timeout(Duration::from_millis(300)).is_err(), "somebody is not told yet");
        drop::<Sender<()>>(hold);
        is_joined.recv().unwrap().unwrap();
        assert!(last.ready());
    });
}

/// Notes that it runs, waits for the gate, and returns more than fits into a frame.
#[pool_task]
fn large_behind(log: &str, gate: &str) -> Vec<u8> {
    note(log, 1);
    pass(gate);
    vec![7; 1 << 20]
}

fn join_returns_though_what_a_dropped_lazy_call_left_running_needs_memory(method: StartMethod) {
    let pool = start(method, 1);
    let (log, gate) = (Log::new(), Gate::new());
    let mut results = pool.istarmap(large_behind, [(log.path(), gate.path())]);
    ask_until(&mut results, "it runs", || log.count() == 1);
    drop(results);
    pool.close();
    gate.open();
    pool.join_timeout(PATIENCE).expect("somebody gives the worker its memory").unwrap();
}
