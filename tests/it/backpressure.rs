//! What is read, run and held ahead of the consumer.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pool::{Error, Pool, StartMethod, pool_task};

use crate::support::{
    Gate, Log, ask_until, note, pass, peak_bytes, processes, reset_peak, resident_bytes, start, tasks,
    wait_until,
};

crate::cases![
    input_is_not_read_while_every_window_is_full,
    no_more_items_are_read_than_the_window_allows,
    a_slow_consumer_holds_up_the_input,
    map_does_not_read_far_ahead_of_the_workers,
    map_goes_on_however_much_waits_behind_its_first_item,
    map_async_of_nothing_starts_before_all_is_read,
    what_was_read_slowly_does_not_wait_for_the_rest_of_its_chunk,
    somebody_looks_after_items_while_the_next_one_is_read,
    large_inputs_are_held_one_by_one,
    large_results_of_a_slow_consumer_are_bounded,
];

const MOMENT: Duration = Duration::from_millis(20);

fn input_is_not_read_while_every_window_is_full(method: StartMethod) {
    let pool = start(method, 2);
    for window in [None, Some(1), Some(2), Some(5), Some(100)] {
        let (log, gate) = (Log::new(), Gate::new());
        let read = Cell::new(0);
        let items = (0..).inspect(|_| read.set(read.get() + 1)).map(|n| (log.path(), gate.path(), n));
        let options = window.map_or(pool.options(), |window| pool.options().window(window));
        let mut results = options.istarmap(tasks::noted_gated, items);
        let workers = window.unwrap_or(2).min(2);
        ask_until(&mut results, "all workers that the window allows run an item", || log.count() == workers);
        // As much as there is room for has been read by now, or is with the next calls.
        (0..5).for_each(|_| assert!(results.next_timeout(Duration::from_millis(2)).is_none()));
        let before = read.get();
        (0..10).for_each(|_| assert!(results.next_timeout(Duration::from_millis(2)).is_none()));
        assert_eq!(read.get(), before, "window {window:?}");
        assert!(before <= window.unwrap_or(100), "{before} items were read for window {window:?}");
        gate.open();
        assert_eq!(results.next().unwrap().unwrap(), 0);
    }
}

fn no_more_items_are_read_than_the_window_allows(method: StartMethod) {
    let pool = start(method, 2);
    for (window, size) in [(1, None), (10, None), (10, Some(3)), (10, Some(100)), (1000, Some(7))] {
        let options = size.map_or(pool.options(), |size| pool.options().chunk_size(size)).window(window);
        let read = Cell::new(0);
        let count = |_: &u64| read.set(read.get() + 1);
        for (yielded, result) in options.imap(tasks::square, (0..3000).inspect(count)).enumerate() {
            result.unwrap();
            assert!(
                read.get() <= yielded + window,
                "{} read, {yielded} yielded, window {window}",
                read.get()
            );
        }
        read.set(0);
        for (yielded, result) in options.imap_unordered(tasks::square, (0..3000).inspect(count)).enumerate() {
            result.unwrap();
            assert!(
                read.get() <= yielded + window,
                "{} read, {yielded} yielded, window {window}",
                read.get()
            );
        }
    }
}

fn a_slow_consumer_holds_up_the_input(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let mut results = pool.options().window(10).istarmap(tasks::noted, (0..).map(|n| (log.path(), n)));
    for yielded in 1..30 {
        results.next().unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(log.count() <= yielded + 10);
    }
}

fn map_does_not_read_far_ahead_of_the_workers(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    let read = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let items = (0..100_000).map(|n| {
            read.fetch_add(1, Ordering::SeqCst);
            (log.path(), gate.path(), n)
        });
        let map = scope.spawn(|| pool.options().chunk_size(1).starmap(tasks::noted_gated, items));
        log.wait_for(2);
        std::thread::sleep(MOMENT);
        let ahead = read.load(Ordering::SeqCst);
        assert!(ahead < 1000, "{ahead} items were read while two ran");
        pool.terminate();
        assert!(map.join().unwrap().is_err());
    });
}

/// Waits for the gate, if it has a name; notes the number, and returns that many bytes.
#[pool_task]
fn bytes_behind(gate: &str, log: &str, len: usize) -> Vec<u8> {
    if !gate.is_empty() {
        pass(gate);
    }
    note(log, len);
    vec![7; len]
}

fn map_goes_on_however_much_waits_behind_its_first_item(method: StartMethod) {
    let pool = start(method, 2);
    // In frames, and in segments.
    for (size, count) in [(16 << 10, 6000), (1 << 20, 100)] {
        let (log, gate) = (Log::new(), Gate::new());
        std::thread::scope(|scope| {
            let items = (0..=count).map(|n| (if n == 0 { gate.path() } else { "" }, log.path(), size));
            let map = scope.spawn(|| pool.options().chunk_size(1).starmap(bytes_behind, items));
            wait_until("all others have run", || log.count() == count);
            gate.open();
            let results = map.join().unwrap().unwrap();
            assert!(results.len() == count + 1 && results.iter().all(|result| result.len() == size));
        });
    }
}

