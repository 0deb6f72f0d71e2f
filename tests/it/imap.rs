//! Lazy calls.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use pool::{Error, Result, StartMethod};

use crate::support::{Gate, Log, PATIENCE, ask_until, start, tasks, wait_until};

crate::cases![
    infinite_input_works,
    unordered_results_come_as_they_finish,
    an_error_is_one_item_whatever_the_chunk_size,
    next_timeout_gives_nothing_before_the_result_and_the_result_later,
    nothing_is_read_before_the_first_next,
    dropping_it_stops_reading_and_starting,
    dropping_it_unused_is_harmless,
    it_stays_at_its_end,
    items_read_before_an_input_panic_are_not_lost,
    several_can_be_used_in_turns,
    it_goes_on_when_the_pool_is_closed,
    it_ends_when_the_pool_is_terminated,
    closed_pools_say_so_once,
    a_job_inside_the_loop_works,
    many_threads_have_one_each,
];

fn infinite_input_works(method: StartMethod) {
    let pool = start(method, 2);
    let first: Result<Vec<_>> = pool.imap(tasks::square, 0..).take(1000).collect();
    assert_eq!(first.unwrap(), (0..1000).map(|n| n * n).collect::<Vec<u64>>());
    assert_eq!(
        pool.imap_unordered(tasks::square, 0..).take(1000).filter(|result| result.is_ok()).count(),
        1000
    );
    assert_eq!(pool.istarmap(tasks::add, (0..).zip(0..)).nth(500).unwrap().unwrap(), 1000);
    assert!(pool.istarmap_unordered(tasks::add, (0..).zip(0..)).nth(500).unwrap().is_ok());
    for size in [1, 100] {
        let large =
            pool.options().chunk_size(size).imap(tasks::square, 0..).find(|n| *n.as_ref().unwrap() > 10_000);
        assert_eq!(large.unwrap().unwrap(), 101 * 101);
    }
}

fn unordered_results_come_as_they_finish(method: StartMethod) {
    let pool = start(method, 3);
    let gates: Vec<_> = (0..3).map(|_| Gate::new()).collect();
    let items: Vec<_> = gates.iter().map(Gate::path).zip(0..).collect();
    let mut results = pool.options().chunk_size(1).istarmap_unordered(tasks::gated, items);
    for expected in [2, 0, 1] {
        assert!(results.next_timeout(Duration::from_millis(5)).is_none());
        gates[expected as usize].open();
        assert_eq!(results.next().unwrap().unwrap(), expected);
    }
    assert!(results.next().is_none());
}

fn an_error_is_one_item_whatever_the_chunk_size(method: StartMethod) {
    let pool = start(method, 2);
    for size in [None, Some(1), Some(2), Some(3), Some(7), Some(64), Some(1000)] {
        let options = size.map_or(pool.options(), |size| pool.options().chunk_size(size));
        let results: Vec<_> = options.imap(tasks::only_even, 0..200).collect();
        assert_eq!(results.len(), 200);
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(value) => assert_eq!((value, n % 2), (n, 0)),
                Err(error) => {
                    assert_eq!((error.index(), n % 2), (Some(n as usize), 1));
                    assert!(matches!(error, Error::Panicked { .. }));
                }
            }
        }
        let indices: BTreeSet<_> = options
            .imap_unordered(tasks::only_even, 0..200)
            .filter_map(|result| result.err()?.index())
            .collect();
        assert_eq!(indices, (0..200).filter(|n| n % 2 == 1).collect());
    }
}

fn next_timeout_gives_nothing_before_the_result_and_the_result_later(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let mut results = pool.istarmap(tasks::gated, [(gate.path(), 1), (gate.path(), 2)]);
    for timeout in [Duration::ZERO, Duration::from_millis(5)] {
        assert!(results.next_timeout(timeout).is_none());
    }
    gate.open();
    assert_eq!(results.next_timeout(PATIENCE).unwrap().unwrap().unwrap(), 1);
    assert_eq!(results.next_timeout(PATIENCE).unwrap().unwrap().unwrap(), 2);
    assert!(results.next_timeout(PATIENCE).unwrap().is_none());
    assert!(results.next_timeout(Duration::ZERO).unwrap().is_none());
}

fn nothing_is_read_before_the_first_next(method: StartMethod) {
    let pool = start(method, 2);
    let read = Cell::new(0);
    let mut results = pool.imap(tasks::square, (0..10).inspect(|_| read.set(read.get() + 1)));
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    assert_eq!(read.get(), 0);
    assert_eq!(results.next().unwrap().unwrap(), 0);
    assert!(read.get() > 0);
}

fn dropping_it_stops_reading_and_starting(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let gate = Gate::new();
    let read = Cell::new(0);
    let items = (0..).inspect(|_| read.set(read.get() + 1)).map(|n| (log.path(), gate.path(), n));
    let mut results = pool.options().chunk_size(4).istarmap(tasks::noted_gated, items);
    ask_until(&mut results, "both workers run an item", || log.count() == 2);
    drop(results);
    let before = read.get();
    gate.open();
    // Both workers have answered, so what was not cancelled would have run.
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    pool.close();
    pool.join().unwrap();
    assert_eq!(log.count(), 2, "only what ran when it was dropped");
    assert_eq!(read.get(), before);
}

