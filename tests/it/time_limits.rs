//! Timeouts of items, deadlines of jobs, and the cancelling of what runs.

use std::time::{Duration, Instant};

use pool::{Error, StartMethod, TimeLimit};
use rustix::process::Signal;

use crate::support::limited::Pastime;
use crate::support::{Gate, Log, PATIENCE, ask_until, limited, processes, start, tasks, wait_until};

crate::cases![
    only_the_item_that_runs_too_long_is_timed_out,
    the_rest_of_its_chunk_runs_elsewhere_and_nothing_runs_twice,
    time_counts_from_the_start_of_the_item_and_not_from_queueing,
    a_worker_that_ignores_sigterm_is_killed,
    what_the_task_started_ends_with_its_worker,
    a_stopped_worker_is_timed_out_and_replaced,
    a_worker_that_was_stopped_while_idle_loses_nothing,
    a_task_learns_that_it_should_end,
    an_item_that_ends_in_time_after_being_told_has_its_result,
    the_soft_limit_concerns_one_item_only,
    a_lazy_call_goes_on_after_a_timeout,
    a_handle_learns_of_a_timeout_though_nobody_waits,
    a_limit_is_kept_while_another_thread_waits_for_a_job_without_one,
    join_does_not_wait_for_limits_of_items_that_ended,
    a_deadline_ends_the_whole_job,
    a_deadline_that_is_past_ends_the_job_at_once,
    a_lazy_call_yields_what_was_done_before_the_deadline,
    cancel_ends_the_running_item_and_its_worker,
    cancel_leaves_other_jobs_alone,
    cancel_lets_a_task_end_by_itself_that_asks,
    dropping_a_lazy_call_leaves_its_running_items_alone,
    running_items_of_a_dropped_lazy_call_still_have_its_deadline,
    limits_that_make_no_sense_are_refused,
    a_limit_too_long_for_any_clock_is_none,
    many_timeouts_at_random_times_end_every_item_once,
];

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

fn timed_out(error: &Error) -> usize {
    let Error::TimedOut { index, limit: TimeLimit::Timeout(_), pid: Some(_), attempts: 1, .. } = error else {
        panic!("{error:?}")
    };
    *index
}

fn all_workers_are_back(pool: &pool::Pool) {
    wait_until("all workers are there", || pool.worker_pids().len() == pool.worker_count());
    assert_eq!(pool.map(tasks::square, 0..100).unwrap(), (0..100).map(|n| n * n).collect::<Vec<_>>());
}

fn only_the_item_that_runs_too_long_is_timed_out(method: StartMethod) {
    let pool = start(method, 2);
    let bystander = pool.map_async(tasks::square, 0..10_000);
    let naps = pool.options().chunk_size(1).timeout(5 * SHORT).imap(limited::sleep, [0, 0, 60_000, 0, 0]);
    let results: Vec<_> = naps.collect();
    let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(errors.iter().map(|error| timed_out(error)).collect::<Vec<_>>(), [2]);
    assert!(errors[0].to_string().ends_with("ran longer than 500ms"), "{}", errors[0]);
    assert_eq!(bystander.get().unwrap().len(), 10_000);
    all_workers_are_back(&pool);
}

fn the_rest_of_its_chunk_runs_elsewhere_and_nothing_runs_twice(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let items = (0..1000).map(|n| (log.path(), n, if n == 400 { 60_000 } else { 0 }));
    let options = pool.options().chunk_size(1000).window(1000).timeout(20 * SHORT);
    let results: Vec<_> = options.istarmap(limited::noted_sleep, items).collect();
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).map(timed_out).collect();
    assert_eq!((results.len(), failed), (1000, vec![400]));
    assert_eq!(log.sorted(), (0..1000).collect::<Vec<_>>(), "each item ran once");
    all_workers_are_back(&pool);
}

fn time_counts_from_the_start_of_the_item_and_not_from_queueing(method: StartMethod) {
    let pool = start(method, 1);
    // Together they take longer than the limit of each.
    let options = pool.options().timeout(Duration::from_secs(2));
    for size in [1, 30] {
        assert_eq!(options.clone().chunk_size(size).map(limited::sleep, [100; 30]).unwrap().len(), 30);
    }
}

