//! Every call, and how they relate.

use std::cell::Cell;
use std::collections::BTreeSet;

use pool::{Error, Result, StartMethod, pool_task};

use crate::support::{Gate, Log, note, panic_of, pass, start, tasks};

crate::cases![
    every_call_gives_what_the_plain_function_gives,
    apply_is_apply_async_and_get,
    map_is_map_async_and_get,
    starmap_is_map_with_the_tuple_unpacked,
    results_are_in_input_order_whatever_the_chunk_size,
    items_may_borrow_from_the_caller,
    arguments_may_change_after_apply_async_returned,
    empty_input_is_ready_at_once,
    input_panic_reaches_the_caller_and_the_pool_works_on,
    size_hints_that_lie_do_no_harm,
    slow_input_of_one_job_holds_up_no_other,
    input_may_call_the_pool_itself,
    map_fails_with_the_lowest_index_on_every_run,
    every_item_runs_once_though_some_fail,
    results_of_a_task_are_values_even_if_they_are_errors,
    work_is_spread_over_all_workers,
    the_first_work_that_is_read_at_once_is_spread_over_all_workers,
    a_long_job_does_not_hold_up_a_short_one,
];

fn every_call_gives_what_the_plain_function_gives(method: StartMethod) {
    let pool = start(method, 2);
    let squares: Vec<u64> = (0..100).map(*tasks::square).collect();
    let pairs = || (0..100i64).map(|n| (n, 2 * n));
    let sums: Vec<i64> = pairs().map(|(a, b)| tasks::add(a, b)).collect();
    let sorted = |results: Vec<Result<u64>>| results.into_iter().map(Result::unwrap).collect::<BTreeSet<_>>();

    assert_eq!(pool.apply(tasks::square, (9,)).unwrap(), 81);
    assert_eq!(pool.apply_async(tasks::add, (20, 22)).get().unwrap(), 42);
    assert_eq!(pool.map(tasks::square, 0..100).unwrap(), squares);
    assert_eq!(pool.map_async(tasks::square, 0..100).get().unwrap(), squares);
    assert_eq!(pool.imap(tasks::square, 0..100).collect::<Result<Vec<_>>>().unwrap(), squares);
    let unordered = sorted(pool.imap_unordered(tasks::square, 0..100).collect());
    assert_eq!(unordered, squares.iter().copied().collect());
    assert_eq!(pool.starmap(tasks::add, pairs()).unwrap(), sums);
    assert_eq!(pool.starmap_async(tasks::add, pairs()).get().unwrap(), sums);
    assert_eq!(pool.istarmap(tasks::add, pairs()).collect::<Result<Vec<_>>>().unwrap(), sums);
    let mut unordered: Vec<i64> =
        pool.istarmap_unordered(tasks::add, pairs()).collect::<Result<_>>().unwrap();
    unordered.sort_unstable();
    assert_eq!(unordered, sums);

    let options = pool.options().chunk_size(3).window(10);
    assert_eq!(options.apply(tasks::square, (9,)).unwrap(), 81);
    assert_eq!(options.apply_async(tasks::add, (20, 22)).get().unwrap(), 42);
    assert_eq!(options.map(tasks::square, 0..100).unwrap(), squares);
    assert_eq!(options.map_async(tasks::square, 0..100).get().unwrap(), squares);
    assert_eq!(options.imap(tasks::square, 0..100).collect::<Result<Vec<_>>>().unwrap(), squares);
    assert_eq!(options.imap_unordered(tasks::square, 0..100).count(), 100);
    assert_eq!(options.starmap(tasks::add, pairs()).unwrap(), sums);
    assert_eq!(options.starmap_async(tasks::add, pairs()).get().unwrap(), sums);
    assert_eq!(options.istarmap(tasks::add, pairs()).collect::<Result<Vec<_>>>().unwrap(), sums);
    assert_eq!(options.istarmap_unordered(tasks::add, pairs()).count(), 100);
}

fn same<R: PartialEq + std::fmt::Debug>(one: Result<R>, other: Result<R>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        (one, other) => panic!("{one:?} is unlike {other:?}"),
    }
}

fn apply_is_apply_async_and_get(method: StartMethod) {
    let pool = start(method, 2);
    for n in 0..20 {
        same(pool.apply(tasks::only_even, (n,)), pool.apply_async(tasks::only_even, (n,)).get());
    }
    pool.close();
    same(pool.apply(tasks::only_even, (0,)), pool.apply_async(tasks::only_even, (0,)).get());
}

