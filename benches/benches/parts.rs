//! The parts of a call, each by the calls in which it is most of what there is: `cargo bench -p benches --bench parts`.
//!
//! The parts are private, and a bench is no reason to show them. So each group is a call that hardly costs anything but that
//! part; what the call costs elsewhere is in all its figures alike, so a change of the part is what changes them.

use std::hint::black_box;
use std::thread;

use benches::tasks::{last_byte, square, work_for};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pool::Pool;

const ITEMS: u64 = 100_000;

fn pool() -> Pool {
    Pool::builder().workers(2).build().expect("two workers can be started")
}

/// Large chunks: there is a frame for thousands of items, so an item is encoded and decoded twice and little else.
fn codec(c: &mut Criterion) {
    let pool = pool();
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(ITEMS)).sample_size(20);
    for (name, first) in [("numbers_of_3_bytes", 0_u64), ("numbers_of_10_bytes", u64::MAX - ITEMS)] {
        group.bench_function(name, |b| {
            b.iter(|| pool.options().chunk_size(5_000).map(square, first..first + ITEMS).unwrap());
        });
    }
    group.finish();
}

/// One worker and chunks of one: a frame there and a frame back for each item, while both sides are awake.
fn ring(c: &mut Criterion) {
    let pool = Pool::builder().workers(1).build().expect("a worker can be started");
    let mut group = c.benchmark_group("ring");
    group.sample_size(20);
    group.bench_function("there_and_back", |b| b.iter(|| pool.apply(square, (black_box(3),)).unwrap()));
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("stream", |b| {
        b.iter(|| pool.options().chunk_size(1).map(square, 0..ITEMS).unwrap());
    });
    let bytes = vec![1_u8; 16 << 10];
    group.throughput(Throughput::Bytes(1_000 * bytes.len() as u64));
    group.bench_function("stream_of_16_KiB", |b| {
        b.iter(|| pool.options().chunk_size(1).map(last_byte, (0..1_000).map(|_| &bytes[..])).unwrap());
    });
    group.finish();
}

/// Default chunks against the best fixed ones, for items that take next to nothing, some and long.
fn chunk_rule(c: &mut Criterion) {
    let pool = pool();
    let mut group = c.benchmark_group("chunk_rule");
    group.sample_size(10);
    for (micros, items, best) in [(1_u32, 50_000_usize, 1_000), (20, 5_000, 50), (1_000, 200, 1)] {
        let durations = || std::iter::repeat_n(f64::from(micros) * 1e-6, items);
        group.throughput(Throughput::Elements(items as u64));
        group.bench_with_input(BenchmarkId::new("default", micros), &micros, |b, _| {
            b.iter(|| pool.map(work_for, durations()).unwrap());
        });
        group.bench_with_input(BenchmarkId::new("fixed", micros), &micros, |b, _| {
            b.iter(|| pool.options().chunk_size(best).map(work_for, durations()).unwrap());
        });
    }
    group.finish();
}

/// Many jobs: opening one, queueing it, telling who waits for it.
fn driver(c: &mut Criterion) {
    let pool = pool();
    let mut group = c.benchmark_group("driver");
    group.throughput(Throughput::Elements(ITEMS)).sample_size(20);
    for threads in [1, 16] {
        let share = ITEMS / threads;
        let submit = || (0..share).map(|x| pool.apply_async(square, (x,))).collect::<Vec<_>>();
        let collect = || submit().into_iter().map(|handle| handle.get().unwrap()).fold(0, u64::wrapping_add);
        group.bench_with_input(BenchmarkId::new("submit_and_get", threads), &threads, |b, threads| {
            b.iter(|| {
                thread::scope(|scope| {
                    (0..*threads).for_each(|_| drop(scope.spawn(collect)));
                });
            });
        });
    }
    group.finish();
}

criterion_group!(parts, codec, ring, chunk_rule, driver);
criterion_main!(parts);