fn a_worker_that_ignores_sigterm_is_killed(method: StartMethod) {
    let pool = start(method, 1);
    let pid = pool.apply(tasks::own_pid, ()).unwrap();
    let error = pool.options().timeout(SHORT).apply(limited::ignore_sigterm_and_hang, ()).unwrap_err();
    assert_eq!(timed_out(&error), 0);
    wait_until("it is gone", || !processes::is_alive(pid));
    all_workers_are_back(&pool);
}

fn what_the_task_started_ends_with_its_worker(method: StartMethod) {
    let pool = start(method, 1);
    let log = Log::new();
    let error =
        pool.options().timeout(20 * SHORT).apply(limited::start_child_and_hang, (log.path(),)).unwrap_err();
    assert_eq!(timed_out(&error), 0);
    let child: u32 = log.lines()[0].parse().unwrap();
    wait_until("the child is gone", || !processes::is_alive(child));
    // One that an item left which was in time.
    let child = pool.apply(limited::start_child, ()).unwrap();
    assert!(processes::is_alive(child));
    assert_eq!(timed_out(&pool.options().timeout(SHORT).apply(limited::sleep, (60_000,)).unwrap_err()), 0);
    wait_until("the child is gone", || !processes::is_alive(child));
}

fn a_stopped_worker_is_timed_out_and_replaced(method: StartMethod) {
    let pool = start(method, 2);
    let gate = Gate::new();
    let log = Log::new();
    let options = pool.options().timeout(Duration::from_secs(1));
    let stopped = options.apply_async(limited::pid_gated, (log.path(), gate.path(), 7));
    wait_until("it runs", || log.count() == 1);
    let pid = limited::pids(&log)[0];
    processes::signal(pid, Signal::STOP);
    gate.open();
    assert_eq!(timed_out(&stopped.get().unwrap_err()), 0);
    wait_until("it is replaced", || !pool.worker_pids().contains(&pid));
    all_workers_are_back(&pool);
}

fn a_worker_that_was_stopped_while_idle_loses_nothing(method: StartMethod) {
    let pool = start(method, 1);
    let pid = pool.apply(tasks::own_pid, ()).unwrap();
    processes::signal(pid, Signal::STOP);
    let other = pool.options().timeout(10 * SHORT).apply(tasks::own_pid, ()).unwrap();
    assert_ne!(pid, other);
    all_workers_are_back(&pool);
}

fn a_task_learns_that_it_should_end(method: StartMethod) {
    let pool = start(method, 1);
    assert!(!pool::interrupted());
    let options = pool.options().soft_timeout(SHORT).timeout(LONG);
    let before = limited::now();
    let told = options.apply(limited::seen, (Pastime::UntilTold,)).unwrap();
    assert!(told.ended - before >= SHORT, "{told:?}");
    // Its time counts from its own start, which is after the other's end.
    let times = [Pastime::Sleep(SHORT * 3 / 4), Pastime::UntilTold];
    let [first, told] = options.chunk_size(2).map(limited::seen, times).unwrap()[..] else { panic!("two") };
    assert!(told.ended - first.ended >= SHORT, "{first:?}, {told:?}");
}

fn an_item_that_ends_in_time_after_being_told_has_its_result(method: StartMethod) {
    let pool = start(method, 2);
    let options = pool.options().soft_timeout(SHORT).timeout(LONG);
    let pids = pool.worker_pids();
    assert_eq!(options.chunk_size(2).map(limited::until_interrupted_for, 0..4).unwrap().len(), 4);
    assert_eq!(pool.worker_pids(), pids);
}

fn the_soft_limit_concerns_one_item_only(method: StartMethod) {
    let pool = start(method, 1);
    let options = pool.options().chunk_size(3).soft_timeout(SHORT);
    let mut end_before = limited::now();
    let times = [Pastime::UntilTold, Pastime::Sleep(Duration::ZERO), Pastime::UntilTold];
    for seen in options.map(limited::seen, times).unwrap() {
        // Unless it got no time for so long that it must have been told.
        assert!(!seen.at_start || seen.begun - end_before >= SHORT, "{seen:?} after {end_before:?}");
        end_before = seen.ended;
    }
}