fn map_is_map_async_and_get(method: StartMethod) {
    let pool = start(method, 2);
    for end in [0, 1, 2, 3, 100, 3000] {
        same(pool.map(tasks::square, 0..end), pool.map_async(tasks::square, 0..end).get());
        same(pool.map(tasks::only_even, 0..end), pool.map_async(tasks::only_even, 0..end).get());
    }
    pool.close();
    same(pool.map(tasks::square, 0..3), pool.map_async(tasks::square, 0..3).get());
}

#[pool_task]
fn add_pair(pair: (i64, i64)) -> i64 {
    pair.0 + pair.1
}

fn starmap_is_map_with_the_tuple_unpacked(method: StartMethod) {
    let pool = start(method, 2);
    let pairs = || (0..500).zip(7..);
    same(pool.starmap(tasks::add, pairs()), pool.map(add_pair, pairs()));
    same(pool.starmap_async(tasks::add, pairs()).get(), pool.map_async(add_pair, pairs()).get());
    let stars: Result<Vec<_>> = pool.istarmap(tasks::add, pairs()).collect();
    same(stars, pool.imap(add_pair, pairs()).collect());
    // Nothing at all is a tuple, too.
    assert_eq!(pool.starmap(tasks::nothing, [(), (), ()]).unwrap(), [(), (), ()]);
}

/// Takes longer for some than for others, so that they end out of order.
#[pool_task]
fn uneven(n: u64) -> u64 {
    let mut x = n;
    for _ in 0..(n * 7919 % 13) * 300 {
        x = std::hint::black_box(x.wrapping_mul(31));
    }
    std::hint::black_box(x);
    n
}

fn results_are_in_input_order_whatever_the_chunk_size(method: StartMethod) {
    let pool = start(method, 3);
    let input: Vec<u64> = (0..2000).collect();
    assert_eq!(pool.map(uneven, input.iter().copied()).unwrap(), input);
    for size in [1, 2, 7, 64, 1999, 2000, 2001, usize::MAX] {
        let options = pool.options().chunk_size(size);
        assert_eq!(options.map(uneven, input.iter().copied()).unwrap(), input, "chunk size {size}");
        assert_eq!(
            options.map_async(uneven, input.iter().copied()).get().unwrap(),
            input,
            "chunk size {size}"
        );
        let lazily: Result<Vec<_>> = options.imap(uneven, input.iter().copied()).collect();
        assert_eq!(lazily.unwrap(), input, "chunk size {size}");
    }
}

#[pool_task]
fn count_in(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

fn items_may_borrow_from_the_caller(method: StartMethod) {
    let pool = start(method, 2);
    let texts: Vec<String> = (0..50).map(|n| "so ".repeat(n)).collect();
    let counts: Vec<usize> = (0..50).collect();
    let pairs = || texts.iter().map(|text| (text.as_str(), "so"));
    assert_eq!(pool.starmap(count_in, pairs()).unwrap(), counts);
    assert_eq!(pool.istarmap(count_in, pairs()).collect::<Result<Vec<_>>>().unwrap(), counts);
    assert_eq!(pool.map(tasks::echo_text, texts.iter().map(String::as_str)).unwrap(), texts);
    let blocks: Vec<Vec<u8>> = (0..50).map(|n| vec![0; n]).collect();
    assert_eq!(pool.map(tasks::length, blocks.iter().map(Vec::as_slice)).unwrap(), counts);
}

fn arguments_may_change_after_apply_async_returned(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let first = pool.apply_async(tasks::gated, (gate.path(), 1));
    let mut numbers = vec![1.0, 2.0];
    let sum = pool.apply_async(tasks::sum, (&numbers,));
    numbers.fill(100.0);
    drop(numbers);
    gate.open();
    assert_eq!(first.get().unwrap(), 1);
    assert_eq!(sum.get().unwrap(), 3.0);
}

fn empty_input_is_ready_at_once(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    // Even if no worker is free.
    let busy = pool.apply_async(tasks::gated, (gate.path(), 1));
    let empty = pool.map_async(tasks::square, []);
    assert!(empty.ready());
    assert_eq!(empty.successful(), Some(true));
    assert_eq!(empty.get().unwrap(), []);
    assert_eq!(pool.starmap_async(tasks::add, []).get().unwrap(), []);
    assert_eq!(pool.map(tasks::square, []).unwrap(), []);
    assert_eq!(pool.starmap(tasks::add, []).unwrap(), []);
    assert!(pool.imap(tasks::square, []).next().is_none());
    assert!(pool.imap_unordered(tasks::square, []).next().is_none());
    assert!(pool.istarmap(tasks::add, []).next().is_none());
    assert!(pool.istarmap_unordered(tasks::add, []).next().is_none());
    gate.open();
    assert_eq!(busy.get().unwrap(), 1);
}

fn input_panic_reaches_the_caller_and_the_pool_works_on(method: StartMethod) {
    let pool = start(method, 2);
    for bad in [0, 1, 7, 500] {
        let input = || (0..1000u64).inspect(move |n| assert!(*n != bad, "the input breaks at {n}"));
        let pairs = || input().map(|n| (n as i64, 1));
        let expected = format!("the input breaks at {bad}");
        assert_eq!(panic_of(|| pool.map(tasks::square, input())), expected);
        assert_eq!(panic_of(|| pool.map_async(tasks::square, input()).get()), expected);
        assert_eq!(panic_of(|| pool.imap(tasks::square, input()).count()), expected);
        assert_eq!(panic_of(|| pool.imap_unordered(tasks::square, input()).count()), expected);
        assert_eq!(panic_of(|| pool.starmap(tasks::add, pairs())), expected);
        assert_eq!(panic_of(|| pool.starmap_async(tasks::add, pairs()).get()), expected);
        assert_eq!(panic_of(|| pool.istarmap(tasks::add, pairs()).count()), expected);
        assert_eq!(panic_of(|| pool.istarmap_unordered(tasks::add, pairs()).count()), expected);
        assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    }
    // Nothing of those jobs is left, for which this would wait.
    pool.close();
    pool.join().unwrap();
}

/// An iterator that is wrong about its length.
struct Liar<I>(I, (usize, Option<usize>));

impl<I: Iterator> Iterator for Liar<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.1
    }
}

