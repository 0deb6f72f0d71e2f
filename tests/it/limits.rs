//! Conditions that the pool sets for its workers: limits, CPUs, environment, current directory.

use std::path::PathBuf;
use std::time::Duration;

use pool::{Error, Exit, ExitReport, Limit, Pool, PoolBuilder, Shared, StartMethod, pool_task};
use rustix::process::{Pid, Resource, Rlimit, getpriority_process, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CpuSet, sched_getaffinity};

use crate::support::report::scratch_path;
use crate::support::{Log, comes_true, note, processes, tasks, wait_until};

crate::cases![
    they_are_in_force_before_the_initializer_and_in_replaced_workers,
    without_them_a_worker_is_as_the_program,
    an_item_that_is_refused_memory_says_which_limit_was_set,
    an_item_that_uses_up_the_cpu_time_says_so,
    an_item_that_ignores_the_first_signal_says_so_as_well,
    cpu_time_counts_over_the_life_of_a_worker,
    an_argument_for_which_there_is_no_address_space_fails_alone,
    it_does_so_behind_a_shared_value_as_well,
    less_address_space_than_a_worker_takes_is_an_error_of_every_call,
    an_initializer_that_dies_of_a_limit_says_so,
    each_place_has_its_cpu,
    variables_are_set_and_removed_in_workers_only,
    a_relative_directory_is_that_of_the_moment_of_build,
    a_directory_that_is_gone_is_an_error_and_starts_no_storm,
    a_nice_value_without_the_right_to_it_is_an_error,
];

const SPACE: u64 = 4 << 30;

fn builder(method: StartMethod, workers: usize) -> PoolBuilder {
    Pool::builder().start_method(method).workers(workers)
}

fn report_of<R: std::fmt::Debug>(outcome: pool::Result<R>) -> (Exit, ExitReport, String) {
    let error = outcome.unwrap_err();
    let text = error.to_string();
    let Error::WorkerLost { exit, report, .. } = error else { panic!("{error:?}") };
    (exit, *report, text)
}

/// Fails on anything but a refusal to start; returns its text and its cause's.
#[track_caller]
fn refused<R: std::fmt::Debug>(outcome: pool::Result<R>) -> String {
    match outcome.unwrap_err() {
        Error::Spawn { doing, source } => format!("{doing}: {source}"),
        other => panic!("{other:?}"),
    }
}

/// What this process is limited to.
fn own_limits() -> String {
    let [space, time] = [Resource::As, Resource::Cpu].map(getrlimit);
    let nice = getpriority_process(None).unwrap();
    let directory = std::env::current_dir().unwrap();
    format!("{space:?} {time:?} {nice} {} {:?}", directory.display(), std::env::var("IT_SET").ok())
}

#[pool_task]
fn limits() -> String {
    own_limits()
}

#[pool_task]
fn notes_limits(log: &str) {
    note(log, own_limits());
}

fn they_are_in_force_before_the_initializer_and_in_replaced_workers(method: StartMethod) {
    let log = Log::new();
    // Not the program's own, and not lower, which takes a right.
    let own = getpriority_process(None).unwrap();
    let nice = if own < 7 { 7 } else { (own + 1).min(19) };
    let pool = builder(method, 1)
        .initializer(notes_limits, (log.path(),))
        .address_space_limit(SPACE)
        .cpu_time_limit(Duration::from_millis(99_001))
        .nice(nice)
        .current_dir("/")
        .env("IT_SET", "yes")
        .max_tasks_per_worker(2)
        .build()
        .unwrap();
    let expected = format!(
        "Rlimit {{ current: Some(4294967296), maximum: Some(4294967296) }} \
         Rlimit {{ current: Some(100), maximum: Some(101) }} {nice} / Some(\"yes\")"
    );
    assert_eq!(pool.apply(limits, ()).unwrap(), expected);
    assert!(pool.apply(tasks::die, ("kill",)).is_err());
    // The second one of these is the last of its worker.
    for _ in 0..3 {
        assert_eq!(pool.apply(limits, ()).unwrap(), expected);
    }
    assert_eq!(log.lines()[..3], [&expected; 3].map(String::clone));
}