fn a_lazy_call_goes_on_after_a_timeout(method: StartMethod) {
    let pool = start(method, 2);
    let endless = (0..).map(|n| if n % 50 == 7 { 60_000 } else { 0 });
    let options = pool.options().timeout(5 * SHORT);
    let results: Vec<_> = options.imap(limited::sleep, endless).take(120).collect();
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).map(timed_out).collect();
    assert_eq!(failed, [7, 57, 107]);
}

fn a_handle_learns_of_a_timeout_though_nobody_waits(method: StartMethod) {
    let pool = start(method, 1);
    let handle = pool.options().timeout(SHORT).apply_async(limited::sleep, (60_000,));
    wait_until("it is ready", || handle.ready());
    assert_eq!(timed_out(&handle.get().unwrap_err()), 0);
}

fn a_limit_is_kept_while_another_thread_waits_for_a_job_without_one(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.apply(limited::pid_gated, (log.path(), gate.path(), 1)));
        wait_until("it runs", || log.count() == 1);
        // Whoever leads sleeps by then, knowing of no time limit.
        std::thread::sleep(SHORT);
        let handle = pool.options().timeout(SHORT).apply_async(limited::sleep, (600_000,));
        wait_until("it is ready", || handle.ready());
        assert_eq!(timed_out(&handle.get().unwrap_err()), 0);
        let past = pool.options().deadline(Instant::now() + SHORT).apply_async(limited::sleep, (600_000,));
        wait_until("it is ready", || past.ready());
        gate.open();
        assert_eq!(waits.join().unwrap().unwrap(), 1);
    });
}

fn join_does_not_wait_for_limits_of_items_that_ended(method: StartMethod) {
    let pool = start(method, 2);
    let options = pool.options().timeout(Duration::from_secs(3600));
    assert_eq!(options.map(limited::sleep, [0; 10]).unwrap(), [0; 10]);
    pool.close();
    pool.join().unwrap();
}

fn a_deadline_ends_the_whole_job(method: StartMethod) {
    let pool = start(method, 2);
    let gate = Gate::new();
    let log = Log::new();
    let bystander = pool.apply_async(limited::pid_gated, (log.path(), gate.path(), 1));
    wait_until("the bystander runs", || log.count() == 1);
    let soon = Instant::now() + SHORT;
    let error = pool.options().deadline(soon).map(limited::sleep, [60_000; 100]).unwrap_err();
    assert!(matches!(error, Error::TimedOut { index: 0, limit: TimeLimit::Deadline, .. }), "{error:?}");
    assert!(error.to_string().ends_with("had not ended when the deadline of its job came"), "{error}");
    gate.open();
    assert_eq!(bystander.get().unwrap(), 1);
    all_workers_are_back(&pool);
}

fn a_deadline_that_is_past_ends_the_job_at_once(method: StartMethod) {
    let pool = start(method, 1);
    let past = pool.options().deadline(Instant::now());
    assert!(matches!(past.apply(tasks::square, (3,)), Err(Error::TimedOut { .. })));
    assert!(matches!(past.map_async(tasks::square, [3; 10]).get(), Err(Error::TimedOut { .. })));
    all_workers_are_back(&pool);
}

fn a_lazy_call_yields_what_was_done_before_the_deadline(method: StartMethod) {
    let pool = start(method, 2);
    all_workers_are_back(&pool);
    let far = pool.options().chunk_size(1).deadline(Instant::now() + Duration::from_secs(2));
    let results: Vec<_> = far.imap(limited::sleep, [0, 0, 60_000, 60_000]).collect();
    assert!(matches!(results[..], [Ok(_), Ok(_), Err(Error::TimedOut { index: 2, .. })]), "{results:?}");
}

fn cancel_ends_the_running_item_and_its_worker(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    let items = (0..10).map(|n| (log.path(), gate.path(), n));
    let job = pool.options().chunk_size(1).starmap_async(limited::pid_gated, items);
    wait_until("both workers run an item", || log.count() == 2);
    let pids = limited::pids(&log);
    assert!(job.cancel() && !job.cancel());
    assert!(matches!(job.get(), Err(Error::Cancelled { index: 0, .. })));
    wait_until("both are gone", || pids.iter().all(|pid| !processes::is_alive(*pid)));
    all_workers_are_back(&pool);
    assert_eq!(log.count(), 2, "nothing that was queued has started");
}

