//! How soon there is a pool, and a new worker.

use std::env;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pool::{Pool, StartMethod};
use rustix::process::{Pid, Signal, kill_process};

use super::super::stats::sorted_middle;
use super::super::work::Method;
use crate::tasks::{own_pid, square};

/// How long a worker that was killed may take to be replaced.
const PATIENCE: Duration = Duration::from_secs(5);

/// From no pool at all to its first result; ending it is not counted.
pub(super) fn start(workers: usize, method: Method, times: usize) -> pool::Result<Vec<f64>> {
    let method = match method {
        Method::Fork => StartMethod::Fork,
        Method::ForkServer => StartMethod::ForkServer,
        Method::Spawn => StartMethod::Spawn,
    };
    let mut samples = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        let pool = Pool::builder().workers(workers).start_method(method).build()?;
        assert_eq!(pool.apply(square, (3,))?, 9);
        samples.push(start.elapsed().as_secs_f64());
    }
    Ok(vec![sorted_middle(samples)])
}

/// What `--start-fork` does: prints what [`StartMethod::Fork`] took, in a program that has one thread.
pub(in super::super) fn start_fork(workers: usize) -> Result<(), String> {
    let figures = start(workers, Method::Fork, 1).map_err(|error| error.to_string())?;
    println!("{}", figures[0]);
    Ok(())
}

/// Runs this program anew for each start.
pub(super) fn start_fork_elsewhere(workers: usize, times: usize) -> Result<Vec<f64>, String> {
    let mut samples = Vec::new();
    for _ in 0..times {
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new(program)
            .args(["--bench", "--start-fork", "--workers", &workers.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        samples.push(text.trim().parse().map_err(|error| format!("`{}`: {error}", text.trim()))?);
    }
    Ok(vec![sorted_middle(samples)])
}

/// From SIGKILL to an answer of the next worker, in a pool of one.
pub(super) fn replace(times: usize) -> pool::Result<Vec<f64>> {
    let pool = super::make(1)?;
    let mut samples = Vec::new();
    for _ in 0..times {
        let old = pool.apply(own_pid, ())?;
        let pid = Pid::from_raw(old as i32).expect("a worker has a process id");
        let start = Instant::now();
        kill_process(pid, Signal::KILL).expect("a worker of ours lives and may be killed");
        loop {
            match pool.apply(own_pid, ()) {
                Ok(new) if new != old => break,
                // It went to the worker that was about to die.
                Ok(_) | Err(pool::Error::WorkerLost { .. }) if start.elapsed() < PATIENCE => {}
                Ok(_) => panic!("worker {old} answers {PATIENCE:?} after it was killed"),
                Err(error) => return Err(error),
            }
        }
        samples.push(start.elapsed().as_secs_f64());
    }
    Ok(vec![sorted_middle(samples)])
}