fn without_them_a_worker_is_as_the_program(method: StartMethod) {
    let pool = builder(method, 1).build().unwrap();
    assert_eq!(pool.apply(limits, ()).unwrap(), own_limits());
    let (_, report, text) = report_of(pool.apply(tasks::die, ("abort",)));
    assert!(report.limit.is_none() && !text.contains("limited"), "{text}");
}

/// Another job meanwhile, and one afterwards.
fn beside<R>(pool: &Pool, fault: impl FnOnce() -> R) -> R {
    let bystander = pool.map_async(tasks::square, 0..2000);
    let outcome = fault();
    assert_eq!(bystander.get().unwrap(), (0..2000).map(|n| n * n).collect::<Vec<_>>());
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    wait_until("all workers are there again", || pool.worker_pids().len() == pool.worker_count());
    outcome
}

fn an_item_that_is_refused_memory_says_which_limit_was_set(method: StartMethod) {
    let pool = builder(method, 2).address_space_limit(SPACE).build().unwrap();
    for _ in 0..2 {
        let outcome = beside(&pool, || pool.apply(tasks::bytes, (2 * SPACE as usize,)));
        let (exit, report, text) = report_of(outcome);
        assert_eq!((exit, report.limit), (Exit::Signal(6), Some(Limit::AddressSpace(SPACE))));
        assert!(text.contains("; its address space is limited to 4 GiB; "), "{text}");
    }
    let (exit, report, _) = report_of(pool.apply(tasks::die, ("segv",)));
    assert_eq!((exit, report.limit), (Exit::Signal(11), Some(Limit::AddressSpace(SPACE))));
    // This is no way to end for who is refused memory.
    assert_eq!(report_of(pool.apply(tasks::die, ("kill",))).1.limit, None);
}

/// Does not come back by itself.
#[pool_task]
fn spins(signal: &str) {
    if signal == "ignored" {
        // SAFETY: ignoring a signal installs no code.
        unsafe { libc::signal(libc::SIGXCPU, libc::SIG_IGN) };
    }
    loop {
        std::hint::spin_loop();
    }
}

fn an_item_that_uses_up_the_cpu_time_says_so(method: StartMethod) {
    let pool = builder(method, 2).cpu_time_limit(Duration::from_millis(500)).build().unwrap();
    let (exit, report, text) = report_of(beside(&pool, || pool.apply(spins, ("",))));
    let limit = Duration::from_secs(1);
    assert_eq!((exit, report.limit), (Exit::Signal(24), Some(Limit::CpuTime(limit))));
    assert!(report.cpu_time.unwrap() > limit / 2, "{report}");
    assert!(text.contains("(SIGXCPU); its CPU time is limited to 1 s; "), "{text}");
}

fn an_item_that_ignores_the_first_signal_says_so_as_well(method: StartMethod) {
    let pool = builder(method, 2).cpu_time_limit(Duration::from_secs(1)).build().unwrap();
    let (exit, report, text) = report_of(beside(&pool, || pool.apply(spins, ("ignored",))));
    let limit = Duration::from_secs(1);
    assert_eq!((exit, report.limit), (Exit::Signal(9), Some(Limit::CpuTime(limit))), "{text}");
}

/// Uses that much CPU time, in milliseconds.
#[pool_task]
fn works(millis: u64) -> u64 {
    let used =
        || Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime)).unwrap();
    let end = used() + Duration::from_millis(millis);
    while used() < end {
        std::hint::spin_loop();
    }
    millis
}

fn cpu_time_counts_over_the_life_of_a_worker(method: StartMethod) {
    let pool = builder(method, 1).cpu_time_limit(Duration::from_secs(1)).build().unwrap();
    // None of them takes that long.
    let mut outcomes = (0..20).map(|_| pool.apply(works, (200,)));
    let mut in_vain = || outcomes.by_ref().position(|outcome| outcome.is_err());
    let first = in_vain().expect("one item is too many");
    assert!((2..10).contains(&first), "{first}");
    // The next worker begins at 0.
    let second = in_vain().expect("one item is too many");
    assert!((2..10).contains(&second), "{second}");
}

