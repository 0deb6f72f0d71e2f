//! Runs every case in a process of its own, with a deadline.
//!
//! A `#[test]` executes the test binary again for its one case. That process takes a census, runs the case and compares.
//! The one that waits for it marks it through the environment, so that it finds every process that comes of
//! the case, however it came to be, and sees to it that none stays.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pool::StartMethod;

use super::census::Census;
use super::{comes_true, processes};

/// How long a case may take; the variable is for whoever looks for a hang.
fn deadline() -> Duration {
    let chosen = std::env::var("IT_DEADLINE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(chosen.unwrap_or(60))
}
/// Set in the process that runs a case.
const CHILD: &str = "IT_CHILD";
/// Set in every process that comes of a case: which one it is.
const MARK: &str = "IT_MARK";
/// Where a case keeps files.
pub(crate) const SCRATCH: &str = "IT_SCRATCH";

/// One test, for every start method.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Crate, module and function.
    pub path: &'static str,
    /// The test.
    pub run: fn(StartMethod),
}

impl Case {
    fn name(&self) -> &'static str {
        without_crate(self.path)
    }
}

fn without_crate(path: &'static str) -> &'static str {
    path.split_once("::").map_or(path, |(_, rest)| rest)
}

/// Lists the cases of a module: makes a `#[test]` for `ForkServer` and one for `Spawn` of each, and `CASES` for `Fork`.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        #[allow(dead_code)]
        pub(crate) const CASES: &[$crate::support::Case] = &[$($crate::support::Case {
            path: concat!(module_path!(), "::", stringify!($name)),
            run: $name,
        }),*];

        $(
            #[cfg(test)]
            mod $name {
                #[test]
                fn under_fork_server() {
                    let path = concat!(module_path!(), "::under_fork_server");
                    $crate::support::check(path, super::$name, pool::StartMethod::ForkServer);
                }

                #[test]
                fn under_spawn() {
                    let path = concat!(module_path!(), "::under_spawn");
                    $crate::support::check(path, super::$name, pool::StartMethod::Spawn);
                }
            }
        )*
    };
}

/// Runs one case of the test binary with libtest: in this process, if it was executed for it, or else in another.
pub fn check(path: &'static str, run: fn(StartMethod), method: StartMethod) {
    if std::env::var_os(CHILD).is_some() {
        return run_here(run, method);
    }
    let name = without_crate(path);
    if let Err(report) = run_apart(&["--exact", name, "--nocapture", "--test-threads=1"]) {
        panic!("{report}");
    }
}

fn run_here(run: fn(StartMethod), method: StartMethod) {
    let before = Census::take();
    run(method);
    before.compare();
}

/// The `main` of the test binary without libtest: runs all cases under `Fork`, each on the main thread of a process.
pub fn run_all(modules: &[&[Case]]) -> ExitCode {
    let cases = || modules.iter().flat_map(|cases| cases.iter());
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = &args[..] {
        if flag == "--case" {
            let case = cases().find(|case| case.name() == name).expect("the case exists");
            run_here(case.run, StartMethod::Fork);
            return ExitCode::SUCCESS;
        }
    }
    let (mut filters, mut skipped, mut exact, mut list) = (Vec::new(), Vec::new(), false, false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--exact" => exact = true,
            "--list" => list = true,
            "--skip" => skipped.extend(args.next()),
            // What else libtest knows makes no difference here.
            "--test-threads" | "--format" | "--color" | "-Z" => drop(args.next()),
            flag if flag.starts_with('-') => {}
            _ => filters.push(arg),
        }
    }
    let matches =
        |case: &&Case, text: &String| if exact { case.name() == text } else { case.name().contains(text) };
    let chosen: Vec<_> = cases()
        .filter(|case| filters.is_empty() || filters.iter().any(|text| matches(case, text)))
        .filter(|case| !skipped.iter().any(|text| matches(case, text)))
        .collect();
    if list {
        chosen.iter().for_each(|case| println!("{}: test", case.name()));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let start = Instant::now();
    let mut failures = Vec::new();
    for case in &chosen {
        let outcome = run_apart(&["--case", case.name()]);
        println!("test {}::under_fork ... {}", case.name(), if outcome.is_ok() { "ok" } else { "FAILED" });
        if let Err(report) = outcome {
            println!("{report}");
            failures.push(case.name());
        }
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    failures.iter().for_each(|name| println!("    {name}::under_fork"));
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        chosen.len() - failures.len(),
        failures.len(),
        cases().count() - chosen.len(),
        start.elapsed().as_secs_f64()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Executes this binary again with these arguments; the error is a report for people.
fn run_apart(args: &[&str]) -> Result<(), String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let id = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mark = format!("{MARK}={id}");
    let home = std::env::temp_dir().join(&id);
    let (temp, scratch) = (home.join("tmp"), home.join("scratch"));
    fs::create_dir_all(&temp).and_then(|()| fs::create_dir_all(&scratch)).expect("a directory for the case");
    let output = home.join("output");
    let file = File::create(&output).expect("a file for the output");
    let mut command = Command::new("/proc/self/exe");
    command
        .args(args)
        .env(CHILD, "1")
        .env(MARK, &id)
        .env(SCRATCH, &scratch)
        .env("TMPDIR", &temp)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file);
    // What the outer `cargo test` sets is not what the cases are about.
    for name in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "POOL_WORKERS"] {
        command.env_remove(name);
    }
    let (start, deadline) = (Instant::now(), deadline());
    let mut child = command.spawn().expect("the test binary starts again");
    let mut problems = Vec::new();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            if !status.success() {
                problems.push(format!("ended with {status} after {:?}", start.elapsed()));
            }
            break;
        }
        if start.elapsed() > deadline {
            problems.push(format!(
                "not done within {deadline:?}; the processes are\n{}",
                processes::describe(&mark)
            ));
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if !comes_true(Duration::from_secs(3), || processes::marked(&mark).is_empty()) {
        problems.push(format!("processes stayed behind:\n{}", processes::describe(&mark)));
        processes::marked(&mark).into_iter().for_each(processes::kill);
    }
    let left = names_in(&temp);
    if problems.is_empty() && !left.is_empty() {
        problems.push(format!("files stayed behind: {left:?}"));
    }
    let text = fs::read(&output).unwrap_or_default();
    let _ = fs::remove_dir_all(&home);
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{args:?}: {}\n--- its output\n{}\n---", problems.join("\n"), String::from_utf8_lossy(&text)))
}

fn names_in(directory: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
