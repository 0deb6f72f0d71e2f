//! How much is held.

use std::time::{Duration, Instant};

use pool::{Error, Result, StartMethod, pool_task};

use crate::support::census::Census;
use crate::support::{Gate, Log, PATIENCE, resident_bytes, start, tasks, wait_until};

crate::cases![
    a_million_open_handles_cost_memory_only,
    large_values_go_in_and_out,
    values_of_every_size_around_the_limits_of_a_ring_arrive,
    large_and_small_items_mix,
    memory_of_large_values_is_given_back,
    shared_memory_is_given_back_when_the_pool_is_idle,
    shared_memory_is_given_back_though_an_item_takes_long,
    nothing_is_mapped_or_opened_for_a_call_once_there_are_segments,
    one_worker_lost_with_large_values_on_their_way_costs_one_item,
    results_that_nobody_takes_hold_up_no_worker,
    a_slow_consumer_finds_its_results_as_they_were,
];

fn a_million_open_handles_cost_memory_only(method: StartMethod) {
    const COUNT: u64 = 1_000_000;
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    let busy: Vec<_> =
        (0..2).map(|n| pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), n))).collect();
    log.wait_for(2);
    let mut handles = Vec::with_capacity(COUNT as usize);
    let (before, memory) = (Census::take(), resident_bytes());
    handles.extend((0..COUNT).map(|n| pool.apply_async(tasks::square, (n,))));
    let (after, grown) = (Census::take(), resident_bytes() - memory);
    let each = grown as u64 / COUNT;
    println!("{each} bytes for each queued item, of which {} are the handle", size_of_val(&handles[0]));
    assert_eq!((before.descriptors(), before.threads()), (after.descriptors(), after.threads()));
    assert!(each < 600, "{each} bytes for each queued item");
    gate.open();
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(handle.get().unwrap(), n * n);
    }
    let last = Census::take();
    assert_eq!((before.descriptors(), before.threads()), (last.descriptors(), last.threads()));
    assert!(busy.into_iter().all(|handle| handle.get().is_ok()));
}

fn large_values_go_in_and_out(method: StartMethod) {
    let pool = start(method, 2);
    let numbers: Vec<f64> = (0..100_000_000 / 8).map(|n| n as f64).collect();
    let sum: f64 = numbers.iter().sum();
    assert_eq!(pool.apply(tasks::sum, (&numbers,)).unwrap(), sum);
    let back = pool.apply(tasks::echo, (numbers.clone(),)).unwrap();
    assert!(back == numbers);
    drop(back);
    let bytes: Vec<u8> = (0..100_000_000u32).map(|n| n as u8).collect();
    assert_eq!(pool.apply(tasks::length, (&bytes,)).unwrap(), bytes.len());
    assert_eq!(pool.apply(tasks::bytes, (100_000_000,)).unwrap().len(), 100_000_000);
    let text = "täxt".repeat(5_000_000);
    assert!(pool.apply(tasks::echo_text, (&text,)).unwrap() == text);
}

fn values_of_every_size_around_the_limits_of_a_ring_arrive(method: StartMethod) {
    let pool = start(method, 2);
    let mut sizes = vec![0, 1, 2, 3, 7, 8, 9, 15, 16, 17];
    for power in 5..20 {
        for offset in [-65, -33, -24, -16, -8, -1, 0, 1, 8, 16, 33] {
            sizes.push(((1i64 << power) + offset).max(0) as usize);
        }
    }
    let expect = |results: Vec<Vec<u8>>| {
        assert_eq!(results.len(), sizes.len());
        for (size, result) in sizes.iter().zip(results) {
            assert!(result.len() == *size && result.iter().all(|byte| *byte == 7));
        }
    };
    expect(pool.map(tasks::bytes, sizes.iter().copied()).unwrap());
    expect(pool.options().chunk_size(50).map(tasks::bytes, sizes.iter().copied()).unwrap());
    expect(sizes.iter().map(|size| pool.apply(tasks::bytes, (*size,)).unwrap()).collect());
    expect(pool.imap(tasks::bytes, sizes.iter().copied()).collect::<Result<_>>().unwrap());
    let blocks: Vec<Vec<u8>> = sizes.iter().map(|size| vec![1; *size]).collect();
    for size in [1, 50] {
        let options = pool.options().chunk_size(size);
        assert_eq!(options.map(tasks::length, blocks.iter().map(Vec::as_slice)).unwrap(), sizes);
        assert_eq!(options.map_async(tasks::length, blocks.iter().map(Vec::as_slice)).get().unwrap(), sizes);
    }
}