fn size_hints_that_lie_do_no_harm(method: StartMethod) {
    let pool = start(method, 2);
    for hint in [(0, Some(0)), (3, Some(3)), (1_000_000, Some(1_000_000)), (usize::MAX, None), (500, Some(2))]
    {
        for end in [0u64, 5, 300] {
            let squares: Vec<u64> = (0..end).map(*tasks::square).collect();
            assert_eq!(pool.map(tasks::square, Liar(0..end, hint)).unwrap(), squares);
            assert_eq!(pool.map_async(tasks::square, Liar(0..end, hint)).get().unwrap(), squares);
            assert_eq!(
                pool.imap(tasks::square, Liar(0..end, hint)).collect::<Result<Vec<_>>>().unwrap(),
                squares
            );
        }
    }
}

fn slow_input_of_one_job_holds_up_no_other(method: StartMethod) {
    let pool = start(method, 2);
    let gate = Gate::new();
    std::thread::scope(|scope| {
        let (pool, gate) = (&pool, &gate);
        let waits = move |n: &u64| {
            if *n > 0 {
                pass(gate.path());
            }
        };
        let map = scope.spawn(move || pool.map(tasks::square, (0..3).inspect(waits)));
        let map_async = scope.spawn(move || pool.map_async(tasks::square, (0..3).inspect(waits)).get());
        let imap =
            scope.spawn(move || pool.imap(tasks::square, (0..3).inspect(waits)).collect::<Result<Vec<_>>>());
        for n in 0..100 {
            assert_eq!(pool.apply(tasks::square, (n,)).unwrap(), n * n);
        }
        assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
        gate.open();
        for slow in [map, map_async, imap] {
            assert_eq!(slow.join().unwrap().unwrap(), [0, 1, 4]);
        }
    });
}

fn input_may_call_the_pool_itself(method: StartMethod) {
    let pool = start(method, 2);
    let fourth_powers: Vec<u64> = (0..50).map(|n| n * n * n * n).collect();
    let squares = || (0..50).map(|n| pool.apply(tasks::square, (n,)).unwrap());
    assert_eq!(pool.map(tasks::square, squares()).unwrap(), fourth_powers);
    assert_eq!(pool.map_async(tasks::square, squares()).get().unwrap(), fourth_powers);
    let chained: Result<Vec<_>> =
        pool.imap(tasks::square, pool.imap(tasks::square, 0..50).flatten()).collect();
    assert_eq!(chained.unwrap(), fourth_powers);
}

/// The early ones fail late.
#[pool_task]
fn fails_late(n: u64) -> u64 {
    match n {
        20 => std::thread::sleep(std::time::Duration::from_millis(10)),
        150 | 199 => {}
        _ => return n,
    }
    panic!("{n} fails");
}