fn an_argument_for_which_there_is_no_address_space_fails_alone(method: StartMethod) {
    const SPACE: u64 = 200 << 20;
    let pool = builder(method, 2).address_space_limit(SPACE).build().unwrap();
    let large = vec![1u8; SPACE as usize];
    for _ in 0..3 {
        let outcome = beside(&pool, || pool.apply(tasks::length, (&large,)));
        assert!(matches!(outcome, Err(Error::Decode { index: 0, .. })), "{outcome:?}");
    }
    assert_eq!(pool.apply(tasks::length, (&large[..1 << 20],)).unwrap(), 1 << 20);
    let results: Vec<_> = pool.imap(tasks::length, [&large[..9], &large, &large[..1 << 20]]).collect();
    let lengths: Vec<_> = results.into_iter().map(Result::ok).collect();
    assert_eq!(lengths, [Some(9), None, Some(1 << 20)]);
}

#[pool_task]
fn times_length(factor: &Shared<usize>, bytes: &[u8]) -> usize {
    **factor * bytes.len()
}

fn it_does_so_behind_a_shared_value_as_well(method: StartMethod) {
    const SPACE: u64 = 200 << 20;
    let pool = builder(method, 2).address_space_limit(SPACE).build().unwrap();
    let large = vec![1u8; SPACE as usize];
    for factor in 1..4 {
        // It is on its way to a worker together with the item.
        let factor = pool.share(factor).unwrap();
        let outcome = beside(&pool, || pool.apply(times_length, (&factor, &large)));
        assert!(matches!(outcome, Err(Error::Decode { index: 0, .. })), "{outcome:?}");
        assert_eq!(pool.apply(times_length, (&factor, &large[..1 << 20])).unwrap(), *factor << 20);
    }
}

fn less_address_space_than_a_worker_takes_is_an_error_of_every_call(method: StartMethod) {
    let pool =
        builder(method, 2).initializer(tasks::nothing, ()).address_space_limit(1 << 20).build().unwrap();
    for _ in 0..2 {
        let text = refused(pool.apply(tasks::square, (3,)));
        assert!(text.starts_with("limiting its address space: 1 MiB, and it takes "), "{text}");
    }
    let text = refused(pool.map_async(tasks::square, 0..10).get());
    assert!(text.contains("annot allocate memory"), "{text}");
}

