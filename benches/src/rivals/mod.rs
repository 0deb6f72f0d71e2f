//! The same work through this pool and its rivals, in one run and one table.
//!
//! Every round goes through all work, and for each piece of work through all systems, so that whatever else the machine does
//! meets them alike. The limits of the machine itself are measured in the same rounds. Figures are medians of
//! the rounds with their spread; ratios are those of medians within the run.

mod options;
pub(crate) mod work;
mod system;
mod ours;
mod python;
mod procspawn;
mod threads;
mod plain_loop;
mod limits;
mod special;
mod marks;
mod lost;
mod report;
mod plot;
mod book;
mod machine;
mod memory;
mod stats;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use book::{Book, LIMIT, OURS};
use limits::LIMITS;
use options::Options;
use ours::Ours;
use plain_loop::PlainLoop;
use procspawn::Procspawn;
use python::{POOLS, Python};
use report::Report;
use special::SPECIALS;
use system::System;
use threads::Rayon;
use work::{Bound, Effort, Work};

/// Runs what the arguments ask for and prints the report.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    // The children of procspawn's pool are this program again, and leave it here.
    ::procspawn::init();
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let outcome = match options.errand {
        options::Errand::Nothing => Ok(()),
        options::Errand::StartFork => ours::start_fork(options.workers),
        options::Errand::Measure => measure(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let start = Instant::now();
    let mut head = machine::describe();
    let mut systems = systems(options, &mut head)?;
    head.push(format!(
        "{} workers each, {} rounds{}; what takes seconds was measured in fewer",
        options.workers,
        options.rounds,
        if options.effort == Effort::Quick { ", quick" } else { "" }
    ));
    let work: Vec<Work> = work::all(options.workers, options.effort)
        .into_iter()
        .filter(|work| options.wants(&work.kind.name()))
        .collect();
    let mut book = Book::default();
    let mut spent = Spent::default();
    for round in 0..=options.rounds {
        eprintln!("round {round} of {} after {:.0?}", options.rounds, start.elapsed());
        work.iter().for_each(|work| do_work(options, round, work, &mut systems, &mut book, &mut spent));
        if round > 0 {
            do_limits(options, round, &mut book, &mut spent);
        }
    }
    spent.tell();
    head.push(format!("The whole run took {:.0?}", start.elapsed()));
    let columns = systems.iter().map(|system| (system.key(), system.name())).collect();
    let report = Report { head, work: &work, columns, workers: options.workers, book: &book };
    print!("{}", report.markdown(None));
    if let Some(path) = &options.output {
        let path = Path::new(path);
        let plot = path.with_extension("svg");
        let write = |path: &Path, text: String| {
            fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        write(&plot, plot::svg(&report))?;
        let name = plot.file_name().map(|name| name.to_string_lossy().into_owned());
        write(path, report.markdown(name.as_deref()))?;
    }
    Ok(())
}

/// All that can be had here; why the others cannot is added to the head of the report.
fn systems(options: &Options, head: &mut Vec<String>) -> Result<Vec<Box<dyn System>>, String> {
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    systems.push(Box::new(Ours::new(options.workers).map_err(|error| error.to_string())?));
    for (key, title) in POOLS.iter().filter(|(key, _)| options.includes(key)) {
        match Python::new(&options.python, key, title, options.workers) {
            Ok(python) => {
                head.push(format!("Rival: {}", python.version()));
                systems.push(Box::new(python));
            }
            Err(reason) => head.push(format!("No {title}: {reason}")),
        }
    }
    if options.includes("procspawn") {
        head.push(format!("Rival: procspawn {}", machine::version_of("procspawn")));
        systems.push(Box::new(Procspawn::new(options.workers)?));
    }
    if options.includes("rayon") {
        head.push(format!("Bound: rayon {}", machine::version_of("rayon")));
        systems.push(Box::new(Rayon::new(options.workers)?));
    }
    systems.push(Box::new(PlainLoop { workers: options.workers }));
    Ok(systems)
}

fn do_work(
    options: &Options,
    round: usize,
    work: &Work,
    systems: &mut [Box<dyn System>],
    book: &mut Book,
    spent: &mut Spent,
) {
    // The first round only warms up, and what takes seconds needs no warming.
    let is_seldom = work.most_rounds < usize::MAX;
    let effort = if round == 0 { Effort::Warm } else { options.effort };
    if round == 0 && is_seldom || round > work.rounds(options.effort, options.rounds) {
        return;
    }
    for system in systems {
        let items = system.items(work, effort);
        let start = Instant::now();
        let outcome = system.measure(work, items);
        spent.add(format!("{}, {}", work.kind.name(), system.key()), start.elapsed());
        if round == 0 {
            continue;
        }
        for (part, row) in work.rows.iter().enumerate() {
            let figure = outcome.as_ref().map(|figures| figures[part]).map_err(Clone::clone);
            if let (OURS, Bound::Seconds(ideal), Ok(figure)) = (system.key(), row.bound, &figure) {
                book.add(&format!("excess:{}", row.key), LIMIT, Ok(figure / ideal - 1.0));
            }
            book.add(&row.key, system.key(), figure);
        }
    }
}

fn do_limits(options: &Options, round: usize, book: &mut Book, spent: &mut Spent) {
    let less = if options.effort == Effort::Quick { 5 } else { 1 };
    for limit in LIMITS.iter().filter(|limit| options.wants(limit.key)) {
        let start = Instant::now();
        book.add(limit.key, LIMIT, Ok((limit.measure)(less)));
        spent.add(format!("limit {}", limit.key), start.elapsed());
    }
    for special in SPECIALS.iter().filter(|special| options.wants(special.key)) {
        if round > special.most_rounds {
            continue;
        }
        let start = Instant::now();
        let figure = (special.measure)(options.workers, less).map_err(|error| error.to_string());
        book.add(special.key, LIMIT, figure);
        spent.add(format!("special {}", special.key), start.elapsed());
    }
}

/// What takes longer than this is told while the run goes on.
const LONG: Duration = Duration::from_secs(5);

/// What the run itself takes so long for.
#[derive(Default)]
struct Spent(BTreeMap<String, Duration>);

impl Spent {
    fn add(&mut self, what: String, time: Duration) {
        if time >= LONG {
            eprintln!("{what} took {time:.1?}");
        }
        *self.0.entry(what).or_default() += time;
    }

    /// The longest, for who wants to shorten it.
    fn tell(&self) {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, time)| std::cmp::Reverse(**time));
        for (what, time) in all.iter().take(20) {
            eprintln!("{time:>8.1?} {what}");
        }
    }
}