fn large_and_small_items_mix(method: StartMethod) {
    let pool = start(method, 2);
    let size = |n: usize| if n % 37 == 0 { 300_000 } else { n };
    let lengths: Vec<usize> = (0..500).map(size).collect();
    let blocks: Vec<Vec<u8>> = lengths.iter().map(|size| vec![1; *size]).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(pool.map(tasks::length, blocks.iter().map(Vec::as_slice)).unwrap(), lengths);
                let results = pool.imap(tasks::bytes, lengths.iter().copied());
                assert!(results.zip(&lengths).all(|(result, length)| result.unwrap().len() == *length));
                let handles: Vec<_> =
                    lengths.iter().map(|length| pool.apply_async(tasks::bytes, (*length,))).collect();
                assert!(
                    handles
                        .into_iter()
                        .zip(&lengths)
                        .all(|(handle, length)| handle.get().unwrap().len() == *length)
                );
            });
        }
    });
}

fn memory_of_large_values_is_given_back(method: StartMethod) {
    let pool = start(method, 1);
    let work = || {
        let numbers = vec![1.0; 50_000_000 / 8];
        assert_eq!(pool.apply(tasks::echo, (numbers,)).unwrap().len(), 50_000_000 / 8);
    };
    work();
    let before = resident_bytes();
    (0..10).for_each(|_| work());
    let grown = resident_bytes().saturating_sub(before);
    // If each were kept, it would be 500 MB.
    assert!(grown < 60 << 20, "{grown} bytes more after ten times the same");
}

/// What this worker has present of memory that it shares with others, files included.
#[pool_task]
fn shared_bytes() -> usize {
    own_shared_bytes()
}

/// Counted page by page: what a process's status says is kept per CPU and may lag behind.
fn own_shared_bytes() -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("every process has maps");
    let mut is_shared = false;
    let mut kibibytes = 0;
    for line in maps.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields[..] {
            ["Rss:", size, "kB"] if is_shared => kibibytes += size.parse::<usize>().expect("a number"),
            [range, rights, ..] if range.contains('-') => is_shared = rights.ends_with('s'),
            _ => {}
        }
    }
    kibibytes << 10
}

fn shared_memory_is_given_back_when_the_pool_is_idle(method: StartMethod) {
    const SIZE: usize = 40 << 20;
    let pool = start(method, 1);
    let before = (own_shared_bytes(), pool.apply(shared_bytes, ()).unwrap());
    for _ in 0..2 {
        assert_eq!(pool.apply(tasks::echo, (vec![1.0; SIZE / 8],)).unwrap().len(), SIZE / 8);
        assert!(own_shared_bytes() >= before.0 + 2 * SIZE, "arguments and results were there");
        let is_given_back = |now: usize, before: usize| now < before + (1 << 20);
        wait_until("the program has no shared memory any more", || {
            is_given_back(own_shared_bytes(), before.0)
        });
        let there = || pool.apply(shared_bytes, ()).unwrap();
        wait_until("the worker has none any more", || is_given_back(there(), before.1));
    }
}

fn shared_memory_is_given_back_though_an_item_takes_long(method: StartMethod) {
    const SIZE: usize = 40 << 20;
    const SLACK: usize = 1 << 20;
    let pool = &start(method, 2);
    let before = own_shared_bytes();
    let gate = Gate::new();
    let handle = pool.apply_async(tasks::gated, (gate.path(), 7));
    let comes_and_goes = || {
        assert_eq!(pool.apply(tasks::echo, (vec![1.0; SIZE / 8],)).unwrap().len(), SIZE / 8);
        assert!(own_shared_bytes() + SLACK >= before + 2 * SIZE, "arguments and results were there");
        wait_until("the program has no shared memory any more", || own_shared_bytes() < before + SLACK);
    };
    // Nobody waits for the item but the pool's own thread, and then somebody does.
    comes_and_goes();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| handle.get());
        comes_and_goes();
        gate.open();
        assert_eq!(waits.join().unwrap().unwrap(), 7);
    });
}

