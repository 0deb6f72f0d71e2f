//! Whole programs: workloads that others published.

use std::collections::HashSet;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use pool::{Pool, Shared};

use super::super::work::{CONCURRENT_CHUNK, CONSTANT, image, payloads, prefixes};
use crate::tasks;

/// The figure is for all of it, start and end included.
pub(super) fn concurrent_imap(items: usize) -> pool::Result<Vec<f64>> {
    let start = Instant::now();
    let pool = super::make(2)?;
    let lazy = pool.options().chunk_size(CONCURRENT_CHUNK);
    super::calls::sum_up(lazy.imap(tasks::identity, 0..items as u64))?;
    pool.close();
    pool.join()?;
    Ok(vec![start.elapsed().as_secs_f64()])
}

/// As theirs, it includes the start and the end of the pool.
pub(super) fn convolve(workers: usize, items: usize) -> pool::Result<Vec<f64>> {
    let (image, filters) = (image::image(), image::filters(items));
    let start = Instant::now();
    let pool = super::make(workers)?;
    let image = pool.share(image)?;
    for result in pool.istarmap(tasks::convolve, filters.iter().map(|filter| (&image, filter.as_slice()))) {
        black_box(result?);
    }
    pool.close();
    pool.join()?;
    Ok(vec![start.elapsed().as_secs_f64() / items as f64])
}

/// From the value in hand to the first result that used it, for a MiB; then an item, once all workers have it.
pub(super) fn constant(pool: &Pool, items: usize) -> pool::Result<Vec<f64>> {
    let numbers = payloads::numbers(CONSTANT);
    let start = Instant::now();
    let numbers = pool.share(numbers)?;
    assert_eq!(pool.apply(tasks::pick, (&numbers, 0))?, 1.0);
    let first = start.elapsed().as_secs_f64() / (CONSTANT >> 10) as f64;
    let each = constant_item(pool, &numbers, items)?;
    Ok(vec![first, each])
}

/// The time of an item that uses a value which the workers have.
pub(in super::super) fn constant_item(
    pool: &Pool,
    numbers: &Shared<[f64]>,
    items: usize,
) -> pool::Result<f64> {
    let run = |items| pool.starmap(tasks::pick, (0..items).map(|at| (numbers, at)));
    run(100)?;
    let start = Instant::now();
    assert_eq!(run(items)?.len(), items);
    Ok(start.elapsed().as_secs_f64() / items as f64)
}

/// As theirs, it includes the start and the end of the pool. What each worker counted comes back when it ends.
pub(super) fn prefixes(workers: usize, items: usize) -> pool::Result<Vec<f64>> {
    let documents: Vec<Vec<u8>> = (0..items).map(prefixes::document).collect();
    let folder = std::env::temp_dir().join(format!("prefixes-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files can be had");
    let start = Instant::now();
    let name = folder.to_string_lossy();
    let pool = Pool::builder().workers(workers).finalizer(tasks::save_popular, (&name,)).build()?;
    for result in pool.imap_unordered(tasks::add_document, documents.iter().map(Vec::as_slice)) {
        result?;
    }
    pool.close();
    pool.join()?;
    let mut popular: HashSet<Vec<u8>> = HashSet::new();
    for file in fs::read_dir(&folder).expect("the folder is there").flatten() {
        let bytes = fs::read(file.path()).expect("a worker wrote it");
        popular.extend(postcard::from_bytes::<HashSet<Vec<u8>>>(&bytes).expect("a worker wrote all of it"));
    }
    let took = start.elapsed().as_secs_f64();
    assert!(!black_box(popular).is_empty(), "single bytes come up often");
    fs::remove_dir_all(&folder).expect("nobody else uses it");
    Ok(vec![took / items as f64])
}
