//! Processes that are stopped and not killed, with no limit on time: what they have waits, and nothing else does.

use pool::{AsyncResult, Pool, StartMethod, pool_task};
use rustix::process::{Signal, getpid, kill_process};

use super::{Scene, follow, row, squares};
use crate::support::report::is_first;
use crate::support::{Log, note, processes, start, tasks, wait_until};

crate::cases![
    items_of_a_stopped_worker_wait_and_no_others,
    chunks_queued_at_a_stopped_worker_run_elsewhere,
    an_idle_worker_that_is_stopped_holds_up_nothing,
    an_idle_worker_that_is_stopped_holds_up_nothing_while_others_call,
    a_worker_that_is_killed_while_it_is_stopped_is_replaced,
    a_stopped_zygote_holds_up_no_job,
];

fn stop(pid: u32) {
    processes::signal(pid, Signal::STOP);
    wait_until("the process stops", || processes::is_stopped(pid));
}

/// Lets a process go on, also if a check fails in between.
struct Resumes(u32);

impl Drop for Resumes {
    fn drop(&mut self) {
        processes::signal(self.0, Signal::CONT);
    }
}

/// Notes the number; the first process that comes to `bad` notes its id and stops there.
#[pool_task]
fn stops_once(log: &str, stopped: &str, bad: u64, n: u64) -> u64 {
    note(log, n);
    if n == bad && is_first(&format!("{stopped}-first")) {
        note(stopped, std::process::id());
        let _ = kill_process(getpid(), Signal::STOP);
    }
    n
}

fn items_of_a_stopped_worker_wait_and_no_others(method: StartMethod) {
    let pool = start(method, 2);
    for size in [1, 10] {
        let pids = pool.worker_pids();
        let (log, stopped) = (Log::new(), Log::new());
        let items = (0..200).map(|n| (log.path(), stopped.path(), 50, n));
        let job = pool.options().chunk_size(size).starmap_async(stops_once, items);
        stopped.wait_for(1);
        let resumes = Resumes(stopped.sorted()[0] as u32);
        wait_until("it stops", || processes::is_stopped(resumes.0));
        // Items 51.. of its chunk wait with it.
        log.wait_for(200 - (size - 1));
        assert!(!job.ready());
        assert_eq!(log.count(), 200 - (size - 1));
        // Whatever comes now goes to the other one.
        for _ in 0..10 {
            assert_eq!(pool.map(tasks::square, 0..1000).unwrap(), squares(1000));
        }
        drop(resumes);
        assert_eq!(job.get().unwrap(), (0..200).collect::<Vec<_>>());
        assert_eq!(log.sorted(), (0..200).collect::<Vec<_>>(), "every item ran once");
        assert_eq!(pool.worker_pids(), pids);
    }
    follow(&pool);
}

fn chunks_queued_at_a_stopped_worker_run_elsewhere(method: StartMethod) {
    let pool = start(method, 2);
    // The pool learns that items are short, so that each worker gets several chunks ahead.
    let (log, stopped) = (Log::new(), Log::new());
    let items = |bad| (0..1000).map(move |n| (bad, n));
    let run = |bad: u64| {
        let (log, stopped) = (log.path(), stopped.path());
        pool.options()
            .chunk_size(2)
            .starmap_async(stops_once, items(bad).map(|(bad, n)| (log, stopped, bad, n)))
    };
    assert_eq!(run(u64::MAX).get().unwrap().len(), 1000);
    let job = run(500);
    stopped.wait_for(1);
    let resumes = Resumes(stopped.sorted()[0] as u32);
    wait_until("it stops", || processes::is_stopped(resumes.0));
    log.wait_for(2000 - 1);
    drop(resumes);
    assert_eq!(job.get().unwrap(), (0..1000).collect::<Vec<_>>());
    assert_eq!(log.count(), 2000, "every item ran once");
    follow(&pool);
}

/// Stops each of two idle workers in turn, has it given some of a hundred jobs, and lets it go on after `meanwhile`.
fn while_idle_workers_are_stopped(method: StartMethod, meanwhile: impl Fn(&Pool, &[AsyncResult<u64>])) {
    let pool = start(method, 2);
    assert_eq!(pool.map(tasks::square, 0..1000).unwrap(), squares(1000));
    for pid in pool.worker_pids() {
        stop(pid);
        let resumes = Resumes(pid);
        let handles: Vec<_> = (0..100).map(|n| pool.apply_async(tasks::square, (n,))).collect();
        meanwhile(&pool, &handles);
        drop(resumes);
        let results: pool::Result<Vec<_>> = handles.into_iter().map(AsyncResult::get).collect();
        assert_eq!(results.unwrap(), squares(100));
    }
    follow(&pool);
}

fn an_idle_worker_that_is_stopped_holds_up_nothing(method: StartMethod) {
    while_idle_workers_are_stopped(method, |pool, handles| {
        wait_until("even the one that it was given is done", || handles.iter().all(AsyncResult::ready));
        // A call that blocks finds it as well.
        assert_eq!(pool.map(tasks::square, 0..1000).unwrap(), squares(1000));
    });
}

fn an_idle_worker_that_is_stopped_holds_up_nothing_while_others_call(method: StartMethod) {
    while_idle_workers_are_stopped(method, |pool, handles| {
        // Nobody waits for as long as a stopped worker is given to go on.
        wait_until("even the one that it was given is done", || {
            assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
            handles.iter().all(AsyncResult::ready)
        });
    });
}

fn a_worker_that_is_killed_while_it_is_stopped_is_replaced(method: StartMethod) {
    let scene = Scene::set(method);
    for _ in 0..3 {
        let log = Log::new();
        let busy = scene.pool.apply_async(tasks::linger, (log.path(),));
        log.wait_for(1);
        let pid = log.sorted()[0] as u32;
        stop(pid);
        let queued = scene.pool.map_async(tasks::square, 0..1000);
        processes::kill(pid);
        assert_eq!(super::lost(busy.get().unwrap_err()), (0, pid, pool::Exit::Signal(9)));
        assert_eq!(queued.get().unwrap(), squares(1000));
    }
    scene.check();
}

fn a_stopped_zygote_holds_up_no_job(method: StartMethod) {
    row(method, |pool| {
        let mut zygotes = None;
        wait_until("workers and zygotes are there", || {
            zygotes = processes::zygotes_of(pool, method);
            zygotes.is_some()
        });
        let resumes: Vec<_> = zygotes.iter().flatten().map(|pid| Resumes(*pid)).collect();
        zygotes.into_iter().flatten().for_each(stop);
        for _ in 0..10 {
            assert_eq!(pool.map(tasks::square, 0..1000).unwrap(), squares(1000));
        }
        // The worker that is gone can only be replaced when they go on.
        let dying = pool.apply_async(tasks::die, ("kill",));
        assert_eq!(super::lost(dying.get().unwrap_err()).0, 0);
        drop(resumes);
    });
}