/// Mappings and descriptors of a worker.
#[pool_task]
fn holdings(_: &[u8]) -> (usize, usize, Vec<u8>) {
    own_holdings()
}

fn own_holdings() -> (usize, usize, Vec<u8>) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("every process has maps");
    let ours = maps.lines().filter(|line| line.contains("/memfd:pool")).count();
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("every process has descriptors").count();
    (ours, descriptors, vec![1; 1 << 20])
}

fn nothing_is_mapped_or_opened_for_a_call_once_there_are_segments(method: StartMethod) {
    let pool = start(method, 1);
    let argument = vec![7; 1 << 20];
    let both = || {
        let there = pool.apply(holdings, (&argument,)).unwrap();
        let here = own_holdings();
        (here.0, here.1, there.0, there.1)
    };
    both();
    let mut before = both();
    let mut in_time = 0;
    let patience = Instant::now() + PATIENCE;
    let mut last = Instant::now();
    while in_time < 50 {
        let after = both();
        let took = last.elapsed();
        last = Instant::now();
        // What nobody used for two seconds is given back, and from one call to the next they pass only if the machine stands still.
        if took < Duration::from_secs(1) {
            assert_eq!(after, before, "after {in_time} calls");
            in_time += 1;
        } else {
            both();
            before = both();
        }
        assert!(Instant::now() < patience, "{in_time} calls were in time");
    }
}

/// Dies, if it is told to, with an argument and a result on their way.
#[pool_task]
fn grows_or_dies(bytes: &[u8]) -> Vec<u8> {
    if bytes[0] == 1 {
        std::process::abort();
    }
    bytes.to_vec()
}

fn one_worker_lost_with_large_values_on_their_way_costs_one_item(method: StartMethod) {
    let pool = start(method, 2);
    for round in 0..3 {
        let items: Vec<Vec<u8>> = (0..30)
            .map(|n| vec![if n % 10 == round { 1 } else { 2 + n as u8 }; 100_000 * (1 + n % 5)])
            .collect();
        let results: Vec<_> = pool.imap(grows_or_dies, items.iter().map(Vec::as_slice)).collect();
        for (item, result) in items.iter().zip(results) {
            match item[0] {
                1 => assert!(matches!(result, Err(Error::WorkerLost { .. })), "{result:?}"),
                _ => assert!(result.unwrap() == *item),
            }
        }
        let retried = pool.options().retries(1).map(grows_or_dies, items.iter().map(Vec::as_slice));
        assert!(matches!(retried, Err(Error::WorkerLost { index, .. }) if index == round), "{retried:?}");
    }
}

fn results_that_nobody_takes_hold_up_no_worker(method: StartMethod) {
    let pool = start(method, 1);
    let handles: Vec<_> = (0..40).map(|n| pool.apply_async(tasks::bytes, (100_000 + n,))).collect();
    handles.last().unwrap().wait();
    assert_eq!(pool.apply(tasks::bytes, (3_000_000,)).unwrap().len(), 3_000_000);
    for (n, handle) in handles.into_iter().enumerate().rev() {
        let result = handle.get().unwrap();
        assert!(result.len() == 100_000 + n && result.iter().all(|byte| *byte == 7));
    }
}

fn a_slow_consumer_finds_its_results_as_they_were(method: StartMethod) {
    let pool = start(method, 2);
    let items: Vec<Vec<f64>> = (0..40).map(|n| vec![f64::from(n); 20_000]).collect();
    let mut results = pool.options().window(10).imap(tasks::echo, items.iter().cloned());
    for item in &items {
        let result = results.next().unwrap().unwrap();
        // Meanwhile the workers use their segments again.
        assert_eq!(pool.apply(tasks::echo, (vec![-1.0; 50_000],)).unwrap().len(), 50_000);
        assert!(result == *item);
    }
}
