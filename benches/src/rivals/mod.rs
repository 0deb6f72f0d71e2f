//! The same work through this pool and its rivals, in one run and one table.
//!
//! Every round goes through all work, and for each piece of work through all systems, so that whatever else the machine does
//! meets them alike. The limits of the machine itself are measured in the same rounds. Figures are medians of
//! the rounds with the least and the most; ratios are those of medians within the run.

mod fresh;
mod limits;
mod machine;
mod options;
mod ours;
mod plain;
mod python;
mod report;
mod stats;
mod system;
mod work;

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use limits::LIMITS;
use options::Options;
use ours::Ours;
use plain::Plain;
use python::{POOLS, Python};
use report::{Cell, Row};
use stats::Summary;
use system::System;
use work::{Effort, WORK, Work};

/// Runs what the arguments ask for and prints the report.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let mut head = machine::describe();
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    systems.push(Box::new(Ours::new(options.workers).map_err(|error| error.to_string())?));
    for (key, title) in POOLS {
        match Python::new(&options.python, key, title, options.workers) {
            Ok(python) => {
                head.push(format!("Rival: {}", python.version()));
                systems.push(Box::new(python));
            }
            Err(reason) => head.push(format!("No {title}: {reason}")),
        }
    }
    systems.push(Box::new(Plain));
    head.push(format!(
        "{} workers each, {} rounds{}",
        options.workers,
        options.rounds,
        if options.effort == Effort::Quick { ", quick" } else { "" }
    ));

    let work: Vec<&Work> = WORK.iter().filter(|work| options.wants(&work.kind.name())).collect();
    let limits: Vec<_> = LIMITS.iter().filter(|limit| options.wants(limit.title)).collect();
    let mut figures = Figures::new(&work, systems.len());
    let mut limit_figures = vec![Vec::new(); limits.len()];
    for round in 0..=options.rounds {
        // The first round only warms up.
        let effort = if round == 0 { Effort::Warm } else { options.effort };
        for (row, work) in work.iter().enumerate() {
            for (column, system) in systems.iter_mut().enumerate() {
                let items = system.items(work, effort);
                let start = Instant::now();
                let outcome = system.measure(work, items);
                eprintln!(
                    "round {round} of {}: {}, {}, {items}: {:.2?}",
                    options.rounds,
                    work.kind.name(),
                    system.name(),
                    start.elapsed()
                );
                if round > 0 {
                    figures.add(row, column, outcome);
                }
            }
        }
        for (limit, figures) in limits.iter().zip(&mut limit_figures) {
            if round > 0 {
                figures.push((limit.measure)(if options.effort == Effort::Quick { 10 } else { 1 }));
            }
        }
    }

    let columns: Vec<String> = systems.iter().map(|system| system.name()).collect();
    let mut text = String::from("# This pool and its rivals\n\n");
    head.iter().for_each(|line| text.push_str(&format!("- {line}\n")));
    text.push_str(
        "\nMedian (least – most) of the rounds; **n ×**: as many times what this pool takes, so over 1 is slower. \
         Figures are per call, item or MiB; systems that take tens of microseconds an item are given fewer items. \
         Default chunks are 1 for all of ProcessPoolExecutor and loky, and for `imap` of multiprocessing.Pool. \
         ProcessPoolExecutor's and loky's `imap_unordered` is `as_completed`.\n\n",
    );
    text.push_str(&report::table(&columns, &figures.into_rows()));
    text.push_str("\n## Limits of the machine, in the same rounds\n\n| Limit | |\n|---|---|\n");
    for (limit, figures) in limits.iter().zip(limit_figures) {
        if let Some(summary) = Summary::of(figures) {
            text.push_str(&format!("| {} | {} |\n", limit.title, report::figure(&summary)));
        }
    }
    print!("{text}");
    if let Some(path) = &options.output {
        fs::write(path, text).map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    Ok(())
}

/// What was measured so far: by row of the table, then by system, then by round.
struct Figures {
    titles: Vec<&'static str>,
    /// The first row of each piece of work.
    first: Vec<usize>,
    samples: Vec<Vec<Result<Vec<f64>, String>>>,
}

impl Figures {
    fn new(work: &[&Work], systems: usize) -> Self {
        let mut titles = Vec::new();
        let mut first = Vec::new();
        for work in work {
            first.push(titles.len());
            titles.extend(work.rows);
        }
        let samples = vec![vec![Ok(Vec::new()); systems]; titles.len()];
        Self { titles, first, samples }
    }

    fn add(&mut self, work: usize, system: usize, outcome: Result<Vec<f64>, String>) {
        let rows = self.first[work]..self.first.get(work + 1).copied().unwrap_or(self.titles.len());
        for (part, row) in rows.enumerate() {
            let samples = &mut self.samples[row][system];
            match (&outcome, &mut *samples) {
                (Ok(figures), Ok(samples)) => samples.push(figures[part]),
                // One failure is enough to have no figure: half of one would mislead.
                (Err(reason), _) => *samples = Err(reason.clone()),
                (Ok(_), Err(_)) => {}
            }
        }
    }

    fn into_rows(self) -> Vec<Row> {
        let cell = |samples: Result<Vec<f64>, String>| match samples {
            Ok(samples) => Summary::of(samples).map_or_else(|| Cell::None("–".to_owned()), Cell::Measured),
            Err(reason) => Cell::None(reason),
        };
        let rows = self.titles.into_iter().zip(self.samples);
        rows.map(|(title, cells)| Row { title, cells: cells.into_iter().map(cell).collect() }).collect()
    }
}
