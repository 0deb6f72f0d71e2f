//! Tasks that change or take what is not theirs: descriptors, directory, signals, hooks, groups, streams. The pool goes on, and
//! what such a task leaves behind is gone with its worker.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use pool::{Error, Exit, Part, Pool, StartMethod, pool_task};

use super::{Scene, follow, lost, row};
use crate::support::{Log, note, processes, start, tasks, wait_until};

crate::cases![
    descriptors_that_are_not_its_own_are_closed,
    the_working_directory_and_the_umask_are_changed,
    all_signals_are_masked,
    handlers_for_signals_are_installed,
    threads_are_left_running,
    children_are_left_behind,
    the_panic_hook_ends_the_process,
    the_process_group_is_left,
    standard_streams_are_closed,
    a_fork_of_the_worker_comes_out_of_the_task,
    a_fork_of_the_worker_comes_out_with_a_large_result,
    another_program_is_executed,
];

#[pool_task]
fn closes_descriptors() {
    for fd in 3..200 {
        // SAFETY: the point is that it is not; what the worker needs of them is gone.
        unsafe { libc::close(fd) };
    }
}

fn descriptors_that_are_not_its_own_are_closed(method: StartMethod) {
    row(method, |pool| {
        // Small values need no descriptor.
        pool.apply(closes_descriptors, ()).unwrap();
        assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
        // A large result does, and a worker that cannot send one says so and leaves.
        let failed: Vec<_> = (0..5).filter_map(|_| pool.apply(tasks::bytes, (1 << 20,)).err()).collect();
        assert!(matches!(failed[..], [] | [Error::Encode { part: Part::Result, .. }]), "{failed:?}");
        pool.apply(closes_descriptors, ()).unwrap();
        // An argument that cannot be read was not begun, and goes to another worker.
        let block = vec![1; 1 << 20];
        for _ in 0..5 {
            assert_eq!(pool.apply(tasks::length, (&block,)).unwrap(), block.len());
        }
        pool.apply(closes_descriptors, ()).unwrap();
    });
    // Leaving in peace needs none either.
    let pool = start(method, 2);
    pool.map(closes_descriptors_for, 0..10).unwrap();
    pool.close();
    pool.join().unwrap();
}

#[pool_task]
fn closes_descriptors_for(_n: u64) {
    (*self::closes_descriptors)();
}

#[pool_task]
fn goes_elsewhere() {
    std::env::set_current_dir("/").unwrap();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

#[pool_task]
fn place() -> (String, u32) {
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::umask(mask);
    (std::env::current_dir().unwrap().display().to_string(), mask.as_raw_mode())
}

fn the_working_directory_and_the_umask_are_changed(method: StartMethod) {
    let home = place();
    row(method, |pool| {
        pool.apply(goes_elsewhere, ()).unwrap();
        assert_eq!(pool.apply(place, ()).unwrap(), ("/".to_owned(), 0o077), "it stays so in this worker");
        assert_eq!(place(), home, "the program is where it was");
        lost(pool.apply(tasks::die, ("kill",)).unwrap_err());
        assert_eq!(pool.apply(place, ()).unwrap(), home, "and so is the next worker");
        pool.apply(goes_elsewhere, ()).unwrap();
    });
}

#[pool_task]
fn masks_signals() {
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: it fills the set that it is given.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set was just filled.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut()) };
}

fn all_signals_are_masked(method: StartMethod) {
    row(method, |pool| pool.apply(masks_signals, ()).unwrap());
}

extern "C" fn carry_on(_: libc::c_int) {}

extern "C" fn leave(_: libc::c_int) {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(9) };
}

#[pool_task]
fn installs_handlers() {
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGTERM, carry_on as *const () as libc::sighandler_t) };
    // SAFETY: the handler calls nothing but `_exit`, which signal handlers may.
    unsafe { libc::signal(libc::SIGSEGV, leave as *const () as libc::sighandler_t) };
}

fn handlers_for_signals_are_installed(method: StartMethod) {
    row(method, |pool| {
        pool.apply(installs_handlers, ()).unwrap();
        assert_eq!(lost(pool.apply(tasks::die, ("segv",)).unwrap_err()).2, Exit::Code(9));
        assert_eq!(lost(pool.apply(tasks::die, ("segv",)).unwrap_err()).2, Exit::Signal(11));
        pool.apply(installs_handlers, ()).unwrap();
    });
}

