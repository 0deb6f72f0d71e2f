//! What stays of a pool whose program is killed: nothing.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use pool::StartMethod;
use rustix::process::Signal;
use rustix::thread::{CapabilitySet, capabilities};

use crate::support::report::scratch_path;
use crate::support::{Gate, Log, Program, Random, before_main, comes_true};
use crate::{PROGRAM, PROGRAM_MORTAL};

crate::cases![
    leaves_no_process_a_second_later,
    leaves_no_process_while_workers_start,
    leaves_no_process_while_initializers_run,
    leaves_no_process_while_workers_are_replaced,
    leaves_no_process_while_pools_come_and_go,
    leaves_no_process_of_pools_in_tasks,
    leaves_no_process_of_another_user,
    leaves_no_process_that_waits_before_main,
    who_was_not_invited_by_its_parent_leaves_at_once,
];

const SIGNALS: [Signal; 2] = [Signal::TERM, Signal::KILL];

fn nothing_stays(program: &Program) {
    let start = Instant::now();
    let gone = comes_true(Duration::from_secs(1), || program.processes().is_empty());
    assert!(gone, "after {:?}:\n{}", start.elapsed(), program.describe());
}

fn start(scenario: &str, method: StartMethod, log: &Log) -> Program {
    Program::new(PROGRAM_MORTAL, scenario, method).arg(log.path()).in_own_temporary().start()
}

/// Ends the program once its log has that many lines, and so many processes are there.
fn ends_when_ready(scenario: &str, method: StartMethod, lines: usize, processes: usize) {
    for signal in SIGNALS {
        let log = Log::new();
        let mut program = start(scenario, method, &log);
        log.wait_for(lines);
        assert!(program.processes().len() >= processes, "{}", program.describe());
        program.end_with(signal);
        nothing_stays(&program);
    }
}

/// Ends the program many times at random moments, the latest after `millis`.
fn ends_at_random(scenario: &str, method: StartMethod, millis: usize) {
    const ROUNDS: usize = 15;
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        for signal in SIGNALS {
            let log = Log::new();
            let mut program = start(scenario, method, &log);
            std::thread::sleep(Duration::from_micros(random.below(1000 * millis) as u64));
            program.end_with(signal);
            nothing_stays(&program);
        }
    }
}

fn leaves_no_process_a_second_later(method: StartMethod) {
    ends_when_ready("busy", method, 2, 5);
    ends_at_random("busy", method, 60);
}

fn leaves_no_process_while_workers_start(method: StartMethod) {
    ends_at_random("busy", method, 12);
}

fn leaves_no_process_while_initializers_run(method: StartMethod) {
    ends_when_ready("starting", method, 3, 4);
    ends_at_random("starting", method, 30);
}

fn leaves_no_process_while_workers_are_replaced(method: StartMethod) {
    ends_when_ready("replacing", method, 2, 1);
    ends_at_random("replacing", method, 60);
}

fn leaves_no_process_while_pools_come_and_go(method: StartMethod) {
    ends_when_ready("churning", method, 5, 1);
    ends_at_random("churning", method, 60);
}

fn leaves_no_process_of_pools_in_tasks(method: StartMethod) {
    ends_when_ready("nesting", method, 4, 7);
    ends_at_random("nesting", method, 60);
}

fn leaves_no_process_of_another_user(method: StartMethod) {
    // The workers need the latter two; to find them, this process needs the first.
    let needed = CapabilitySet::SYS_PTRACE | CapabilitySet::SETUID | CapabilitySet::SETGID;
    let lacks = needed - capabilities(None).unwrap().effective;
    if !lacks.is_empty() {
        eprintln!("not run, for lack of {lacks:?}");
        return;
    }
    ends_when_ready("of_another_user", method, 1, 3);
}

fn leaves_no_process_that_waits_before_main(method: StartMethod) {
    if method == StartMethod::Fork {
        // It executes nothing.
        return;
    }
    for signal in SIGNALS {
        let (log, gate, waiting) = (Log::new(), Gate::new(), Log::new());
        let directory = scratch_path("directory");
        std::fs::create_dir(&directory).unwrap();
        let program = Program::new(PROGRAM_MORTAL, "busy", method).arg(log.path()).env("TMPDIR", &directory);
        // The program itself is the first to come by.
        let mut program = program.env(before_main::WAIT, before_main::told(1, &gate, &waiting)).start();
        // Behind the program itself, as many as are started at a time; the next socket is only made when one of them is there.
        waiting.wait_for(if method == StartMethod::Spawn { 3 } else { 2 });
        program.end_with(signal);
        nothing_stays(&program);
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
    }
}

fn who_was_not_invited_by_its_parent_leaves_at_once(method: StartMethod) {
    let directory = scratch_path("directory");
    let socket = directory.join("socket");
    std::fs::create_dir(&directory).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    for name in [socket.display().to_string(), "/proc/self/fd/1".to_owned()] {
        let invitation = format!("1 1 {:032x} {name}", 7);
        let ended = Program::new(PROGRAM, "builds", method).env("POOL_SERVE", invitation).run();
        assert_eq!(ended.status.code(), Some(121), "{ended:?}");
    }
    assert!(listener.accept().is_err() && socket.exists(), "it neither called nor removed anything");
}
