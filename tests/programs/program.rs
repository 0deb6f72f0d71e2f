//! Scenarios that need a program of their own: `program SCENARIO START-METHOD ARGS..`.
//!
//! It has one thread until it builds a pool. A scenario that goes wrong panics.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use pool::{Error, Exit, Pool, StartMethod, pool_task};
use tests::support::{self, Gate, PATIENCE, note, processes, program, start, tasks, wait_until};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [scenario, method, rest @ ..] = &args[..] else { panic!("no scenario") };
    let method = program::method_named(method);
    match (*scenario, rest) {
        ("builds", []) => drop(start(method, 4)),
        ("prints", []) => prints(method),
        ("prints_and_forgets", []) => prints_and_forgets(method),
        ("uses_the_terminal", []) => uses_the_terminal(method),
        ("has_raised_rights", [log]) => has_raised_rights(method, log),
        ("has_lowered_rights", [log]) => has_lowered_rights(method, log),
        ("partial_line", []) => partial_line(method),
        ("panics", []) => panics(method),
        ("panicking_callback", []) => panicking_callback(method),
        ("worker_count", []) => {
            println!("{}", Pool::builder().start_method(method).build().unwrap().worker_count())
        }
        ("invalid_worker_count", []) => invalid_worker_count(method),
        ("ignores_children", []) => ignores_children(method),
        ("exits_with_a_pool_in_a_static", []) => exits_with_a_pool_in_a_static(method),
        ("calls_main_once", [log]) => calls_main_once(method, log),
        ("deletes_itself", []) => deletes_itself(method),
        ("interrupted", []) => interrupted(method),
        ("closed_standard_streams", [log]) => closed_standard_streams(method, log),
        ("big_image", []) => big_image(method),
        other => panic!("no such scenario: {other:?}"),
    }
}

#[pool_task]
fn says(n: u64) {
    print!("task {n} says so;");
    // Without a line's end it stays in the buffer.
}

fn prints(method: StartMethod) {
    let pool = start(method, 2);
    pool.map(says, 0..10).unwrap();
    pool.close();
    pool.join().unwrap();
}

fn prints_and_forgets(method: StartMethod) {
    let pool = Pool::builder().start_method(method).workers(1).max_tasks_per_worker(2).build().unwrap();
    pool.map(says, 0..4).unwrap();
    pool.close();
    pool.join().unwrap();
}

fn partial_line(method: StartMethod) {
    print!("once;");
    let pool = start(method, 3);
    pool.map(says, 0..10).unwrap();
    pool.close();
    pool.join().unwrap();
}

fn panics(method: StartMethod) {
    let pool = start(method, 1);
    let Err(Error::Panicked { backtrace, .. }) = pool.apply(tasks::only_even, (1,)) else {
        panic!("no panic")
    };
    println!("{}", backtrace.unwrap_or_else(|| "none".to_owned()));
}

fn panicking_callback(method: StartMethod) {
    let pool = start(method, 1);
    drop(pool.apply_async(tasks::square, (3,)).callback(|_| panic!("nobody sees this")));
    pool.close();
    pool.join().unwrap();
}

fn invalid_worker_count(method: StartMethod) {
    let error = Pool::builder().start_method(method).build().unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "POOL_WORKERS", .. }), "{error}");
    // A number in the program goes first.
    assert_eq!(Pool::builder().start_method(method).workers(1).build().unwrap().worker_count(), 1);
}

/// The kernel collects this program's children, so nobody learns how they ended.
fn ignores_children(method: StartMethod) {
    // SAFETY: this installs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let pool = start(method, 2);
    let error = pool.apply(tasks::die, ("kill",)).unwrap_err();
    assert!(matches!(error, Error::WorkerLost { exit: Exit::Unknown, .. }), "{error}");
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    pool.close();
    pool.join().unwrap();
    drop(pool);
    drop(start(method, 2));
}

fn exits_with_a_pool_in_a_static(method: StartMethod) {
    static POOL: OnceLock<Pool> = OnceLock::new();
    let pool = POOL.get_or_init(|| start(method, 2));
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    drop(pool.apply_async(tasks::gated, ("/nowhere", 3)));
}

fn calls_main_once(method: StartMethod, log: &str) {
    note(log, "main");
    let pool = start(method, 3);
    let pids: BTreeSet<u32> = pool.map(tasks::pid_for, 0..100).unwrap().into_iter().collect();
    assert!(!pids.contains(&std::process::id()));
}

/// The file of the program is replaced while it runs.
fn deletes_itself(method: StartMethod) {
    let own = std::env::current_exe().unwrap();
    std::fs::remove_file(&own).unwrap();
    std::fs::write(&own, "another program").unwrap();
    let pool = start(method, 2);
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    processes::kill(pool.worker_pids()[0]);
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    std::fs::remove_file(own).unwrap();
}