fn dropping_it_unused_is_harmless(method: StartMethod) {
    let pool = start(method, 1);
    for _ in 0..100 {
        drop(pool.imap(tasks::square, 0..));
        let mut some = pool.imap_unordered(tasks::square, 0..);
        assert!(some.next().unwrap().is_ok());
    }
    pool.close();
    pool.join().unwrap();
}

fn it_stays_at_its_end(method: StartMethod) {
    let pool = start(method, 2);
    let mut results = pool.imap(tasks::square, 0..3);
    assert_eq!(results.by_ref().count(), 3);
    for _ in 0..3 {
        assert!(results.next().is_none());
    }
    pool.close();
    assert!(results.next().is_none());
}

fn items_read_before_an_input_panic_are_not_lost(method: StartMethod) {
    let pool = start(method, 2);
    for size in [None, Some(1), Some(4), Some(100)] {
        let options = size.map_or(pool.options(), |size| pool.options().chunk_size(size));
        let mut next = 0;
        let mut has_panicked = false;
        let input = std::iter::from_fn(|| {
            if next == 7 && !has_panicked {
                has_panicked = true;
                panic!("just once");
            }
            next += 1;
            (next <= 20).then(|| next - 1)
        });
        let mut results = options.imap(tasks::square, input);
        let (mut squares, mut panics) = (Vec::new(), 0);
        loop {
            match catch_unwind(AssertUnwindSafe(|| results.next())) {
                Ok(Some(result)) => squares.push(result.unwrap()),
                Ok(None) => break,
                Err(_) => panics += 1,
            }
        }
        assert_eq!(panics, 1);
        assert_eq!(squares, (0..20).map(|n| n * n).collect::<Vec<u64>>(), "chunk size {size:?}");
    }
}

fn several_can_be_used_in_turns(method: StartMethod) {
    let pool = start(method, 2);
    let pairs = pool.imap(tasks::square, 0..500).zip(pool.imap(tasks::square, (0..500).rev()));
    for (n, (up, down)) in (0..).zip(pairs) {
        assert_eq!((up.unwrap(), down.unwrap()), (n * n, (499 - n) * (499 - n)));
    }
    let mut many: Vec<_> = (0..50).map(|start| pool.imap(tasks::square, start..)).collect();
    for n in 0..20 {
        for (start, results) in (0..).zip(&mut many) {
            assert_eq!(results.next().unwrap().unwrap(), (start + n) * (start + n));
        }
    }
}

fn it_goes_on_when_the_pool_is_closed(method: StartMethod) {
    let pool = start(method, 2);
    let mut results = pool.imap(tasks::square, 0..1000);
    assert_eq!(results.next().unwrap().unwrap(), 0);
    pool.close();
    assert_eq!(results.filter(|result| result.is_ok()).count(), 999);
    pool.join().unwrap();
}

fn it_ends_when_the_pool_is_terminated(method: StartMethod) {
    let pool = start(method, 2);
    let mut fresh = pool.imap(tasks::square, 0..);
    let mut used = pool.options().window(4).imap_unordered(tasks::square, 0..);
    assert!(used.next().unwrap().is_ok());
    pool.terminate();
    assert!(matches!(fresh.next(), Some(Err(Error::Terminated))));
    assert!(fresh.next().is_none());
    // What was there may come first.
    let last = used.by_ref().take(10_000).last().unwrap();
    assert!(matches!(last, Err(Error::Terminated)), "{last:?}");
    assert!(used.next().is_none());
    drop((fresh, used));
    drop(pool);
    // One that somebody waits for.
    let pool = start(method, 1);
    let (log, gate) = (Log::new(), Gate::new());
    std::thread::scope(|scope| {
        let pool = &pool;
        let items = [(log.path(), gate.path(), 1)];
        let waiting = scope.spawn(move || pool.istarmap(tasks::noted_gated, items).next());
        log.wait_for(1);
        pool.terminate();
        assert!(matches!(waiting.join().unwrap(), Some(Err(Error::Terminated))));
    });
}

fn closed_pools_say_so_once(method: StartMethod) {
    let pool = start(method, 1);
    pool.close();
    let read = Cell::new(0);
    let mut results = pool.imap(tasks::square, (0..).inspect(|_| read.set(read.get() + 1)));
    assert!(matches!(results.next(), Some(Err(Error::Closed))));
    assert!(results.next().is_none());
    assert_eq!(read.get(), 0);
    assert_eq!(pool.imap_unordered(tasks::square, 0..3).count(), 1);
}

fn a_job_inside_the_loop_works(method: StartMethod) {
    let pool = start(method, 2);
    for (n, square) in (0u64..30).zip(pool.imap(tasks::square, 0..)) {
        let squares = pool.map(tasks::square, 0..=n).unwrap();
        assert_eq!(squares.last(), Some(&square.unwrap()));
        for one in pool.imap_unordered(tasks::square, 0..n) {
            one.unwrap();
        }
    }
}

fn many_threads_have_one_each(method: StartMethod) {
    let pool = start(method, 2);
    let mut results = pool.options().window(10).imap(tasks::square, 0..);
    assert_eq!(results.next().unwrap().unwrap(), 0);
    let done = Log::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(pool.imap(tasks::square, 0..2000).filter(|result| result.is_ok()).count(), 2000);
                crate::support::note(done.path(), "done");
            });
        }
        wait_until("the other threads are done", || {
            results.next().unwrap().unwrap();
            done.count() == 4
        });
    });
    assert!(results.next_timeout(PATIENCE).unwrap().unwrap().is_ok());
}
