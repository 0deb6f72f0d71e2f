//! What this process has: children, threads, descriptors, shared mappings, files of handshakes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) state: char,
}

/// The children of a process, zombies among them.
pub(crate) fn children(of: u32) -> BTreeMap<u32, Child> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let (child, parent) = look_at(pid)?;
        (parent == of).then_some((pid, child))
    })
    .collect()
}

/// A process and its parent.
pub(crate) fn look_at(pid: u32) -> Option<(Child, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (start, end) = (text.find('(')?, text.rfind(')')?);
    let mut fields = text[end + 1..].split_whitespace();
    let child = Child { name: text[start + 1..end].to_owned(), state: fields.next()?.chars().next()? };
    Some((child, fields.next()?.parse().ok()?))
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    children: BTreeMap<u32, Child>,
    threads: Vec<String>,
    descriptors: Vec<String>,
    shared_mappings: usize,
    files: usize,
}

impl Census {
    pub(crate) fn take(folder: &Path) -> Self {
        let names = |path: &str| fs::read_dir(path).into_iter().flatten().flatten();
        let thread = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let target = |entry: fs::DirEntry| {
            let target = fs::read_link(entry.path()).ok()?;
            // The listing itself has one open.
            let target = target.to_string_lossy().into_owned();
            (!target.starts_with("/proc/")).then(|| {
                let kind = target.split('[').next().unwrap_or_default();
                format!("{} {kind}", entry.file_name().to_string_lossy())
            })
        };
        let mut children = children(std::process::id());
        children.values_mut().for_each(|child| {
            if child.state != 'Z' {
                child.state = '-'
            }
        });
        let mut threads: Vec<_> = names("/proc/self/task").map(thread).collect();
        threads.sort();
        let mut descriptors: Vec<_> = names("/proc/self/fd").filter_map(target).collect();
        descriptors.sort();
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Self {
            children,
            threads,
            descriptors,
            shared_mappings: maps.lines().filter(|line| line.contains("memfd:")).count(),
            files: fs::read_dir(folder).map_or(0, |entries| entries.count()),
        }
    }

    /// Waits until all is as it was; what differs, if it does not get so.
    pub(crate) fn await_return(&self, folder: &Path) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let now = Self::take(folder);
            if now == *self {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("was {self:?}\n  is  {now:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
