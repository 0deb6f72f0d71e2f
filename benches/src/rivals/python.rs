//! Python's pools: a process of `python/rivals.py` for each, kept from one measurement to the next.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::system::System;
use super::work::{Kind, Pace, Work};

/// The pools that the script knows: its name for them and the head of their column.
pub(super) const POOLS: &[(&str, &str)] = &[
    ("pool", "multiprocessing.Pool"),
    ("executor", "ProcessPoolExecutor"),
    ("loky", "loky"),
    ("mpire", "mpire"),
];

/// One of them, running.
pub(super) struct Python {
    key: &'static str,
    title: &'static str,
    version: String,
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
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
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {interpreter}: {error}"))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output was asked for"));
        let mut python = Self { key, title, version: String::new(), child, requests, answers };
        let answer = python.answer()?;
        match answer.split_once(' ') {
            Some(("ready", version)) => python.version = version.to_owned(),
            _ => return Err(answer),
        }
        Ok(python)
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("the script ended".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl System for Python {
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
        let requests = self.requests.as_mut().expect("open until it is dropped");
        writeln!(requests, "{} {items}", work.kind.name()).map_err(|error| error.to_string())?;
        let answer = self.answer()?;
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
        // The script ends with its input.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}
