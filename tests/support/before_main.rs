//! Has executions of a program wait before its `main`, as those do that take long to load.

use std::fs;

use super::report::{Gate, Log, note, pass};

/// The environment variable with what [`told`] makes.
pub const WAIT: &str = "IT_WAIT_BEFORE_MAIN";

/// Has all executions but the next few note themselves and wait for the gate.
pub fn told(spared: usize, gate: &Gate, log: &Log) -> String {
    format!("{spared} {} {}", gate.path(), log.path())
}

/// For a constructor of the program, before the library's own, which has no number.
pub extern "C" fn wait_if_told() {
    let Ok(told) = std::env::var(WAIT) else { return };
    let fields: Vec<&str> = told.split(' ').collect();
    let [spared, gate, log] = fields[..] else { panic!("{told}") };
    note(log, std::process::id());
    let lines = fs::read_to_string(log).expect("it was just written to").lines().count();
    if lines > spared.parse().expect("a number") {
        pass(gate);
    }
}
