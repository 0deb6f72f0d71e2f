//! Settings of one job.

use std::sync::atomic::{AtomicBool, Ordering};

use pool::{Error, Pool, Result, StartMethod, pool_task};

use crate::support::{Gate, Log, Over, note, pass, start, tasks, wait_until};

crate::cases![
    zero_is_refused,
    huge_values_are_taken,
    fail_fast_skips_what_has_not_started,
    fail_fast_returns_the_lowest_index_that_ran,
    fail_fast_ends_a_lazy_job,
    without_fail_fast_a_lazy_job_goes_on,
];

fn zero_is_refused(method: StartMethod) {
    let pool = start(method, 1);
    for (name, options) in
        [("chunk_size", pool.options().chunk_size(0)), ("window", pool.options().window(0))]
    {
        let is_refusal = |error: Option<Error>| matches!(error, Some(Error::InvalidOption { option, .. }) if option == name);
        assert!(is_refusal(options.apply(tasks::square, (1,)).err()));
        assert!(is_refusal(options.apply_async(tasks::square, (1,)).get().err()));
        assert!(is_refusal(options.map(tasks::square, [1]).err()));
        assert!(is_refusal(options.map(tasks::square, []).err()));
        assert!(is_refusal(options.map_async(tasks::square, [1]).get().err()));
        assert!(is_refusal(options.starmap(tasks::add, [(1, 2)]).err()));
        assert!(is_refusal(options.starmap_async(tasks::add, [(1, 2)]).get().err()));
        for mut results in [options.imap(tasks::square, [1]), options.imap_unordered(tasks::square, [1])] {
            assert!(is_refusal(results.next().and_then(Result::err)));
            assert!(results.next().is_none());
        }
        for mut results in
            [options.istarmap(tasks::add, [(1, 2)]), options.istarmap_unordered(tasks::add, [(1, 2)])]
        {
            assert!(is_refusal(results.next().and_then(Result::err)));
            assert!(results.next().is_none());
        }
    }
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn huge_values_are_taken(method: StartMethod) {
    let pool = start(method, 2);
    let options = pool.options().chunk_size(usize::MAX).window(usize::MAX);
    assert_eq!(options.map(tasks::square, 0..1000).unwrap().len(), 1000);
    assert_eq!(options.map_async(tasks::square, 0..1000).get().unwrap().len(), 1000);
    assert_eq!(options.imap(tasks::square, 0..1000).collect::<Result<Vec<_>>>().unwrap().len(), 1000);
    let window_only = pool.options().window(usize::MAX);
    assert_eq!(window_only.imap_unordered(tasks::square, 0..1000).count(), 1000);
}

#[pool_task]
fn fails_at_once_or_waits(log: &str, gate: &str, n: u64) -> u64 {
    note(log, n);
    assert!(n != 0, "0 fails");
    pass(gate);
    n
}

fn fail_fast_skips_what_has_not_started(method: StartMethod) {
    for call in ["map", "map_async"] {
        let pool = start(method, 2);
        nothing_else_runs_where_the_other_worker_is_busy(&pool, call);
        what_is_queued_at_most_runs(&pool, call);
        assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    }
}

fn error_of_the_first<'a>(pool: &Pool, call: &str, log: &'a Log, gate: &'a Gate) -> Error {
    let items = (0..10_000).map(|n| (log.path(), gate.path(), n));
    let options = pool.options().chunk_size(1).fail_fast(true);
    match call {
        "map" => options.starmap(fails_at_once_or_waits, items).unwrap_err(),
        _ => options.starmap_async(fails_at_once_or_waits, items).get().unwrap_err(),
    }
}

/// Of a task that was not measured nothing is queued behind an item that runs.
fn nothing_else_runs_where_the_other_worker_is_busy(pool: &Pool, call: &str) {
    let (busy, held, log, gate) = (Log::new(), Gate::new(), Log::new(), Gate::new());
    let bystander = pool.apply_async(tasks::noted_gated, (busy.path(), held.path(), 1));
    busy.wait_for(1);
    let error = error_of_the_first(pool, call, &log, &gate);
    assert_eq!(error.index(), Some(0), "{error}");
    held.open();
    assert_eq!(bystander.get().unwrap(), 1);
    assert_eq!(log.sorted(), [0], "{call}");
}

/// A worker has no more than some hundred chunks in hand.
fn what_is_queued_at_most_runs(pool: &Pool, call: &str) {
    let (log, gate) = (Log::new(), Gate::new());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // What runs at the time of the failure may end; it does so when the failure was answered.
        scope.spawn(|| {
            let or_over = |condition: &dyn Fn() -> bool| is_over.load(Ordering::SeqCst) || condition();
            wait_until("the first item runs", || or_over(&|| log.lines().iter().any(|line| line == "0")));
            wait_until("another one runs", || or_over(&|| log.count() >= 2));
            // Another worker than the one that has it by now, or that one's next item: either way the first has ended.
            let short = pool.apply_async(tasks::square, (3,));
            wait_until("the first has ended", || or_over(&|| short.ready() || log.count() >= 3));
            gate.open();
        });
        let _over = Over(&is_over);
        let error = error_of_the_first(pool, call, &log, &gate);
        assert_eq!(error.index(), Some(0), "{error}");
    });
    assert!(log.count() < 1000, "{call}: {} items ran", log.count());
}

fn fail_fast_returns_the_lowest_index_that_ran(method: StartMethod) {
    let pool = start(method, 2);
    for size in [1, 10, 1000] {
        let options = pool.options().chunk_size(size).fail_fast(true);
        let error =
            options.map(tasks::only_even, (0..1000).map(|n| if n == 500 { 1 } else { 0 })).unwrap_err();
        assert_eq!(error.index(), Some(500), "{error}");
        assert_eq!(options.map(tasks::only_even, [0, 2, 4]).unwrap(), [0, 2, 4]);
    }
}

fn fail_fast_ends_a_lazy_job(method: StartMethod) {
    let pool = start(method, 2);
    for size in [1, 10] {
        let options = pool.options().chunk_size(size).fail_fast(true);
        let mut results = options.imap(tasks::only_even, (0u64..).map(|n| if n == 50 { 1 } else { 0 }));
        // What a worker had and skipped may come first.
        let is_skipped = |error: &Error| matches!(error, Error::Cancelled { .. });
        let error = results.by_ref().filter_map(Result::err).find(|error| !is_skipped(error)).unwrap();
        assert_eq!(error.index(), Some(50), "{error}");
        let rest = results.count();
        assert!(rest < 10_000, "{rest} results after the failure");
        let unordered = options.imap_unordered(tasks::only_even, (0u64..).map(|n| u64::from(n == 50)));
        assert!(unordered.filter(|result| matches!(result, Err(Error::Panicked { .. }))).count() == 1);
    }
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn without_fail_fast_a_lazy_job_goes_on(method: StartMethod) {
    let pool = start(method, 2);
    let results: Vec<_> = pool.options().fail_fast(false).imap(tasks::only_even, 0..100).collect();
    assert_eq!(results.len(), 100);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 50);
}
