//! How programs with pools end: Ctrl-C, panics, `exit`, and the end of `main`. Nothing stays, and nothing is said twice.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use pool::StartMethod;
use rustix::process::Signal;

use crate::PROGRAM_MORTAL;
use crate::support::program::Ended;
use crate::support::{Log, PATIENCE, Program, Random, comes_true};

crate::cases![
    ctrl_c_ends_the_program_and_its_workers_silently,
    ctrl_c_at_any_moment_leaves_nothing,
    ctrl_c_that_the_program_handles_changes_nothing,
    ctrl_c_that_the_program_handles_does_not_disturb_starts,
    a_handler_of_sigterm_does_not_run_in_workers,
    a_panic_in_main_leaves_nothing,
    a_panic_that_passes_through_a_call_leaves_nothing,
    exit_leaves_nothing,
    exit_in_another_thread_leaves_nothing,
    abort_leaves_nothing,
    the_end_of_main_leaves_nothing,
];

fn program(scenario: &str, method: StartMethod, log: &Log) -> Program {
    let program = Program::new(PROGRAM_MORTAL, scenario, method).arg(log.path());
    program.in_own_group().in_own_temporary().start()
}

fn ctrl_c_ends_the_program_and_its_workers_silently(method: StartMethod) {
    for (scenario, lines) in [("busy", 2), ("starting", 3), ("replacing", 3), ("churning", 3), ("nesting", 4)]
    {
        let log = Log::new();
        let mut program = program(scenario, method, &log);
        log.wait_for(lines);
        program.signal_group(Signal::INT);
        let ended = program.finish();
        assert_eq!(ended.status.signal(), Some(2), "{ended:?}");
        assert_eq!((&ended.stdout[..], &ended.stderr[..]), ("", ""), "{scenario}");
    }
}

fn ctrl_c_at_any_moment_leaves_nothing(method: StartMethod) {
    let mut random = Random::new();
    for round in 0..30 {
        let log = Log::new();
        let scenario = ["busy", "starting", "churning"][round % 3];
        let mut program = program(scenario, method, &log);
        std::thread::sleep(Duration::from_micros(random.below(30_000) as u64));
        program.signal_group(Signal::INT);
        let ended = program.finish();
        assert_eq!(ended.status.signal(), Some(2), "{ended:?}");
        assert_eq!((&ended.stdout[..], &ended.stderr[..]), ("", ""), "{scenario}");
    }
}

fn goes_on(scenario: &str, method: StartMethod) {
    let mut random = Random::new();
    let log = Log::new();
    let mut program = program(scenario, method, &log);
    log.wait_for(1);
    let is_over = comes_true(PATIENCE, || {
        std::thread::sleep(Duration::from_micros(random.below(5_000) as u64));
        program.signal_group(Signal::INT);
        program.has_ended()
    });
    assert!(is_over, "{}", program.describe());
    let ended = program.finish().expect_success();
    assert_eq!((&ended.stdout[..], &ended.stderr[..]), ("", ""));
}

fn ctrl_c_that_the_program_handles_changes_nothing(method: StartMethod) {
    goes_on("handling_interrupts", method);
}

fn ctrl_c_that_the_program_handles_does_not_disturb_starts(method: StartMethod) {
    goes_on("handling_interrupts_while_it_builds", method);
}

fn a_handler_of_sigterm_does_not_run_in_workers(method: StartMethod) {
    let log = Log::new();
    let mut program = program("handling_sigterm", method, &log);
    log.wait_for(1);
    assert_eq!(log.lines(), [format!("main {}", program.pid())]);
    program.signal_group(Signal::KILL);
    program.finish();
}

fn ends(scenario: &str, method: StartMethod) -> Ended {
    let log = Log::new();
    program(scenario, method, &log).finish()
}

fn a_panic_in_main_leaves_nothing(method: StartMethod) {
    let ended = ends("panicking", method);
    assert_eq!(ended.status.code(), Some(101), "{ended:?}");
    assert_eq!(ended.stderr.matches("enough").count(), 1, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("panicked at").count(), 1, "{}", ended.stderr);
}

fn a_panic_that_passes_through_a_call_leaves_nothing(method: StartMethod) {
    let ended = ends("unwinding", method);
    assert_eq!(ended.status.code(), Some(101), "{ended:?}");
    assert_eq!(ended.stderr.matches("panicked at").count(), 1, "{}", ended.stderr);
}

fn exit_leaves_nothing(method: StartMethod) {
    let ended = ends("exiting", method);
    assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(3), ""), "{ended:?}");
}

fn exit_in_another_thread_leaves_nothing(method: StartMethod) {
    let ended = ends("exiting_in_a_thread", method);
    assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(3), ""), "{ended:?}");
}

fn abort_leaves_nothing(method: StartMethod) {
    let ended = ends("aborting", method);
    assert_eq!((ended.status.signal(), &ended.stderr[..]), (Some(6), ""), "{ended:?}");
}

fn the_end_of_main_leaves_nothing(method: StartMethod) {
    let ended = ends("returning", method);
    assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), ""), "{ended:?}");
}