fn map_fails_with_the_lowest_index_on_every_run(method: StartMethod) {
    let pool = start(method, 2);
    for round in 0..12 {
        let size = [1, 7, 20, 64][round % 4];
        let options = pool.options().chunk_size(size).window(200);
        let error = match round % 3 {
            0 => options.map(fails_late, 0..200).unwrap_err(),
            1 => options.map_async(fails_late, 0..200).get().unwrap_err(),
            _ => options.imap(fails_late, 0..200).find_map(Result::err).unwrap(),
        };
        assert_eq!(error.index(), Some(20), "{error}");
        assert!(matches!(error, Error::Panicked { ref message, .. } if message == "20 fails"), "{error}");
    }
}

fn every_item_runs_once_though_some_fail(method: StartMethod) {
    let pool = start(method, 2);
    for size in [None, Some(1), Some(7), Some(1000)] {
        let options = size.map_or(pool.options(), |size| pool.options().chunk_size(size));
        for call in ["map", "map_async"] {
            let log = Log::new();
            let items = || (0..300).map(|n| (log.path(), &[3, 150, 299][..], n));
            let error = match call {
                "map" => options.starmap(tasks::noted_unless, items()).unwrap_err(),
                _ => options.starmap_async(tasks::noted_unless, items()).get().unwrap_err(),
            };
            assert_eq!(error.index(), Some(3));
            assert_eq!(log.sorted(), (0..300).collect::<Vec<_>>(), "{call} with {size:?}");
        }
    }
}

#[pool_task]
fn halve(n: u64) -> Result<u64, String> {
    if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) }
}

fn results_of_a_task_are_values_even_if_they_are_errors(method: StartMethod) {
    let pool = start(method, 1);
    assert_eq!(pool.apply(halve, (3,)).unwrap(), Err("3 is odd".to_owned()));
    let all = pool.options().fail_fast(true).map(halve, 0..4).unwrap();
    assert_eq!(all, [Ok(0), Err("1 is odd".to_owned()), Ok(1), Err("3 is odd".to_owned())]);
    let odd = pool.apply_async(halve, (3,));
    odd.wait();
    assert_eq!(odd.successful(), Some(true));
}

#[pool_task]
fn meet(log: &str, everybody: usize) -> u32 {
    note(log, std::process::id());
    let count = || std::fs::read_to_string(log).unwrap_or_default().lines().count();
    crate::support::wait_until("all workers run an item", || count() >= everybody);
    std::process::id()
}

fn work_is_spread_over_all_workers(method: StartMethod) {
    let pool = start(method, 4);
    let read = Cell::new(0);
    for call in 0..4 {
        let log = Log::new();
        let items = || (0..4).map(|_| (log.path(), 4)).inspect(|_| read.set(read.get() + 1));
        let pids = match call {
            0 => pool.starmap(meet, items()).unwrap(),
            // Of items that were measured as short, several might go together.
            1 => pool.options().chunk_size(1).starmap_async(meet, items()).get().unwrap(),
            2 => pool.istarmap(meet, items()).collect::<Result<_>>().unwrap(),
            _ => items()
                .map(|args| pool.apply_async(meet, args))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|handle| handle.get().unwrap())
                .collect(),
        };
        assert_eq!(BTreeSet::from_iter(pids), BTreeSet::from_iter(pool.worker_pids()));
    }
    assert_eq!(read.get(), 16);
}

fn the_first_work_that_is_read_at_once_is_spread_over_all_workers(method: StartMethod) {
    let pool = start(method, 4);
    let log = Log::new();
    let pids = pool.starmap_async(meet, (0..4).map(|_| (log.path(), 4))).get().unwrap();
    assert_eq!(BTreeSet::from_iter(pids), BTreeSet::from_iter(pool.worker_pids()));
}

fn a_long_job_does_not_hold_up_a_short_one(method: StartMethod) {
    let pool = start(method, 1);
    let log = Log::new();
    let gate = Gate::new();
    let items = (0..2000).map(|n| (log.path(), gate.path(), n));
    let long = pool.options().chunk_size(1).starmap_async(tasks::noted_gated, items);
    log.wait_for(1);
    let short = pool.apply_async(lines_of, (log.path(),));
    gate.open();
    let before = short.get().unwrap();
    assert!(before < 1000, "the short job waited for {before} items of the long one");
    assert_eq!(long.get().unwrap().len(), 2000);
}

/// Number of lines in a log.
#[pool_task]
fn lines_of(log: &str) -> usize {
    std::fs::read_to_string(log).unwrap().lines().count()
}
