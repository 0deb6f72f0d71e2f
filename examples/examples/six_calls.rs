//! The six calls that are not lazy, compared: every cell is measured with tasks that sleep, then printed.
//!
//! ```text
//! cargo run --release --example six_calls
//! ```
//!
//! Each call gets the same four naps, the longest first, on four workers. That is two seconds of sleep, so the
//! whole takes about six.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pool::{Arguments, OneArgument, Pool, StarArguments, Task};

/// Milliseconds of each nap.
const NAPS: [u64; 4] = [800, 600, 400, 200];

mod tasks {
    use std::thread;
    use std::time::Duration;

    #[pool::pool_task]
    pub(super) fn nap(millis: u64) -> u64 {
        thread::sleep(Duration::from_millis(millis));
        millis
    }

    #[pool::pool_task]
    pub(super) fn nap_twice(first: u64, second: u64) -> u64 {
        nap(first) + nap(second)
    }
}

/// Results in the order in which they reach the caller.
type Arrived = Vec<u64>;

/// What one call was seen to do.
struct Row {
    call: &'static str,
    /// It takes a task of two arguments.
    several: bool,
    /// How long the caller was held up before it had all of its calls made.
    held_up: Duration,
    /// How long it took until the last result was there.
    finished: Duration,
    arrived: Arrived,
}

impl Row {
    /// Less time passed than was slept.
    fn is_concurrent(&self) -> bool {
        self.finished < Duration::from_millis(NAPS.iter().sum()) * 3 / 4
    }

    /// The caller was held up at least until the shortest nap was over.
    fn is_blocking(&self) -> bool {
        self.held_up >= Duration::from_millis(NAPS[3])
    }

    /// The longest nap is the first item, so only a call that orders its results has it first.
    fn is_ordered(&self) -> bool {
        self.arrived == NAPS
    }
}

/// Asks the compiler: a constant of the type itself comes before that of the trait, if the type has one.
struct Takes<Args>(PhantomData<Args>);

#[allow(dead_code, reason = "what the answer is `no` to is never read")]
impl<Args: OneArgument> Takes<Args> {
    const MAP: bool = true;
}

impl<Args: Arguments> Takes<Args> {
    const APPLY: bool = true;
}

impl<Args: StarArguments> Takes<Args> {
    const STARMAP: bool = true;
}

trait Otherwise {
    const MAP: bool = false;
    #[allow(dead_code, reason = "what the answer is `yes` to is never read")]
    const APPLY: bool = false;
    #[allow(dead_code, reason = "what the answer is `yes` to is never read")]
    const STARMAP: bool = false;
}

impl<Args> Otherwise for Takes<Args> {}

/// Two arguments.
type Two = Takes<<tasks::nap_twice as Task>::Args<'static>>;

/// Makes calls that return their results.
fn watch_blocking(
    call: &'static str,
    several: bool,
    make: impl FnOnce() -> pool::Result<Arrived>,
) -> pool::Result<Row> {
    let start = Instant::now();
    let arrived = make()?;
    Ok(Row { call, several, held_up: start.elapsed(), finished: start.elapsed(), arrived })
}

/// Makes calls that leave their results in the list they are given, and waits for the handles.
fn watch_async(
    call: &'static str,
    several: bool,
    make: impl FnOnce(&Arc<Mutex<Arrived>>) -> Vec<pool::AsyncResult<()>>,
) -> pool::Result<Row> {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let handles = make(&arrived);
    let held_up = start.elapsed();
    for handle in handles {
        handle.get()?;
    }
    let finished = start.elapsed();
    let arrived = std::mem::take(&mut *arrived.lock().expect("no callback panics while it holds the lock"));
    Ok(Row { call, several, held_up, finished, arrived })
}

/// A callback that appends to the list.
fn append_to(list: &Arc<Mutex<Arrived>>) -> impl FnOnce(Arrived) + Send + use<> {
    let list = list.clone();
    move |results| list.lock().expect("no callback panics while it holds the lock").extend(results)
}

fn main() -> pool::Result<()> {
    let pool = Pool::builder().workers(NAPS.len()).build()?;
    // Two naps that take as long together as one does alone.
    let halves = || NAPS.map(|millis| (millis / 2, millis / 2));
    // Wait until every worker is there.
    pool.options().chunk_size(1).map(tasks::nap, [20; 8])?;

    let rows = [
        watch_blocking("map", Two::MAP, || pool.map(tasks::nap, NAPS))?,
        watch_async("map_async", Two::MAP, |list| {
            vec![pool.map_async(tasks::nap, NAPS).callback(append_to(list))]
        })?,
        watch_blocking("apply", Two::APPLY, || {
            halves().into_iter().map(|two| pool.apply(tasks::nap_twice, two)).collect()
        })?,
        watch_async("apply_async", Two::APPLY, |list| {
            let append = |list| {
                let append = append_to(list);
                move |millis| append(vec![millis])
            };
            halves().map(|two| pool.apply_async(tasks::nap_twice, two).callback(append(list))).into()
        })?,
        watch_blocking("starmap", Two::STARMAP, || pool.starmap(tasks::nap_twice, halves()))?,
        watch_async("starmap_async", Two::STARMAP, |list| {
            vec![pool.starmap_async(tasks::nap_twice, halves()).callback(append_to(list))]
        })?,
    ];
    print(&rows);
    pool.close();
    pool.join()
}

fn print(rows: &[Row]) {
    let word = |yes| if yes { "yes" } else { "no" };
    println!("naps of {NAPS:?} ms, in this order, on {} workers\n", NAPS.len());
    println!("{:<14} several     concurrent   blocking   ordered   held up    finished", "");
    println!("{:<14} arguments?                                    for        after", "");
    for row in rows {
        println!(
            "{:<14} {:<11} {:<12} {:<10} {:<9} {:>5} ms   {:>5} ms",
            row.call,
            word(row.several),
            word(row.is_concurrent()),
            word(row.is_blocking()),
            word(row.is_ordered()),
            row.held_up.as_millis(),
            row.finished.as_millis(),
        );
    }
    println!(
        "\n`apply` makes one call at a time, so its results come in the order of the calls.\n\
         `apply_async` has a handle for every call, and they get ready in the order of completion."
    );
}
