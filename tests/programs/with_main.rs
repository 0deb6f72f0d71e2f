//! A program whose workers begin at the top of `main`: `program_with_main SCENARIO START-METHOD LOG`.

use pool::pool_task;
use tests::support::{note, processes, program, start, tasks};

#[pool_task]
fn local(n: u64) -> u64 {
    n + 1
}

#[pool::main]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [_, method, log] = &args[..] else { panic!("no arguments") };
    note(log, "main");
    let pool = start(program::method_named(method), 2);
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    assert_eq!(pool.map(local, 0..3).unwrap(), [1, 2, 3]);
    processes::kill(pool.worker_pids()[0]);
    assert_eq!(pool.map(local, 0..100).unwrap().len(), 100);
    pool.close();
    pool.join().unwrap();
}
