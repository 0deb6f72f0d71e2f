//! What programs get that the parent or a task executes: nothing of the pool's.

use std::process::{Command, Stdio};

use pool::{Pool, StartMethod, pool_task};

use crate::support::{processes, start, wait_until};

crate::cases![
    a_program_inherits_no_descriptor_of_the_pool,
    a_program_inherits_no_descriptor_of_the_pool_once_helper_and_workers_were_replaced,
];

/// Descriptors that an executed program has, of the kinds that the pool uses. Not sockets: `Spawn` executes a worker while
/// another one says hello, and the socket that it is just being accepted with cannot be made close-on-exec.
fn inherited() -> Vec<String> {
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", "readlink /proc/self/fd/*"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("/dev/null"), "it was executed: {text:?}");
    let kinds = ["memfd:", "anon_inode:"];
    let is_of_those = |line: &&str| kinds.iter().any(|kind| line.contains(kind));
    text.lines().filter(is_of_those).map(str::to_owned).collect()
}

#[pool_task]
fn inherited_by_task(_item: u64) -> (u32, Vec<String>) {
    (std::process::id(), inherited())
}

/// Looks at what the parent executes, and what both workers do.
#[track_caller]
fn nothing_more_than(before: &[String], pool: &Pool) {
    assert_eq!(inherited(), before);
    let mut seen = std::collections::BTreeSet::new();
    wait_until("every worker has executed something", || {
        for (pid, inherited) in pool.options().chunk_size(1).map(inherited_by_task, 0..4).unwrap() {
            assert_eq!(inherited, before);
            seen.insert(pid);
        }
        seen.len() == pool.worker_count()
    });
}

fn a_program_inherits_no_descriptor_of_the_pool(method: StartMethod) {
    let before = inherited();
    nothing_more_than(&before, &start(method, 3));
}

fn a_program_inherits_no_descriptor_of_the_pool_once_helper_and_workers_were_replaced(method: StartMethod) {
    let before = inherited();
    let pool = start(method, 3);
    for _ in 0..3 {
        let mut helpers = None;
        wait_until("workers and helpers are there", || {
            helpers = processes::zygotes_of(&pool, method);
            helpers.is_some()
        });
        let helper = helpers.unwrap_or_default().first().copied();
        assert_eq!(helper.is_none(), method == StartMethod::Spawn);
        if let Some(helper) = helper {
            processes::kill(helper);
            wait_until("it is collected", || processes::state(helper).is_none());
        }
        let old = pool.worker_pids();
        old.iter().for_each(|pid| processes::kill(*pid));
        wait_until("other workers are there", || {
            let pids = pool.worker_pids();
            pids.len() == pool.worker_count() && old.iter().all(|pid| !pids.contains(pid))
        });
        nothing_more_than(&before, &pool);
    }
}
