//! There are no more processes, threads, descriptors or memory: when the pool is built, or later.
//!
//! A full `/dev/shm` is no such fault: shared memory is made without a name and outside of it, which the census of every case
//! confirms.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pool::StartMethod;

use crate::PROGRAM_SCARCE;
use crate::support::Program;
use crate::support::report::scratch_path;

crate::cases![
    a_pool_that_may_have_no_process_is_an_error_and_leaves_nothing,
    workers_that_may_not_be_replaced_leave_the_work_to_others,
    a_callback_that_can_have_no_thread_is_an_error,
    a_pool_that_may_have_no_descriptor_is_an_error_and_leaves_nothing,
    workers_for_whom_there_is_no_descriptor_leave_the_work_to_others,
    a_large_value_for_which_there_is_no_descriptor_fails_alone,
    a_pool_that_may_have_no_memory_is_an_error_and_leaves_nothing,
    a_pool_that_may_have_too_little_memory_for_threads_is_an_error_and_leaves_nothing,
    a_pool_of_more_workers_than_there_is_memory_for_is_an_error_and_leaves_nothing,
    a_large_value_for_which_there_is_no_memory_fails_alone,
    a_large_value_over_the_limit_on_files_fails_alone,
];

fn run(scenario: &str, method: StartMethod) {
    Program::new(PROGRAM_SCARCE, scenario, method).run().expect_success();
}

/// Runs a scenario in which memory for small things must be had though there is none for large ones.
fn run_with_one_heap(scenario: &str, method: StartMethod) {
    Program::new(PROGRAM_SCARCE, scenario, method).env("MALLOC_ARENA_MAX", "1").run().expect_success();
}

/// Runs a scenario that becomes another user, who must be allowed to execute the program.
fn run_as_other(scenario: &str, method: StartMethod) {
    let copy = scratch_path("program");
    fs::copy(PROGRAM_SCARCE, &copy).unwrap();
    let scratch = PathBuf::from(std::env::var_os("IT_SCRATCH").expect("every case has one"));
    // The directories are the case's own; a strict umask closes them to others.
    for path in [scratch.parent().unwrap(), &scratch, &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    Program::new(copy.to_str().unwrap(), scenario, method).run().expect_success();
}

fn a_pool_that_may_have_no_process_is_an_error_and_leaves_nothing(method: StartMethod) {
    run_as_other("processes_at_build", method);
}

fn workers_that_may_not_be_replaced_leave_the_work_to_others(method: StartMethod) {
    run_as_other("processes_later", method);
}

fn a_callback_that_can_have_no_thread_is_an_error(method: StartMethod) {
    run_as_other("threads_for_callbacks", method);
}

fn a_pool_that_may_have_no_descriptor_is_an_error_and_leaves_nothing(method: StartMethod) {
    run("descriptors_at_build", method);
}

fn workers_for_whom_there_is_no_descriptor_leave_the_work_to_others(method: StartMethod) {
    run("descriptors_later", method);
}

fn a_large_value_for_which_there_is_no_descriptor_fails_alone(method: StartMethod) {
    run("descriptors_for_segments", method);
}

fn a_pool_that_may_have_too_little_memory_for_threads_is_an_error_and_leaves_nothing(method: StartMethod) {
    run_with_one_heap("address_space_for_few_threads", method);
    run_with_one_heap("address_space_for_some_threads", method);
}

fn a_pool_that_may_have_no_memory_is_an_error_and_leaves_nothing(method: StartMethod) {
    run_with_one_heap("address_space_at_build", method);
}

fn a_pool_of_more_workers_than_there_is_memory_for_is_an_error_and_leaves_nothing(method: StartMethod) {
    run("address_space_for_many_places", method);
}

fn a_large_value_for_which_there_is_no_memory_fails_alone(method: StartMethod) {
    run_with_one_heap("address_space_for_segments", method);
}

fn a_large_value_over_the_limit_on_files_fails_alone(method: StartMethod) {
    run("short_files", method);
}
