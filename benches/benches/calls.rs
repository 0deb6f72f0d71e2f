//! What each call costs, for daily use: `cargo bench -p benches --bench calls`.
//!
//! Two workers, as in `rivals`. Times are those of the whole call; where a call has many items, the throughput is
//! per item.

use std::hint::black_box;

use benches::tasks::{echo_bytes, echo_numbers, last_number, square};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pool::Pool;

const ITEMS: u64 = 100_000;

fn pool() -> Pool {
    Pool::builder().workers(2).build().expect("two workers can be started")
}

/// One call there and back, with nothing else in the pool.
fn apply(c: &mut Criterion) {
    let pool = pool();
    c.bench_function("apply", |b| b.iter(|| pool.apply(square, (black_box(3),)).unwrap()));
    c.bench_function("apply_async_get", |b| {
        b.iter(|| pool.apply_async(square, (black_box(3),)).get().unwrap());
    });
}

/// Many items of next to no work each.
fn many(c: &mut Criterion) {
    let pool = pool();
    let mut group = c.benchmark_group("many");
    group.throughput(Throughput::Elements(ITEMS)).sample_size(20);
    group.bench_function("apply_async_then_get", |b| {
        b.iter(|| {
            let handles: Vec<_> = (0..ITEMS).map(|x| pool.apply_async(square, (x,))).collect();
            handles.into_iter().map(|handle| handle.get().unwrap()).fold(0, u64::wrapping_add)
        });
    });
    group.bench_function("map", |b| b.iter(|| pool.map(square, 0..ITEMS).unwrap()));
    group.bench_function("map_chunks_of_1", |b| {
        b.iter(|| pool.options().chunk_size(1).map(square, 0..ITEMS).unwrap());
    });
    group.bench_function("imap", |b| {
        b.iter(|| pool.imap(square, 0..ITEMS).map(Result::unwrap).fold(0, u64::wrapping_add));
    });
    group.bench_function("imap_unordered", |b| {
        b.iter(|| pool.imap_unordered(square, 0..ITEMS).map(Result::unwrap).fold(0, u64::wrapping_add));
    });
    group.finish();
}

/// One large argument, there and back or one way.
fn payload(c: &mut Criterion) {
    let pool = pool();
    let mut group = c.benchmark_group("payload");
    group.sample_size(20);
    for kibibytes in [1_usize, 64, 1024, 16 * 1024] {
        let len = kibibytes << 10;
        let bytes = vec![1_u8; len];
        let numbers = vec![1.0_f64; len / size_of::<f64>()];
        group.throughput(Throughput::Bytes(len as u64));
        let id = |name| BenchmarkId::new(name, format!("{kibibytes} KiB"));
        group.bench_function(id("bytes_there_and_back"), |b| {
            b.iter(|| pool.apply(echo_bytes, (&bytes,)).unwrap());
        });
        group.bench_function(id("numbers_there_and_back"), |b| {
            b.iter(|| pool.apply(echo_numbers, (&numbers,)).unwrap());
        });
        group.bench_function(id("numbers_there"), |b| {
            b.iter(|| pool.apply(last_number, (&numbers,)).unwrap())
        });
    }
    group.finish();
}

criterion_group!(calls, apply, many, payload);
criterion_main!(calls);