#[pool_task]
fn leaves_threads(_n: u64) {
    for _ in 0..5 {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
}

fn threads_are_left_running(method: StartMethod) {
    row(method, |pool| pool.apply(leaves_threads, (0,)).unwrap());
    let pool = start(method, 2);
    pool.map(leaves_threads, 0..10).unwrap();
    follow(&pool);
    pool.close();
    pool.join().unwrap();
}

#[pool_task]
fn leaves_a_child(log: &str) {
    note(log, Command::new("sleep").arg("600").spawn().unwrap().id());
}

fn are_gone(log: &Log) {
    for child in log.sorted() {
        wait_until("what the task started is gone", || !processes::is_alive(child as u32));
    }
}

fn children_are_left_behind(method: StartMethod) {
    let log = Log::new();
    let end: [fn(Pool); 2] = [drop, |pool| {
        pool.close();
        pool.join().unwrap();
    }];
    for end in end {
        let pool = start(method, 2);
        (0..4).for_each(|_| pool.apply(leaves_a_child, (log.path(),)).unwrap());
        let children = log.lines().into_iter().skip(log.count() - 4);
        assert!(children.map(|child| child.parse().unwrap()).all(processes::is_alive));
        end(pool);
        are_gone(&log);
    }
    let scene = Scene::set(method);
    scene.pool.apply(leaves_a_child, (log.path(),)).unwrap();
    // The other worker is the bystander's, so this is the one that has the child.
    lost(scene.pool.apply(tasks::die, ("kill",)).unwrap_err());
    are_gone(&log);
    scene.check();
}

#[pool_task]
fn sets_a_hook_that_exits() {
    std::panic::set_hook(Box::new(|_| std::process::exit(5)));
}

fn the_panic_hook_ends_the_process(method: StartMethod) {
    row(method, |pool| {
        pool.apply(sets_a_hook_that_exits, ()).unwrap();
        assert_eq!(lost(pool.apply(tasks::only_even, (1,)).unwrap_err()).2, Exit::Code(5));
        assert!(matches!(pool.apply(tasks::only_even, (1,)), Err(Error::Panicked { .. })));
    });
}

#[pool_task]
fn leaves_its_group() {
    // It leads one, so it can have no session of its own.
    assert!(rustix::process::setsid().is_err());
    let program = rustix::process::getppid().unwrap();
    let group = rustix::process::getpgid(Some(program)).unwrap();
    rustix::process::setpgid(None, Some(group)).unwrap();
}

fn the_process_group_is_left(method: StartMethod) {
    row(method, |pool| {
        pool.apply(leaves_its_group, ()).unwrap();
        lost(pool.apply(tasks::die, ("kill",)).unwrap_err());
        pool.apply(leaves_its_group, ()).unwrap();
    });
}

#[pool_task]
fn closes_standard_streams() {
    for fd in 0..3 {
        // SAFETY: nothing but what this task prints needs them.
        unsafe { libc::close(fd) };
    }
}

#[pool_task]
fn says_something() {
    println!("nobody hears this");
    eprintln!("nor this");
    let _ = std::io::stdout().flush();
}

fn standard_streams_are_closed(method: StartMethod) {
    row(method, |pool| {
        pool.apply(closes_standard_streams, ()).unwrap();
        pool.apply(says_something, ()).unwrap_or(());
        assert_eq!(pool.apply(tasks::bytes, (1 << 20,)).unwrap().len(), 1 << 20);
    });
}

/// Both processes come out of the task: one with a value, the other with that too, or with a panic.
#[pool_task]
fn forks(log: &str, panics: bool) -> u32 {
    // What is borrowed lies in memory that is used again when the worker has answered, which the child may outlast.
    let log = &log.to_owned();
    // SAFETY: a worker has one thread, and what the child does is the point.
    let child = unsafe { libc::fork() };
    if child == 0 {
        note(log, std::process::id());
        assert!(!panics, "in the child");
    }
    std::process::id()
}

fn a_fork_of_the_worker_comes_out_of_the_task(method: StartMethod) {
    row(method, |pool| {
        let log = Log::new();
        for panics in [false, true] {
            let worker = pool.apply(forks, (log.path(), panics)).unwrap();
            assert!(pool.worker_pids().contains(&worker), "the worker answers, and its child does not");
        }
        log.wait_for(2);
        are_gone(&log);
        // Nobody else takes items from the worker's ring.
        let ran = Log::new();
        let items = || (0..1000).map(|n| (ran.path(), n));
        assert_eq!(pool.starmap(tasks::noted, items()).unwrap(), (0..1000).collect::<Vec<_>>());
        assert_eq!(ran.sorted(), (0..1000).collect::<Vec<_>>());
    });
}

/// The same, and what they come out with is too large for a ring.
#[pool_task]
fn forks_and_fills(log: &str, len: usize) -> Vec<u8> {
    // SAFETY: a worker has one thread, and what the child does is the point.
    let child = unsafe { libc::fork() };
    if child == 0 {
        note(log, std::process::id());
    } else {
        // The child comes out first.
        // SAFETY: the call takes a null pointer.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
    vec![u8::from(child != 0); len]
}

fn a_fork_of_the_worker_comes_out_with_a_large_result(method: StartMethod) {
    row(method, |pool| {
        let log = Log::new();
        // The second time there is a segment already.
        for len in [1 << 20, 1 << 20, 8 << 20] {
            assert_eq!(pool.apply(forks_and_fills, (log.path(), len)).unwrap(), vec![1; len]);
        }
        log.wait_for(3);
        are_gone(&log);
    });
}

#[pool_task]
fn executes_another_program() {
    panic!("{}", Command::new("true").exec());
}

fn another_program_is_executed(method: StartMethod) {
    row(method, |pool| {
        assert_eq!(lost(pool.apply(executes_another_program, ()).unwrap_err()).2, Exit::Code(0));
    });
}
