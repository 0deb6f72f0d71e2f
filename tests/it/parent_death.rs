//! What stays of a pool whose program is killed: nothing.

use std::time::{Duration, Instant};

use pool::StartMethod;

use crate::PROGRAM;
use crate::support::report::scratch_path;
use crate::support::{Gate, Log, Program, Random, comes_true};

crate::cases![leaves_no_process_a_second_later, leaves_no_process_while_workers_start,];

fn nothing_stays(program: &Program) {
    let start = Instant::now();
    let gone = comes_true(Duration::from_secs(1), || program.processes().is_empty());
    assert!(gone, "after {:?}:\n{}", start.elapsed(), program.describe());
}

fn leaves_no_process_a_second_later(method: StartMethod) {
    for _ in 0..3 {
        let (log, gate) = (Log::new(), Gate::new());
        let mut program = Program::new(PROGRAM, "busy", method).arg(log.path()).arg(gate.path()).start();
        log.wait_for(2);
        assert!(program.processes().len() > 4);
        program.kill();
        nothing_stays(&program);
    }
}

fn leaves_no_process_while_workers_start(method: StartMethod) {
    let mut random = Random::new();
    // A program that is killed in the middle of a handshake cannot remove the socket's name any more.
    let temporary = scratch_path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    for _ in 0..25 {
        let (log, gate) = (Log::new(), Gate::new());
        let program = Program::new(PROGRAM, "busy", method).arg(log.path()).arg(gate.path());
        let mut program = program.env("TMPDIR", &temporary).start();
        std::thread::sleep(Duration::from_micros(random.below(40_000) as u64));
        program.kill();
        nothing_stays(&program);
    }
}
