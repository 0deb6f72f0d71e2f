//! How much is held.

use pool::{Result, StartMethod};

use crate::support::census::Census;
use crate::support::{Gate, Log, resident_bytes, start, tasks};

crate::cases![
    a_million_open_handles_cost_memory_only,
    large_values_go_in_and_out,
    values_of_every_size_around_the_limits_of_a_ring_arrive,
    large_and_small_items_mix,
    memory_of_large_values_is_given_back,
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
    assert!(grown < 60 << 20, "{grown} bytes more after ten times the same");
}
