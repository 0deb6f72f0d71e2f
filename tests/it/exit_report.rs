//! What is told of a worker that died, beside how.

use std::time::Duration;

use pool::{Error, ExitReport, StartMethod, pool_task};
use rustix::time::{ClockId, clock_gettime};

use crate::support::{start, tasks};

crate::cases![
    it_says_how_much_memory_and_time_the_worker_used,
    memory_of_the_program_is_not_taken_for_the_workers,
    it_is_the_same_for_a_worker_that_leaves_children_behind,
];

/// Uses memory and CPU time, then the worker dies.
#[pool_task]
fn uses_and_dies(bytes: usize, time: Duration, how: &str) {
    uses(bytes, time);
    tasks::end_process(how);
}

fn uses(bytes: usize, time: Duration) {
    std::hint::black_box(vec![1u8; bytes]);
    while Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap() < time {
        std::hint::black_box(());
    }
}

fn report_of(error: Error) -> ExitReport {
    let text = error.to_string();
    let Error::WorkerLost { report, .. } = error else { panic!("{error:?}") };
    assert!(text.ends_with(&report.to_string()), "{text}");
    *report
}

fn it_says_how_much_memory_and_time_the_worker_used(method: StartMethod) {
    const MEMORY: usize = 100 << 20;
    let time = Duration::from_millis(100);
    let pool = start(method, 1);
    for how in ["kill", "exit", "segv", "abort"] {
        let report = report_of(pool.apply(uses_and_dies, (MEMORY, time, how)).unwrap_err());
        let peak = report.peak_memory.unwrap() as usize;
        assert!((MEMORY..2 * MEMORY).contains(&peak), "{peak}");
        assert!(report.cpu_time.unwrap() >= time, "{report}");
        assert!(report.limit.is_none() && report.panic.is_none());
        let text = report.to_string();
        assert!(text.starts_with("peak memory 1") && text.contains(" MiB, CPU time "), "{text}");
    }
    // The next one has not used that much.
    let report = report_of(pool.apply(tasks::die, ("kill",)).unwrap_err());
    assert!(report.peak_memory.is_none_or(|peak| (peak as usize) < MEMORY), "{report}");
}

fn memory_of_the_program_is_not_taken_for_the_workers(method: StartMethod) {
    const MEMORY: usize = 200 << 20;
    let pool = start(method, 1);
    std::hint::black_box(vec![1u8; MEMORY]);
    // The first one was made before that.
    for _ in 0..2 {
        let report = report_of(pool.apply(tasks::die, ("kill",)).unwrap_err());
        assert!(report.peak_memory.is_none_or(|peak| (peak as usize) < MEMORY), "{report}");
    }
}

/// Leaves a process behind, then the worker dies.
#[pool_task]
fn leaves_a_child_and_dies(how: &str) {
    let child = std::process::Command::new("sleep").arg("1000").spawn();
    std::mem::forget(child.expect("there is a program `sleep`"));
    uses(100 << 20, Duration::from_millis(10));
    tasks::end_process(how);
}

fn it_is_the_same_for_a_worker_that_leaves_children_behind(method: StartMethod) {
    let pool = start(method, 1);
    for how in ["kill", "exit"] {
        let report = report_of(pool.apply(leaves_a_child_and_dies, (how,)).unwrap_err());
        assert!(report.peak_memory.is_some_and(|peak| peak > 100 << 20), "{report}");
        assert!(report.cpu_time.is_some_and(|time| time >= Duration::from_millis(10)), "{report}");
    }
}
