//! How often the program and its workers ask for memory once a call has run before: not for each item.
//!
//! Every allocation of a process is counted, whichever thread makes it. Limits are far above what is needed, and far below one
//! for each item.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use pool::{Pool, StartMethod, pool_task};

use crate::support::start;

crate::cases![
    apply_allocates_nothing_once_it_has_run,
    apply_async_allocates_what_its_handle_needs,
    items_of_a_map_allocate_nothing_each,
    items_of_an_imap_allocate_nothing_each,
];

/// The system's, counted.
struct Counted;

static COUNT: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to what the system's asks for, too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

/// How often this worker allocated so far.
#[pool_task]
fn count_there(_item: u64) -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Allocations of the program and of its one worker that `calls` make, once they were made before.
fn allocations(method: StartMethod, calls: impl Fn(&Pool)) -> (u64, u64) {
    let pool = start(method, 1);
    calls(&pool);
    let there = || pool.apply(count_there, (0,)).unwrap();
    let before = (COUNT.load(Ordering::Relaxed), there());
    calls(&pool);
    (COUNT.load(Ordering::Relaxed) - before.0, there() - before.1)
}

fn apply_allocates_nothing_once_it_has_run(method: StartMethod) {
    let (here, there) = allocations(method, |pool| {
        for n in 0..1000 {
            pool.apply(count_there, (n,)).unwrap();
        }
    });
    assert!(here < 100 && there < 100, "{here} here and {there} there for 1000 items");
}

fn apply_async_allocates_what_its_handle_needs(method: StartMethod) {
    let (here, there) = allocations(method, |pool| {
        for n in 0..1000 {
            pool.apply_async(count_there, (n,)).get().unwrap();
        }
    });
    assert!(here < 2000 && there < 100, "{here} here and {there} there for 1000 items");
}

fn items_of_a_map_allocate_nothing_each(method: StartMethod) {
    let (here, there) = allocations(method, |pool| {
        pool.options().chunk_size(100).map(count_there, 0..100_000).unwrap();
    });
    assert!(here < 10_000 && there < 100, "{here} here and {there} there for 100 000 items");
}

fn items_of_an_imap_allocate_nothing_each(method: StartMethod) {
    let (here, there) = allocations(method, |pool| {
        let results = pool.options().chunk_size(100).imap(count_there, 0..100_000);
        assert_eq!(results.map(Result::unwrap).count(), 100_000);
    });
    assert!(here < 10_000 && there < 100, "{here} here and {there} there for 100 000 items");
}
