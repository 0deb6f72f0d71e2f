//! Looks at processes through `/proc`.

use std::fmt::Write;
use std::fs;

use pool::{Pool, StartMethod};
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};

/// All process ids.
fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("the processes can be listed");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// State letter and parent of a process, if it exists.
pub fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may have any character in it.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Tells whether a process exists and has not ended.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Children of this process, ended ones that nobody has waited for included.
pub fn children() -> Vec<u32> {
    let own = std::process::id();
    all().filter(|pid| state(*pid).is_some_and(|(_, parent)| parent == own)).collect()
}

/// Name of a process's first thread.
pub fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// The helper process of a pool of this process.
pub fn zygotes() -> Vec<u32> {
    children().into_iter().filter(|pid| is_alive(*pid) && name(*pid) == "pool-zygote").collect()
}

/// The zygotes of the only pool of this process, once its workers are all there and what looks like a zygote is one: a
/// worker that was just made has the name as well, and a zygote that its pool does not know yet leads no group.
pub fn zygotes_of(pool: &Pool, method: StartMethod) -> Option<Vec<u32>> {
    let found = zygotes();
    // Asked afterwards, so that a worker that was seen above is among them.
    let workers = pool.worker_pids();
    let is_whole = match method {
        StartMethod::Spawn => found.is_empty(),
        // Two that end at once would be the end of `Fork`, so the one that is left must have made its spare.
        StartMethod::Fork => found.len() == 2,
        _ => found.len() <= 1,
    };
    let are_zygotes = found.iter().all(|pid| leads_its_group(*pid) && !workers.contains(pid));
    (is_whole && are_zygotes && workers.len() == pool.worker_count()).then_some(found)
}

fn leads_its_group(pid: u32) -> bool {
    let pid = Pid::from_raw(pid as i32);
    getpgid(pid).ok() == pid
}

/// The processes with this mark, `NAME=value`, in their environment that have not ended.
pub fn marked(mark: &str) -> Vec<u32> {
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    all().filter(is_marked).filter(|pid| is_alive(*pid)).collect()
}

/// What the processes of a case are doing.
pub fn describe(mark: &str) -> String {
    let mut text = String::new();
    for pid in marked(mark) {
        let _ = writeln!(text, "process {pid}, child of {:?}", state(pid).map(|(_, parent)| parent));
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read =
                |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default().trim().to_owned();
            let _ = writeln!(text, "    {} waits in {} ({})", read("comm"), read("wchan"), read("syscall"));
        }
    }
    text
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("no process has the id 0");
    // It may have ended.
    let _ = kill_process(pid, signal);
}

/// Sends a signal to a process group.
pub fn signal_group(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("no process has the id 0");
    // It may have ended.
    let _ = kill_process_group(pid, signal);
}

/// Ends a process with SIGKILL.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Tells whether a process is stopped.
pub fn is_stopped(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| state == 'T')
}

/// Tells whether this process has a thread of that name.
pub fn has_thread(name: &str) -> bool {
    let threads = fs::read_dir("/proc/self/task").expect("every process has threads").flatten();
    let mut names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.any(|found| found.trim_end() == name)
}

/// Tells whether a thread of this process sleeps until another one wakes it.
pub fn rests(thread: Pid) -> bool {
    let call = fs::read_to_string(format!("/proc/self/task/{}/syscall", thread.as_raw_nonzero()));
    let number = libc::SYS_futex.to_string();
    call.is_ok_and(|call| call.split_whitespace().next() == Some(&number))
}
