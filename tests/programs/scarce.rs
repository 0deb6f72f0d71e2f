//! What a pool does where the system has no more of something: `program_scarce SCENARIO START-METHOD`.
//!
//! The limits are this program's own, and bind its helpers too, because those inherit them. A scenario that goes wrong
//! panics.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;

use pool::{Error, Pool, PoolBuilder, StartMethod, pool_task};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tests::support::census::Census;
use tests::support::report::scratch_path;
use tests::support::{Gate, Log, processes, program, start, tasks, wait_until};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [scenario, method, rest @ ..] = &args[..] else { panic!("no scenario") };
    let method = program::method_named(method);
    match (*scenario, rest) {
        ("processes_at_build", []) => processes_at_build(method),
        ("processes_later", []) => processes_later(method),
        ("threads_for_callbacks", []) => threads_for_callbacks(method),
        ("descriptors_at_build", []) => descriptors_at_build(method),
        ("descriptors_later", []) => descriptors_later(method),
        ("descriptors_for_segments", []) => descriptors_for_segments(method),
        ("address_space_at_build", []) => address_space_at_build(method),
        ("address_space_for_few_threads", []) => address_space_for_threads(method, 0..32),
        ("address_space_for_some_threads", []) => address_space_for_threads(method, 32..64),
        ("address_space_for_many_places", []) => address_space_for_many_places(method),
        ("address_space_for_segments", []) => address_space_for_segments(method),
        ("short_files", []) => short_files(method),
        other => panic!("no such scenario: {other:?}"),
    }
}

fn builder(method: StartMethod, workers: usize) -> PoolBuilder {
    Pool::builder().start_method(method).workers(workers)
}

/// Lowers a limit, such that it can be raised again.
fn limit(resource: Resource, to: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(to), maximum }).unwrap();
}

fn unlimit(resource: Resource) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: maximum, maximum }).unwrap();
}

/// Checks that a pool cannot be had, why, and that nothing is left of the attempt.
#[track_caller]
fn refused(before: &Census, built: pool::Result<Pool>) {
    match built.map(drop) {
        Err(Error::Spawn { doing, source }) => println!("{doing}: {source}"),
        other => panic!("{other:?}"),
    }
    before.compare();
}

/// A normal job.
#[track_caller]
fn works(pool: &Pool) {
    let squares: Vec<u64> = (0..1000).map(|n| n * n).collect();
    assert_eq!(pool.map(tasks::square, 0..1000).expect("a normal job"), squares);
}

/// All workers run at the same time.
#[track_caller]
fn all_work(pool: &Pool) {
    let (log, gate) = (Log::new(), Gate::new());
    let workers = pool.worker_count() as u64;
    let all = pool.starmap_async(tasks::noted_gated, (0..workers).map(|n| (log.path(), gate.path(), n)));
    log.wait_for(workers as usize);
    gate.open();
    all.get().expect("a normal job");
    works(pool);
}

// Processes.

/// Becomes a user whom the limit on processes binds, and of whom nobody else's processes count: it does not bind root.
/// False if this process was another user's before, who may have more of them at any time.
fn leave_root() -> bool {
    let was_root = rustix::process::getuid().is_root();
    if was_root {
        let own = 20_000 + std::process::id() % 40_000;
        // For the names that a handshake takes for a moment, and for what the scenario writes.
        let directories = ["TMPDIR", "IT_SCRATCH"].map(|variable| (variable, scratch_path(variable)));
        for (variable, directory) in directories {
            fs::create_dir(&directory).unwrap();
            std::os::unix::fs::chown(&directory, Some(own), Some(own)).unwrap();
            // SAFETY: this process has one thread.
            unsafe { std::env::set_var(variable, directory) };
        }
        // SAFETY: no groups are read, as there are none.
        assert_eq!(unsafe { libc::setgroups(0, std::ptr::null()) }, 0);
        // SAFETY: this has no preconditions.
        assert_eq!(unsafe { libc::setgid(own) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setuid(own) }, 0);
        // The kernel hides the state of a process that had other rights before.
        // SAFETY: this changes nothing in memory.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
    }
    // A thread counts as much as a process.
    let binds = || match std::thread::Builder::new().spawn(|| ()) {
        Ok(thread) => thread.join().is_err(),
        Err(_) => true,
    };
    assert!(!binds(), "it may have processes");
    limit(Resource::Nproc, 0);
    assert!(binds(), "the limit on processes is one for this user");
    unlimit(Resource::Nproc);
    was_root
}

/// Processes and threads of this user.
fn own_tasks() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::getuid().as_raw();
    let is_own = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.uid() == own);
    let of = |path: &Path| fs::read_dir(path.join("task")).map_or(0, Iterator::count);
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|path| path.join("task").exists() && is_own(path)).map(|path| of(&path) as u64).sum()
}

