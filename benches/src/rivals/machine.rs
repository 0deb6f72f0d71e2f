//! The head of the report: which machine, which versions, when.

use std::fs;
use std::process::Command;
use std::thread;

/// One line each.
pub(super) fn describe() -> Vec<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    vec![
        format!("Date: {}", first_line("date", &["-u", "+%F %H:%M UTC"])),
        format!(
            "Machine: {}, {cpus} CPUs, {} of memory, Linux {}, load before the start {}",
            field(&cpuinfo, "model name"),
            field(&meminfo, "MemTotal"),
            kernel.trim(),
            load.split(' ').next().unwrap_or_default()
        ),
        format!(
            "This pool: {} at {}, built by {}",
            env!("CARGO_PKG_VERSION"),
            first_line("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
            first_line("rustc", &["--version"])
        ),
    ]
}

/// The version of a crate that is built in.
pub(super) fn version_of(name: &str) -> &'static str {
    const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
    let package = LOCK.split("[[package]]").find(|package| package.contains(&format!("name = \"{name}\"\n")));
    package.and_then(|package| package.split('"').nth(3)).unwrap_or("of unknown version")
}

fn field(text: &str, key: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
}

fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_what_is_built_in_is_known() {
        assert!(version_of("rayon").starts_with("1."), "{}", version_of("rayon"));
    }
}
