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

/// One of them.
pub(super) struct Python {
    interpreter: String,
    key: &'static str,
    title: &'static str,
    workers: usize,
    version: String,
    /// The script, unless it hung: then it begins anew with the next measurement.
    script: Option<Script>,
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
        let interpreter = interpreter.to_owned();
        let mut python = Self { interpreter, key, title, workers, version: String::new(), script: None };
        let (script, version) = python.start()?;
        python.version = version;
        python.script = Some(script);
        Ok(python)
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    fn start(&self) -> Result<(Script, String), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/rivals.py");
        let child = Command::new(&self.interpreter)
            .arg(script)
            .args([self.key, &self.workers.to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", self.interpreter))?;
        let script = Script::new(child);
        let answer = script.answer()?;
        match answer.split_once(' ') {
            Some(("ready", version)) => {
                script.signal(Signal::STOP);
                Ok((script, version.trim_end().to_owned()))
            }
            Some(("missing", reason)) => Err(reason.to_owned()),
            _ => Err(answer),
        }
    }
}

/// The script, running. While nothing is asked of it, it is stopped: some of the pools poll while they have nothing to do,
/// which must not be at the cost of the others.
struct Script {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
}

impl Script {
    fn new(mut child: Child) -> Self {
        let requests = child.stdin.take().expect("its input was asked for");
        let output = BufReader::new(child.stdout.take().expect("its output was asked for"));
        let (lines, answers) = channel();
        // Ends with the script, or with whoever waits for its answers.
        thread::spawn(move || output.lines().map_while(Result::ok).all(|line| lines.send(line).is_ok()));
        Self { child, requests, answers }
    }

    fn ask(&mut self, request: &str) -> Result<String, String> {
        writeln!(self.requests, "{request}").map_err(|error| error.to_string())?;
        self.signal(Signal::CONT);
        let answer = self.answer()?;
        self.signal(Signal::STOP);
        Ok(answer)
    }

    fn answer(&self) -> Result<String, String> {
        self.answers.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("hung for {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => "the script ended".to_owned(),
        })
    }

    /// Sends a signal to the script and to all that it started.
    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Once the script has ended there is nobody to get it.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // What it started may outlive a script that is killed, so all of them are.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
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
        // It cuts the items of `map` into few chunks by default, as we do; others send them singly, or take long all the same.
        match work.kind {
            Kind::Map if self.key == "pool" => Pace::Fast,
            _ => Pace::Slow,
        }
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        // A start is a fresh program's: pools that are there already get into the way of their server.
        let is_start = matches!(work.kind, Kind::Start(_));
        let mut script = match self.script.take_if(|_| !is_start) {
            Some(script) => script,
            None => self.start()?.0,
        };
        let answer = script.ask(&format!("{} {items}", work.kind.name()))?;
        if !is_start {
            self.script = Some(script);
        }
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
