//! Settings of a pool.

use std::collections::BTreeSet;
use std::time::Duration;

use pool::{Error, Pool, PoolBuilder, StartMethod};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::PROGRAM;
use crate::support::fickle::{Mood, Shy};
use crate::support::report::scratch_path;
use crate::support::{Program, processes, start, tasks};

crate::cases![
    zero_workers_are_refused,
    more_workers_than_any_system_has_processes_are_refused,
    zero_tasks_per_worker_are_refused,
    conditions_that_make_no_sense_are_refused,
    limits_above_those_of_the_program_are_refused,
    default_is_a_worker_per_cpu,
    variable_sets_the_default_number_of_workers,
    nonsense_in_the_variable_is_refused,
    workers_are_children_of_this_process,
    arguments_of_the_initializer_that_do_not_encode_are_an_error,
];

fn more_workers_than_any_system_has_processes_are_refused(method: StartMethod) {
    for workers in [(4 << 20) + 1, 1_000_000_000_000, usize::MAX] {
        let error = Pool::builder().start_method(method).workers(workers).build().unwrap_err();
        assert!(matches!(error, Error::InvalidOption { option: "workers", .. }), "{error:?}");
        assert!(error.to_string().contains("at most 4194304"), "{error}");
    }
}

fn zero_workers_are_refused(method: StartMethod) {
    let error = Pool::builder().start_method(method).workers(0).build().unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "workers", .. }), "{error}");
}

fn zero_tasks_per_worker_are_refused(method: StartMethod) {
    let error = Pool::builder().start_method(method).max_tasks_per_worker(0).build().unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "max_tasks_per_worker", .. }), "{error}");
}

#[track_caller]
fn refused(builder: PoolBuilder, expected: &str, why: &str) {
    match builder.workers(1).build().unwrap_err() {
        Error::InvalidOption { option, reason } => {
            assert_eq!(option, expected);
            assert!(reason.contains(why), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

fn conditions_that_make_no_sense_are_refused(method: StartMethod) {
    let builder = || Pool::builder().start_method(method);
    refused(builder().address_space_limit(0), "address_space_limit", "at least 1");
    refused(builder().cpu_time_limit(Duration::ZERO), "cpu_time_limit", "longer than 0");
    refused(builder().cpu_time_limit(Duration::MAX), "cpu_time_limit", "at most");
    refused(builder().max_memory_per_worker(0), "max_memory_per_worker", "at least 1");
    refused(builder().nice(20), "nice", "20 is not between -20 and 19");
    refused(builder().nice(-21), "nice", "-21 is not");
    refused(builder().pinned_cpus([]), "pinned_cpus", "at least one");
    refused(builder().pinned_cpus([usize::MAX]), "pinned_cpus", "may not run on CPU 18446744073709551615");
    refused(builder().env("", "1"), "env", "empty");
    refused(builder().env("A=B", "1"), "env", "A=B");
    refused(builder().env("A\0", "1"), "env", "zero byte");
    refused(builder().env("A", "1\0"), "env", "zero byte");
    refused(builder().env("A", "x".repeat(64 << 10)), "env", "65537 bytes");
    refused(builder().env("POOL_SERVE", "1"), "env", "the pool's own");
    refused(builder().env_remove("A="), "env_remove", "A=");
    refused(builder().current_dir("/proc/version"), "current_dir", "no directory");
    refused(builder().current_dir(scratch_path("nowhere")), "current_dir", "No such file");
    refused(builder().current_dir("a\0b"), "current_dir", "a\0b");
}

fn limits_above_those_of_the_program_are_refused(method: StartMethod) {
    let builder = || Pool::builder().start_method(method);
    for (resource, ceiling) in [(Resource::As, 1 << 40), (Resource::Cpu, 1000)] {
        setrlimit(resource, Rlimit { current: Some(ceiling), maximum: Some(ceiling) }).unwrap();
    }
    refused(
        builder().address_space_limit((1 << 40) + 1),
        "address_space_limit",
        "more than the 1099511627776",
    );
    refused(builder().cpu_time_limit(Duration::from_millis(1_000_001)), "cpu_time_limit", "than the 1000 s");
    let pool = builder().workers(1).address_space_limit(1 << 40).cpu_time_limit(Duration::from_secs(1000));
    assert_eq!(pool.build().unwrap().apply(tasks::square, (3,)).unwrap(), 9);
}

fn default_is_a_worker_per_cpu(method: StartMethod) {
    let pool = Pool::builder().start_method(method).build().unwrap();
    assert_eq!(pool.worker_count(), std::thread::available_parallelism().unwrap().get());
}

fn variable_sets_the_default_number_of_workers(method: StartMethod) {
    let ended = Program::new(PROGRAM, "worker_count", method).env("POOL_WORKERS", "3").run().expect_success();
    assert_eq!(ended.stdout, "3\n");
}

fn nonsense_in_the_variable_is_refused(method: StartMethod) {
    for nonsense in ["", "0", "-1", "many", "1.5", "4194305", "1000000000000", "99999999999999999999999"] {
        Program::new(PROGRAM, "invalid_worker_count", method)
            .env("POOL_WORKERS", nonsense)
            .run()
            .expect_success();
    }
}

fn workers_are_children_of_this_process(method: StartMethod) {
    let pool = start(method, 3);
    let pids = BTreeSet::from_iter(pool.worker_pids());
    assert_eq!((pool.worker_count(), pids.len()), (3, 3));
    for pid in &pids {
        assert_eq!(processes::state(*pid).map(|(_, parent)| parent), Some(std::process::id()));
    }
    let ran: BTreeSet<u32> = pool.map(tasks::pid_for, 0..1000).unwrap().into_iter().collect();
    assert!(ran.is_subset(&pids));
    // A worker that has only just begun still has the zygote's name.
    let helpers = processes::zygotes().iter().filter(|pid| !pids.contains(pid)).count();
    // `Fork` keeps one to spare.
    assert!(if method == StartMethod::Spawn { helpers == 0 } else { (1..3).contains(&helpers) }, "{helpers}");
    assert_eq!(processes::children().len(), 3 + helpers);
}

#[pool::pool_task]
fn takes_shy(_shy: Shy) {}

fn arguments_of_the_initializer_that_do_not_encode_are_an_error(method: StartMethod) {
    for mood in Mood::BAD {
        let builder = Pool::builder().start_method(method).workers(1);
        assert!(matches!(builder.initializer(takes_shy, (Shy(mood),)).build(), Err(Error::Encode { .. })));
        let builder = Pool::builder().start_method(method).workers(1);
        assert!(matches!(builder.finalizer(takes_shy, (Shy(mood),)).build(), Err(Error::Encode { .. })));
    }
}