fn processes_at_build(method: StartMethod) {
    let is_alone = leave_root();
    let before = Census::take();
    limit(Resource::Nproc, 0);
    refused(&before, builder(method, 2).build());
    wait_until("three builds are refused", || {
        let own = own_tasks();
        let failures = refusals(method, &before, Resource::Nproc, own..own + 30);
        // Other processes may have ended meanwhile, and left room for ours.
        assert!(failures >= 3 || !is_alone, "{failures}");
        failures >= 3
    });
    unlimit(Resource::Nproc);
    all_work(&start(method, 2));
}

/// Limits this process and those that make processes for it.
fn limit_processes(to: Option<u64>) {
    let maximum = getrlimit(Resource::Nproc).maximum;
    let wanted = Rlimit { current: to.or(maximum), maximum };
    setrlimit(Resource::Nproc, wanted).unwrap();
    for pid in processes::zygotes() {
        let pid = Pid::from_raw(pid as i32);
        let wanted = Rlimit { current: wanted.current, maximum: wanted.maximum };
        // It may have gone.
        let _ = prlimit(pid, Resource::Nproc, wanted);
    }
}

/// Waits until all helpers are there that a pool has, and no worker looks like one.
fn settled(pool: &Pool, method: StartMethod) {
    let helpers = match method {
        StartMethod::Spawn => 0,
        StartMethod::Fork => 2,
        _ => 1,
    };
    wait_until("only helpers have a helper's name", || {
        let zygotes = processes::zygotes();
        zygotes.len() == helpers && !pool.worker_pids().iter().any(|pid| zygotes.contains(pid))
    });
}

fn kill_one(pool: &Pool) {
    let pid = pool.worker_pids()[0];
    processes::kill(pid);
    wait_until("it is gone", || !pool.worker_pids().contains(&pid));
}