fn an_initializer_that_dies_of_a_limit_says_so(method: StartMethod) {
    let large = 2 * SPACE as usize;
    let pool =
        builder(method, 1).initializer(tasks::bytes, (large,)).address_space_limit(SPACE).build().unwrap();
    match pool.apply(tasks::square, (3,)) {
        Err(Error::Initializer { reason, .. }) => assert!(reason.contains("limited to 4 GiB"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

fn cpus_of(pid: Option<Pid>) -> Vec<usize> {
    let set = sched_getaffinity(pid).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

#[pool_task]
fn cpus_here() -> (Vec<usize>, usize) {
    (cpus_of(None), std::thread::available_parallelism().unwrap().get())
}

fn each_place_has_its_cpu(method: StartMethod) {
    let mut cpus = cpus_of(None);
    cpus.reverse();
    let pool = builder(method, 3).pinned_cpus(cpus.iter().copied()).build().unwrap();
    let expected: Vec<_> = (0..3).map(|place| vec![cpus[place % cpus.len()]]).collect();
    let are_pinned = || {
        let pids = pool.worker_pids();
        pids.len() == 3
            && pids.iter().map(|pid| cpus_of(Pid::from_raw(*pid as i32))).collect::<Vec<_>>() == expected
    };
    wait_until("each worker has its CPU", are_pinned);
    for place in 0..3 {
        let pid = pool.worker_pids()[place];
        processes::kill(pid);
        wait_until("it is gone", || !pool.worker_pids().contains(&pid));
        wait_until("the next one in its place has the same CPU", are_pinned);
    }
    let (own, parallelism) = pool.apply(cpus_here, ()).unwrap();
    assert!(expected.contains(&own) && parallelism == 1);
    assert_eq!(cpus_of(None).len(), cpus.len());
}

#[pool_task]
fn variables(names: Vec<String>) -> Vec<Option<String>> {
    let of_a_child = |name: &String| {
        let child = std::process::Command::new("printenv").arg(name).output().unwrap();
        child.status.success().then(|| String::from_utf8(child.stdout).unwrap().trim().to_owned())
    };
    let inherited: Vec<_> = names.iter().map(of_a_child).collect();
    let own: Vec<_> = names.iter().map(|name| std::env::var(name).ok()).collect();
    assert_eq!(own, inherited);
    own
}

fn variables_are_set_and_removed_in_workers_only(method: StartMethod) {
    let pool = builder(method, 1)
        .env("IT_ONE", "1")
        .env("IT_TWO", "2")
        .env("IT_ONE", "one")
        .env_remove("IT_TWO")
        .env_remove("IT_NEVER_THERE")
        .env_remove("HOME")
        .env("HOME", "/nowhere")
        .env_remove("PWD")
        .build()
        .unwrap();
    let names = ["IT_ONE", "IT_TWO", "HOME", "PWD", "PATH"].map(str::to_owned);
    let expected = ["one", "", "/nowhere", "", &std::env::var("PATH").unwrap()];
    let expected = expected.map(|value| (!value.is_empty()).then(|| value.to_owned()));
    for _ in 0..2 {
        assert_eq!(pool.apply(variables, (names.to_vec(),)).unwrap(), expected);
        assert!(pool.apply(tasks::die, ("kill",)).is_err());
    }
    assert!(std::env::var_os("IT_ONE").is_none());
    assert_ne!(std::env::var("HOME").ok().as_deref(), Some("/nowhere"));
}

#[pool_task]
fn here() -> PathBuf {
    std::env::current_dir().unwrap()
}

fn a_relative_directory_is_that_of_the_moment_of_build(method: StartMethod) {
    let home = scratch_path("home");
    std::fs::create_dir_all(home.join("inner")).unwrap();
    std::env::set_current_dir(&home).unwrap();
    let pool = builder(method, 1).current_dir("inner").build().unwrap();
    std::env::set_current_dir("/").unwrap();
    for _ in 0..2 {
        assert_eq!(pool.apply(here, ()).unwrap(), home.join("inner"));
        assert!(pool.apply(tasks::die, ("kill",)).is_err());
    }
}

#[pool_task]
fn notes_start(log: &str) {
    note(log, std::process::id());
}

fn a_directory_that_is_gone_is_an_error_and_starts_no_storm(method: StartMethod) {
    let home = scratch_path("home");
    std::fs::create_dir(&home).unwrap();
    let log = Log::new();
    let pool = builder(method, 1).current_dir(&home).initializer(notes_start, (log.path(),)).build().unwrap();
    assert_eq!(pool.apply(here, ()).unwrap(), home);
    std::fs::remove_dir(&home).unwrap();
    assert!(pool.apply(tasks::die, ("kill",)).is_err());
    let queued = pool.map_async(tasks::square, 0..10);
    let text = refused(pool.apply(tasks::square, (3,)));
    assert!(
        text.starts_with(&format!("setting its current directory: {}: No such file", home.display())),
        "{text}"
    );
    refused(queued.get());
    refused(pool.apply_async(tasks::square, (3,)).get());
    assert_eq!(log.count(), 1, "no initializer runs in a worker that is refused");
    wait_until("no process is left", || processes::children().is_empty());
    assert!(!comes_true(Duration::from_millis(100), || !processes::children().is_empty()), "it goes on");
}

fn a_nice_value_without_the_right_to_it_is_an_error(method: StartMethod) {
    give_up_the_right_to_be_favoured();
    let pool = builder(method, 2).nice(-5).build().unwrap();
    for _ in 0..2 {
        let text = refused(pool.apply(tasks::square, (3,)));
        assert!(text.starts_with("setting its nice value: -5: Permission denied"), "{text}");
    }
}

/// From now on this process, and what it makes or executes, may not lower its nice value.
fn give_up_the_right_to_be_favoured() {
    setrlimit(Resource::Nice, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let right = CapabilitySet::SYS_NICE;
    let mut rights = rustix::thread::capabilities(None).unwrap();
    if rights.effective.contains(right) {
        rustix::thread::remove_capability_from_bounding_set(right).unwrap();
    }
    rights.effective.remove(right);
    rights.permitted.remove(right);
    rights.inheritable.remove(right);
    rustix::thread::set_capabilities(None, rights).unwrap();
}
