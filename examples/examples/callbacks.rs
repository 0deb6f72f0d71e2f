//! Ten items of two seconds each, whose results a callback appends to one list as they arrive.
//!
//! ```text
//! cargo run --release --example callbacks
//! ```

use std::sync::{Arc, Mutex};
use std::time::Instant;

use pool::Pool;

mod tasks {
    use std::thread;
    use std::time::Duration;

    #[pool::pool_task]
    pub(super) fn square_slowly(n: u64) -> u64 {
        thread::sleep(Duration::from_secs(2));
        n * n
    }
}

fn main() -> pool::Result<()> {
    // More workers than CPUs make sense for tasks that only wait.
    let pool = Pool::builder().workers(4).build()?;
    let list = Arc::new(Mutex::new(Vec::new()));

    let start = Instant::now();
    for n in 0..10 {
        let list = list.clone();
        let handle = pool.apply_async(tasks::square_slowly, (n,)).callback(move |square| {
            list.lock().expect("`push` does not panic").push(square);
        });
        // Nobody waits for this one alone: `join` waits until every callback has run.
        drop(handle);
    }
    println!("all ten were started after {:.1?}", start.elapsed());
    pool.close();
    pool.join()?;

    let list = list.lock().expect("`push` does not panic");
    println!("in order of completion, after {:.1?}: {list:?}", start.elapsed());
    Ok(())
}