/// Ctrl-C goes to every process of the terminal's group.
fn interrupted(method: StartMethod) {
    // SAFETY: this installs no code.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    let pool = start(method, 2);
    let log = support::Log::new();
    let gate = Gate::new();
    let busy = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 7));
    log.wait_for(1);
    let pids = pool.worker_pids();
    for pid in pids.iter().chain(&processes::zygotes()) {
        processes::signal(*pid, rustix::process::Signal::INT);
    }
    gate.open();
    assert_eq!(busy.get().unwrap(), 7);
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    assert_eq!(pool.worker_pids(), pids);
}

/// Descriptors 0, 1 and 2 are free, so that whatever is opened gets them.
fn closed_standard_streams(method: StartMethod, log: &str) {
    for fd in 0..3 {
        // SAFETY: nothing in this program uses them from here on.
        unsafe { libc::close(fd) };
    }
    let pool = start(method, 2);
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    pool.map(says, 0..10).unwrap();
    assert_eq!(pool.apply(tasks::bytes, (1_000_000,)).unwrap().len(), 1_000_000);
    pool.close();
    pool.join().unwrap();
    note(log, "done");
}

static TABLE: OnceLock<Vec<u64>> = OnceLock::new();

#[pool_task]
fn look_up(index: usize) -> Option<u64> {
    TABLE.get().map(|table| table[index])
}

/// What was loaded before is there under `Fork`, and only there.
fn big_image(method: StartMethod) {
    TABLE.set((0..10_000_000).collect()).unwrap();
    let pool = start(method, 2);
    let expected = (method == StartMethod::Fork).then_some(1_234_567);
    assert_eq!(pool.apply(look_up, (1_234_567,)).unwrap(), expected);
    let before = pool.worker_pids();
    before.iter().for_each(|pid| processes::kill(*pid));
    wait_until("other workers are there", || {
        let pids = pool.worker_pids();
        pids.len() == 2 && !pids.iter().any(|pid| before.contains(pid))
    });
    assert_eq!(pool.apply(look_up, (1_234_567,)).unwrap(), expected);
}

#[pool_task]
fn uses(what: &str) -> Result<usize, String> {
    let mut byte = [0];
    let outcome = match what {
        "stdin" => std::io::stdin().read(&mut byte),
        "reads" => File::open("/dev/tty").and_then(|mut terminal| terminal.read(&mut byte)),
        _ => File::options().write(true).open("/dev/tty").and_then(|mut terminal| terminal.write(b"!")),
    };
    outcome.map_err(|error| error.to_string())
}

/// Workers are in the background of this program's terminal, which lets nobody write there either.
fn uses_the_terminal(method: StartMethod) {
    let terminal = File::open("/dev/tty").expect("this program has a terminal");
    let mut how = std::mem::MaybeUninit::uninit();
    // SAFETY: it writes one `termios`.
    assert_eq!(unsafe { libc::tcgetattr(terminal.as_raw_fd(), how.as_mut_ptr()) }, 0);
    // SAFETY: it was just written.
    let mut how = unsafe { how.assume_init() };
    how.c_lflag |= libc::TOSTOP;
    // SAFETY: it reads one `termios`.
    assert_eq!(unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const how) }, 0);
    let pool = start(method, 1);
    let used =
        |what| pool.apply_async(uses, (what,)).get_timeout(PATIENCE).expect("it is not stopped").unwrap();
    assert_eq!(used("stdin"), Ok(0));
    assert!(used("reads").unwrap_err().contains("os error 5"));
    assert_eq!(used("writes"), Ok(1));
}

/// Somebody runs it who has fewer.
fn has_raised_rights(method: StartMethod, log: &str) {
    note(log, "main");
    // SAFETY: it has no preconditions.
    assert_ne!(unsafe { libc::getauxval(libc::AT_SECURE) }, 0, "it is not where such programs are forbidden");
    is_not_executed(method);
}

/// It could have them back, and what it executes is told that it has them.
fn has_lowered_rights(method: StartMethod, log: &str) {
    note(log, "main");
    // SAFETY: it takes a number.
    assert_eq!(unsafe { libc::seteuid(65534) }, 0);
    is_not_executed(method);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::seteuid(0) }, 0);
}

fn is_not_executed(method: StartMethod) {
    match Pool::builder().start_method(method).workers(1).build() {
        Ok(pool) if method == StartMethod::Fork => assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9),
        Err(Error::InvalidOption { option: "start_method", reason }) => {
            assert!(reason.contains("rights"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}