fn cancel_leaves_other_jobs_alone(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    let doomed = pool.apply_async(limited::sleep, (60_000,));
    let other = pool.apply_async(limited::pid_gated, (log.path(), gate.path(), 5));
    wait_until("the other runs", || log.count() == 1);
    let behind = pool.map_async(tasks::square, 0..1000);
    assert!(doomed.cancel());
    assert_eq!(behind.get().unwrap().len(), 1000);
    gate.open();
    assert_eq!(other.get().unwrap(), 5);
    all_workers_are_back(&pool);
}

fn cancel_lets_a_task_end_by_itself_that_asks(method: StartMethod) {
    let pool = start(method, 1);
    // It has some milliseconds, which may pass before it is its turn on a busy machine.
    wait_until("one ends by itself", || {
        let log = Log::new();
        let asking = pool.apply_async(limited::noted_until_interrupted, (log.path(),));
        wait_until("it runs", || log.count() == 1);
        assert!(asking.cancel());
        all_workers_are_back(&pool);
        log.count() == 2
    });
}

fn dropping_a_lazy_call_leaves_its_running_items_alone(method: StartMethod) {
    let pool = start(method, 1);
    let (log, gate) = (Log::new(), Gate::new());
    let pids = pool.worker_pids();
    let items = (0..10).map(|n| (log.path(), gate.path(), n));
    let mut results = pool.options().chunk_size(1).istarmap(limited::pid_gated, items);
    ask_until(&mut results, "it runs an item", || log.count() == 1);
    drop(results);
    gate.open();
    all_workers_are_back(&pool);
    assert_eq!((pool.worker_pids(), log.count()), (pids, 1));
}

fn running_items_of_a_dropped_lazy_call_still_have_its_deadline(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    all_workers_are_back(&pool);
    let options = pool.options().chunk_size(1).deadline(Instant::now() + 10 * SHORT);
    let mut naps = options.istarmap(limited::pid_gated, [1, 2].map(|n| (log.path(), gate.path(), n)));
    ask_until(&mut naps, "both run", || log.count() == 2);
    drop(naps);
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    pool.close();
    assert!(matches!(pool.join_timeout(PATIENCE), Some(Ok(()))));
}

fn limits_that_make_no_sense_are_refused(method: StartMethod) {
    let pool = start(method, 1);
    let refused = |options: pool::Options<'_>, name: &str| {
        let error = options.apply(tasks::square, (1,)).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { option, .. } if option == name), "{error:?}");
    };
    refused(pool.options().timeout(Duration::ZERO), "timeout");
    refused(pool.options().soft_timeout(Duration::ZERO), "soft_timeout");
    refused(pool.options().soft_timeout(SHORT).timeout(SHORT), "soft_timeout");
    refused(pool.options().retry_if(|_| true), "retry_if");
}

fn a_limit_too_long_for_any_clock_is_none(method: StartMethod) {
    let pool = start(method, 1);
    let endless = pool.options().soft_timeout(Duration::MAX - SHORT).timeout(Duration::MAX);
    assert_eq!(endless.apply(tasks::square, (3,)).unwrap(), 9);
}

fn many_timeouts_at_random_times_end_every_item_once(method: StartMethod) {
    let pool = start(method, 3);
    let mut random = crate::support::Random::new();
    let log = Log::new();
    let limit = Duration::from_millis(10);
    let items: Vec<_> = (0..400)
        .map(|n| (log.path(), n, if random.below(10) == 0 { 8 + random.below(5) as u64 } else { 0 }))
        .collect();
    let options = pool.options().chunk_size(10).window(400).timeout(limit);
    let results: Vec<_> = options.istarmap(limited::noted_sleep, items.clone()).collect();
    assert_eq!(results.len(), 400);
    for (index, result) in results.iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(*value, items[index].2),
            Err(error) => assert_eq!(timed_out(error), index),
        }
    }
    let noted = log.sorted();
    assert!(noted.windows(2).all(|pair| pair[0] < pair[1]), "no item ran twice");
    // An item may be ended before it got so far as to note anything.
    let lacks: Vec<_> = (0..400).filter(|n| noted.binary_search(n).is_err()).collect();
    assert!(lacks.iter().all(|n| results[*n as usize].is_err()), "{lacks:?} have results and did not run");
    all_workers_are_back(&pool);
}