/// One worker of two cannot be replaced, then it can, then none can: `take` takes away what it takes to make one,
/// `give` gives it back.
fn without_replacements(method: StartMethod, mut take: impl FnMut(), mut give: impl FnMut()) {
    let pool = start(method, 2);
    all_work(&pool);
    settled(&pool, method);
    let helpers = processes::zygotes();
    take();
    let stays = pool.worker_pids()[1];
    kill_one(&pool);
    // For longer than the first pauses between two attempts.
    for _ in 0..50 {
        works(&pool);
        assert_eq!(pool.worker_pids(), [stays]);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    give();
    wait_until("it is replaced", || pool.worker_pids().len() == 2);
    assert!(pool.worker_pids().contains(&stays));
    all_work(&pool);
    settled(&pool, method);
    assert_eq!(processes::zygotes(), helpers, "they are as good as before");
    take();
    let gate = Gate::new();
    let open: Vec<_> = (0..3).map(|_| pool.apply_async(tasks::gated, (gate.path(), 1))).collect();
    for pid in pool.worker_pids() {
        processes::kill(pid);
    }
    for handle in open {
        match handle.get() {
            // The ones that were running; the other is never begun.
            Err(Error::WorkerLost { .. } | Error::Spawn { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let Err(Error::Spawn { doing, source }) = pool.apply(tasks::square, (3,)) else {
        panic!("no worker is left")
    };
    println!("{doing}: {source}");
    assert!(matches!(pool.imap(tasks::square, 0..3).next(), Some(Err(Error::Spawn { .. }))));
    pool.close();
    assert!(matches!(pool.join(), Err(Error::Spawn { .. })));
    drop(pool);
    give();
    all_work(&start_again(method));
}

/// Another pool; under `Fork` this process must have one thread by now, which the end of the pool sees to.
fn start_again(method: StartMethod) -> Pool {
    start(method, 2)
}

fn processes_later(method: StartMethod) {
    leave_root();
    without_replacements(method, || limit_processes(Some(0)), || limit_processes(None));
}

fn threads_for_callbacks(method: StartMethod) {
    leave_root();
    let pool = start(method, 2);
    limit(Resource::Nproc, 0);
    let job = || pool.apply_async(tasks::square, (3,));
    for outcome in [
        job().callback(|_| panic!("called")).get(),
        job().inspect(|_| panic!("called")).get().map(drop),
        job().error_callback(|_| panic!("called")).get().map(drop),
    ] {
        assert!(matches!(outcome, Err(Error::Spawn { .. })), "{outcome:?}");
    }
    works(&pool);
    unlimit(Resource::Nproc);
    assert_eq!(job().inspect(|n| assert_eq!(*n, 9)).get().unwrap(), 9);
}

/// Builds a pool under each of these limits, so that everything is once the first that cannot be had; tells how many
/// were refused.
fn refusals(method: StartMethod, before: &Census, resource: Resource, limits: Range<u64>) -> usize {
    let mut refusals = 0;
    for most in limits {
        limit(resource, most);
        let built = builder(method, 2).build();
        if let Ok(pool) = &built {
            works(pool);
        }
        // The census takes descriptors itself.
        unlimit(resource);
        match built {
            Ok(pool) => drop(pool),
            failed => {
                refusals += 1;
                refused(before, failed);
            }
        }
        before.compare();
    }
    refusals
}

// Descriptors.

fn descriptors_at_build(method: StartMethod) {
    let before = Census::take();
    let failures = refusals(method, &before, Resource::Nofile, before.descriptors() as u64..80);
    assert!(failures >= 20, "{failures}");
    limit(Resource::Nofile, 80);
    refused(&before, builder(method, 200).build());
    // A smaller one fits.
    all_work(&start(method, 2));
}

/// As many files as this process may open.
fn open_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn descriptors_later(method: StartMethod) {
    limit(Resource::Nofile, 200);
    let files = std::cell::RefCell::new(Vec::new());
    let take = || *files.borrow_mut() = open_all();
    without_replacements(method, take, || files.borrow_mut().clear());
}

fn descriptors_for_segments(method: StartMethod) {
    limit(Resource::Nofile, 200);
    let pool = start(method, 2);
    all_work(&pool);
    let files = open_all();
    no_segments(&pool, &vec![1; 1 << 20]);
    drop(files);
    segments(&pool, 1 << 20);
    all_work(&pool);
}

/// Values as large as this one fail, one by one, and nothing else does.
fn no_segments(pool: &Pool, large: &[u8]) {
    let pids = pool.worker_pids();
    for _ in 0..3 {
        let error = pool.apply(tasks::length, (large,)).unwrap_err();
        assert!(matches!(error, Error::Encode { index: 0, .. }), "{error}");
        let error = pool.apply(tasks::bytes, (large.len(),)).unwrap_err();
        assert!(matches!(error, Error::Encode { index: 0, .. }), "{error}");
        works(pool);
    }
    let results: Vec<_> =
        pool.imap(tasks::length, [&large[..9], large, &large[..99]]).map(Result::ok).collect();
    assert_eq!(results, [Some(9), None, Some(99)]);
    assert_eq!(pool.worker_pids(), pids);
}

/// Values of that size go through.
fn segments(pool: &Pool, size: usize) {
    assert_eq!(pool.apply(tasks::length, (&vec![1; size],)).unwrap(), size);
    assert_eq!(pool.apply(tasks::bytes, (size,)).unwrap().len(), size);
}

// Address space.

/// Has memory for small things at hand, because a Rust program ends if it cannot have that. The C library serves all
/// threads from it only if it is told to.
fn hoard() -> Vec<Vec<u8>> {
    let mut small: Vec<_> = (0..20_000).map(|_| vec![1; 1000]).collect();
    // What is below the last one stays with the process when it is free.
    small.drain(..19_999);
    assert_eq!(std::env::var("MALLOC_ARENA_MAX").as_deref(), Ok("1"));
    small
}

/// Limits the address space of this process to what it has and that much more.
fn limit_address_space(more: u64) {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').next().unwrap().parse().unwrap();
    limit(Resource::As, pages * rustix::param::page_size() as u64 + more);
}

fn address_space_at_build(method: StartMethod) {
    are_refused(method, [0, 1 << 20, 3 << 20, 5 << 20, 8 << 20]);
}

/// Threads take two megabytes each and then some pages, and may get the one and not the other.
fn address_space_for_threads(method: StartMethod, steps: Range<u64>) {
    are_refused(method, steps.map(|n| (2 << 20) + n * 99_000));
}

/// With so little more address space no pool can be built.
fn are_refused(method: StartMethod, limits: impl IntoIterator<Item = u64>) {
    let hoard = hoard();
    let before = Census::take();
    for more in limits {
        limit_address_space(more);
        refused(&before, builder(method, 200).build());
        unlimit(Resource::As);
    }
    drop(hoard);
    all_work(&start(method, 2));
}

/// As many as the kernel can number processes.
fn address_space_for_many_places(method: StartMethod) {
    let before = Census::take();
    limit_address_space(256 << 20);
    refused(&before, builder(method, 4 << 20).build());
    unlimit(Resource::As);
    all_work(&start(method, 2));
}

fn address_space_for_segments(method: StartMethod) {
    const SIZE: usize = 32 << 20;
    let hoard = hoard();
    let pool = start(method, 2);
    all_work(&pool);
    let large = vec![1; SIZE];
    // More than the value takes, and too little for a segment with all that it takes to make one.
    limit_address_space(SIZE as u64 * 3 / 2);
    no_segments(&pool, &large);
    unlimit(Resource::As);
    segments(&pool, SIZE);
    drop(hoard);
    all_work(&pool);
}

// Shared memory, which the kernel counts as files.

#[pool_task]
fn negated(flags: Vec<bool>) -> Vec<bool> {
    flags.iter().map(|flag| !flag).collect()
}

fn short_files(method: StartMethod) {
    let pool = start(method, 2);
    limit(Resource::Fsize, 200_000);
    no_segments(&pool, &vec![1; 1_000_000]);
    segments(&pool, 100_000);
    // It is not known before it is encoded how much room this takes.
    assert_eq!(pool.apply(negated, (vec![true; 180_000],)).unwrap(), vec![false; 180_000]);
    limit(Resource::Fsize, 5_000);
    if method != StartMethod::Fork {
        let error = builder(method, 1).build().unwrap_err();
        assert!(matches!(error, Error::Spawn { .. }), "{error}");
    }
    works(&pool);
}