/// Its argument takes no bytes, so the log is told otherwise.
#[pool_task]
fn noted_of_nothing(_nothing: ()) {
    note(&std::env::var("LOG_OF_NOTHING").unwrap(), "it ran");
}

fn map_async_of_nothing_starts_before_all_is_read(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(1).env("LOG_OF_NOTHING", log.path());
    let pool = builder.build().unwrap();
    let items = (0..10_000).map(|n| {
        if n == 9_000 {
            log.wait_for(1)
        }
    });
    assert_eq!(pool.map_async(noted_of_nothing, items).get().unwrap().len(), 10_000);
}

fn large_inputs_are_held_one_by_one(method: StartMethod) {
    const SIZE: usize = 4 << 20;
    let pool = start(method, 2);
    // Warm up: buffers and segments exist from here on.
    assert_eq!(pool.map(tasks::sum, std::iter::repeat_n(&vec![1.0; SIZE / 8][..], 4)).unwrap().len(), 4);
    let blocks = || std::iter::repeat_with(|| vec![1.0; SIZE / 8]).take(100);
    let before = resident_bytes();
    reset_peak();
    assert_eq!(pool.map(tasks::sum_of, blocks()).unwrap().len(), 100);
    let map = peak_bytes().saturating_sub(before);
    reset_peak();
    assert_eq!(pool.imap(tasks::sum_of, blocks()).count(), 100);
    let imap = peak_bytes().saturating_sub(before);
    println!("100 inputs of {} MiB: map held {} MiB, imap {} MiB", SIZE >> 20, map >> 20, imap >> 20);
    assert!(map < 100 << 20 && imap < 100 << 20, "map held {map} bytes, imap {imap}");
}

fn large_results_of_a_slow_consumer_are_bounded(method: StartMethod) {
    const SIZE: usize = 4 << 20;
    let pool = start(method, 2);
    assert_eq!(pool.map(tasks::bytes, [SIZE; 4]).unwrap().len(), 4);
    let before = resident_bytes();
    reset_peak();
    for result in pool.options().window(1000).imap(tasks::bytes, [SIZE; 200]) {
        assert_eq!(result.unwrap().len(), SIZE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let held = peak_bytes().saturating_sub(before);
    println!("200 results of {} MiB: held {} MiB", SIZE >> 20, held >> 20);
    assert!(held < 300 << 20, "{held} bytes were held");
}

/// Notes its process, and does not end.
#[pool_task]
fn stuck(log: &str, _n: u64) {
    note(log, std::process::id());
    std::thread::sleep(Duration::from_secs(600));
}

/// Two items, of which the second is there when the first one's worker was ended.
fn first_and_then_the_other(log: &Log) -> impl Iterator<Item = (&str, u64)> {
    (0..2)
        .inspect(move |n| {
            if *n == 1 {
                log.wait_for(1);
                let pid = log.sorted()[0] as u32;
                wait_until("the first item's time is over", || !processes::is_alive(pid));
            }
        })
        .map(move |n| (log.path(), n))
}

fn somebody_looks_after_items_while_the_next_one_is_read(method: StartMethod) {
    let pool = start(method, 2);
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    let options = pool.options().timeout(Duration::from_millis(200));
    for round in 0..2 {
        // For so long that every thread of an idle pool sleeps until it is called.
        std::thread::sleep(Duration::from_millis(500));
        let log = Log::new();
        let items = first_and_then_the_other(&log);
        let result = match round {
            0 => options.starmap(stuck, items),
            _ => options.istarmap(stuck, items).collect(),
        };
        assert!(matches!(result, Err(Error::TimedOut { index: 0, .. })), "{result:?}");
    }
}

/// Twenty items that come slowly; the eleventh comes only when one of them has run.
fn slowly(log: &Log) -> impl Iterator<Item = (&str, u64)> {
    (0..20).map(move |n| {
        std::thread::sleep(Duration::from_millis(3));
        if n == 10 {
            log.wait_for(1);
        }
        (log.path(), n)
    })
}

fn what_was_read_slowly_does_not_wait_for_the_rest_of_its_chunk(method: StartMethod) {
    let pool = start(method, 2);
    // Measured as short, so that many go together.
    let log = Log::new();
    assert_eq!(pool.starmap(tasks::noted, (0..1000).map(|n| (log.path(), n))).unwrap().len(), 1000);
    for size in [None, Some(1), Some(100)] {
        let options = size.map_or(pool.options(), |size| pool.options().chunk_size(size));
        assert_eq!(options.starmap(tasks::noted, slowly(&Log::new())).unwrap().len(), 20);
        assert_eq!(options.istarmap(tasks::noted, slowly(&Log::new())).count(), 20);
        assert_eq!(options.starmap_async(tasks::noted, slowly(&Log::new())).get().unwrap().len(), 20);
    }
}
