//! Python's pools: a process of `python/rivals.py` for each, kept from one measurement to the next.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::system::System;
use super::work::{Kind, Pace, Work};

/// The pools that the script knows: its name for them and the head of their column.
pub(super) const POOLS: &[(&str, &str)] = &[
    ("pool", "multiprocessing.Pool"),
    ("executor", "ProcessPoolExecutor"),
    ("loky", "loky"),
    ("mpire", "mpire"),
];

/// How long a single measurement may take; some of these pools hang now and then.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of them, running.
pub(super) struct Python {
    key: &'static str,
    title: &'static str,
    version: String,
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Python {
    /// Starts the script.
    ///
    /// # Errors
    ///
    /// Why there is no such pool here: no interpreter, or no such module.
    pub(super) fn new(
        interpreter: &str,
        key: &'static str,
        title: &'static str,
        workers: usize,
    ) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/rivals.py");
        let mut child = Command::new(interpreter)
            .arg(script)
            .args([key, &workers.to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {interpreter}: {error}"))?;
        let requests = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output was asked for"));
        let (lines, answers) = channel();
        // Ends with the script, or with whoever waits for its answers.
        thread::spawn(move || output.lines().map_while(Result::ok).all(|line| lines.send(line).is_ok()));
        let mut python = Self { key, title, version: String::new(), child, requests, answers };
        let answer = python.answer()?;
        match answer.split_once(' ') {
            Some(("ready", version)) => python.version = version.trim_end().to_owned(),
            Some(("missing", reason)) => return Err(reason.to_owned()),
            _ => return Err(answer),
        }
        python.signal(Signal::STOP);
        Ok(python)
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Sends a signal to the script and to all that it started.
    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Once the script has ended there is nobody to get it.
            let _ = kill_process_group(group, signal);
        }
    }

    fn answer(&mut self) -> Result<String, String> {
        self.answers.recv_timeout(PATIENCE).map_err(|error| {
            let reason = match error {
                RecvTimeoutError::Timeout => format!("hung for {PATIENCE:?}"),
                RecvTimeoutError::Disconnected => "the script ended".to_owned(),
            };
            self.requests = None;
            self.signal(Signal::KILL);
            reason
        })
    }
}

impl System for Python {
    fn key(&self) -> &'static str {
        self.key
    }

    fn name(&self) -> String {
        self.title.to_owned()
    }

    fn pace(&self, work: &Work) -> Pace {
        // These two cut the items of `map` into as few chunks by default as we do; the others send them singly.
        let is_chunked = matches!(self.key, "pool" | "mpire");
        match work.kind {
            Kind::Map if is_chunked => Pace::Fast,
            _ => Pace::Slow,
        }
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        let requests = self.requests.as_mut().ok_or("hung before")?;
        writeln!(requests, "{} {items}", work.kind.name()).map_err(|error| error.to_string())?;
        // Some of them poll while they have nothing to do, which must not be at the cost of the others.
        self.signal(Signal::CONT);
        let answer = self.answer()?;
        self.signal(Signal::STOP);
        match answer.split_once(' ') {
            Some(("ok", figures)) => {
                let figures: Result<Vec<f64>, _> = figures.split(' ').map(str::parse).collect();
                figures.map_err(|error| format!("`{answer}`: {error}"))
            }
            Some(("none", reason)) => Err(reason.to_owned()),
            _ => Err(answer),
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // What it started may outlive a script that is killed, so all of them are.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
