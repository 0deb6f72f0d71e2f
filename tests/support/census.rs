//! What a process has: children, threads, descriptors, shared mappings, names.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::{comes_true, processes};

/// What a process had at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Process id and name.
    children: BTreeMap<String, String>,
    /// Thread id and name.
    threads: BTreeMap<String, String>,
    /// Number and what it refers to.
    descriptors: BTreeMap<String, String>,
    /// Mappings that other processes may share: address and name.
    mappings: BTreeMap<String, String>,
    /// Names in `/dev/shm` and in the directory for temporary files.
    names: BTreeMap<String, String>,
}

impl Census {
    /// Looks at this process.
    pub fn take() -> Self {
        let children =
            processes::children().into_iter().map(|pid| (pid.to_string(), processes::name(pid))).collect();
        let threads = entries("/proc/self/task", |path| {
            fs::read_to_string(format!("{path}/comm")).unwrap_or_default().trim().to_owned()
        });
        let mut descriptors = entries("/proc/self/fd", |path| {
            fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default()
        });
        describe_sockets(&mut descriptors);
        // The one through which they were listed, which is closed by now.
        let listing = format!("/proc/{}/fd", std::process::id());
        descriptors.retain(|_, target| !target.is_empty() && *target != listing);
        let maps = fs::read_to_string("/proc/self/maps").expect("a census needs the mappings");
        let mappings = maps
            .lines()
            .filter_map(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                let shared = fields.get(1)?.ends_with('s');
                shared.then(|| (fields[0].to_owned(), fields[5..].join(" ")))
            })
            .collect();
        let mut names = entries("/dev/shm", |_| String::new());
        // Python's, if something on this machine uses it meanwhile; nothing of ours has such names.
        names.retain(|name, _| !["sem.", "psm_"].iter().any(|prefix| name.starts_with(prefix)));
        let temporary = std::env::temp_dir();
        names.extend(entries(&temporary.to_string_lossy(), |_| String::new()));
        Self { children, threads, descriptors, mappings, names }
    }

    /// Number of open descriptors.
    pub fn descriptors(&self) -> usize {
        self.descriptors.len()
    }

    /// Number of mappings that other processes may share.
    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Waits until everything is as it was; panics with the difference if it does not get there.
    #[track_caller]
    pub fn compare(&self) {
        if comes_true(Duration::from_secs(5), || Self::take() == *self) {
            return;
        }
        let now = Self::take();
        let differences = [
            difference("children", &self.children, &now.children),
            difference("threads", &self.threads, &now.threads),
            difference("descriptors", &self.descriptors, &now.descriptors),
            difference("shared mappings", &self.mappings, &now.mappings),
            difference("names", &self.names, &now.names),
        ];
        let text: Vec<_> = differences.into_iter().flatten().collect();
        panic!("the census differs from the one before:\n{}", text.join("\n"));
    }
}

/// Adds type, state and name to the local sockets among descriptors; a number alone tells nobody which one it is.
fn describe_sockets(descriptors: &mut BTreeMap<String, String>) {
    if !descriptors.values().any(|target| target.starts_with("socket:")) {
        return;
    }
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    for target in descriptors.values_mut() {
        let inode = target.trim_start_matches("socket:[").trim_end_matches(']');
        let line = table.lines().find(|line| line.split_whitespace().nth(6) == Some(inode));
        if let Some(line) = line {
            *target = format!("{target} flags, type, state, inode, name: {}", &line[line.len().min(28)..]);
        }
    }
}

fn entries(directory: &str, describe: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    // `/dev/shm` may be missing; where the rest cannot be read, nothing is known.
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return BTreeMap::new(),
        entries => entries.unwrap_or_else(|error| panic!("a census needs {directory}: {error}")),
    };
    entries
        .flatten()
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), describe(&entry.path().to_string_lossy()))
        })
        .collect()
}

fn difference(
    what: &str,
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<String> {
    let missing = |from: &BTreeMap<String, String>, other: &BTreeMap<String, String>| -> Vec<String> {
        from.iter()
            .filter(|(key, value)| other.get(*key) != Some(*value))
            .map(|(k, v)| format!("{k} {v}"))
            .collect()
    };
    let (gone, new) = (missing(before, now), missing(now, before));
    (!gone.is_empty() || !new.is_empty()).then(|| format!("{what}: gone {gone:?}, new {new:?}"))
}
