//! A child that the program forked itself has a copy of the pool, without its threads: every use of it there is an
//! error at once.

use pool::StartMethod;

use crate::PROGRAM_FORKED;
use crate::support::Program;

crate::cases![
    every_call_there_is_refused,
    handles_from_before_are_refused,
    results_that_were_there_before_are_there,
    callbacks_run_where_the_pool_is_and_only_there,
    what_is_dropped_there_is_not_missed,
    it_may_have_a_pool_of_its_own,
    a_call_that_is_going_on_there_fails,
];

fn every_call_there_is_refused(method: StartMethod) {
    Program::new(PROGRAM_FORKED, "calls", method).run().expect_success();
}

fn handles_from_before_are_refused(method: StartMethod) {
    Program::new(PROGRAM_FORKED, "handles", method).run().expect_success();
}

fn results_that_were_there_before_are_there(method: StartMethod) {
    Program::new(PROGRAM_FORKED, "results", method).run().expect_success();
}

fn callbacks_run_where_the_pool_is_and_only_there(method: StartMethod) {
    Program::new(PROGRAM_FORKED, "callbacks", method).run().expect_success();
}

fn what_is_dropped_there_is_not_missed(method: StartMethod) {
    Program::new(PROGRAM_FORKED, "drops", method).run().expect_success();
}

fn it_may_have_a_pool_of_its_own(method: StartMethod) {
    Program::new(PROGRAM_FORKED, "own_pool", method).run().expect_success();
}

fn a_call_that_is_going_on_there_fails(method: StartMethod) {
    Program::new(PROGRAM_FORKED, "going_on", method).run().expect_success();
}
