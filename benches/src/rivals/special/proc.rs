//! What the kernel knows about processes and threads.

use std::fs;
use std::path::Path;

/// CPU time that all threads of a process have used whose names begin so, in seconds.
pub(super) fn cpu_time(process: &str, threads: &str) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let is_wanted =
        |task: &Path| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(threads));
    tasks.map(|task| task.path()).filter(|task| is_wanted(task)).map(|task| cpu_of(&task)).sum()
}

/// CPU time of the thread that asks, in seconds.
pub(super) fn own_cpu_time() -> f64 {
    cpu_of(Path::new("/proc/thread-self"))
}

fn cpu_of(task: &Path) -> f64 {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0.0) * 1e-9
}

/// Direct children of this process.
pub(super) fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// A field of a process's memory in bytes: from `smaps_rollup` or `status`, which count in KiB.
pub(super) fn memory(process: &str, file: &str, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(f64::NAN) * 1024.0
}

/// Page faults of a process that needed no disk.
pub(super) fn faults(process: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold anything; minor faults are the eighth field after it.
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(7).and_then(|count| count.parse().ok()).unwrap_or(f64::NAN)
}
