//! How processes become workers.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

use pool::{Error, Pool, StartMethod, pool_task};

use crate::support::census::Census;
use crate::support::report::scratch_path;
use crate::support::{Log, Program, drop_in_time, processes, start, tasks, wait_until};
use crate::{PROGRAM, PROGRAM_WITH_MAIN, PROGRAM_WITH_TWINS};

crate::cases![
    memory_of_the_parent_is_there_under_fork_only,
    memory_of_the_parent_is_there_in_replaced_workers_under_fork,
    fork_is_refused_while_other_threads_live,
    a_pool_can_be_built_right_after_another_is_gone,
    a_pool_lives_on_when_the_thread_that_built_it_ends,
    workers_do_not_run_main,
    workers_begin_in_a_marked_main,
    the_file_of_the_program_may_be_replaced,
    two_tasks_of_one_name_are_refused,
    a_stranger_in_the_environment_never_reaches_main,
    tasks_see_directory_and_environment_of_the_program,
    workers_do_not_inherit_the_invitation,
    what_tasks_print_is_flushed_when_workers_leave,
    what_the_program_printed_is_not_printed_again,
    ctrl_c_is_left_to_the_program,
    who_uses_the_terminal_is_not_stopped,
    a_program_with_raised_rights_is_not_executed_again,
    workers_have_no_descriptor_of_the_program,
    a_program_that_exits_leaves_nothing,
    a_program_that_ignores_its_children_works,
    closed_standard_streams_do_no_harm,
    a_long_path_for_temporary_files_works_or_is_told,
    an_empty_name_for_temporary_files_is_the_current_directory,
    a_missing_directory_for_temporary_files_works_or_is_told,
    a_directory_for_temporary_files_that_is_not_utf_8_works_or_is_told,
];

static WORD: OnceLock<String> = OnceLock::new();

#[pool_task]
fn word() -> Option<String> {
    WORD.get().cloned()
}

fn memory_of_the_parent_is_there_under_fork_only(method: StartMethod) {
    WORD.set("loaded before".to_owned()).unwrap();
    let pool = start(method, 1);
    let expected = (method == StartMethod::Fork).then(|| "loaded before".to_owned());
    assert_eq!(pool.apply(word, ()).unwrap(), expected);
}

fn memory_of_the_parent_is_there_in_replaced_workers_under_fork(method: StartMethod) {
    Program::new(PROGRAM, "big_image", method).run().expect_success();
}

fn fork_is_refused_while_other_threads_live(method: StartMethod) {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || receiver.recv());
    let built = Pool::builder().start_method(method).workers(1).build();
    match method {
        StartMethod::Fork => {
            let error = built.unwrap_err();
            assert!(matches!(error, Error::InvalidOption { option: "start_method", .. }));
            assert!(error.to_string().contains("one thread, and this one has 2"), "{error}");
        }
        _ => assert_eq!(built.unwrap().apply(tasks::square, (3,)).unwrap(), 9),
    }
    drop(sender);
    let _ = other.join().unwrap();
}

fn a_pool_can_be_built_right_after_another_is_gone(method: StartMethod) {
    for _ in 0..50 {
        let pool = start(method, 1);
        assert_eq!(pool.apply_async(tasks::square, (3,)).inspect(|_| {}).get().unwrap(), 9);
        if !drop_in_time(pool) {
            // Then it may have left threads behind, and `Fork` wants a process that has only one.
            wait_until("they are gone", || method != StartMethod::Fork || Census::take().threads() == 1);
        }
    }
}

fn a_pool_lives_on_when_the_thread_that_built_it_ends(method: StartMethod) {
    if method == StartMethod::Fork {
        return;
    }
    let pool = std::thread::spawn(move || start(method, 2)).join().unwrap();
    let pids = pool.worker_pids();
    for _ in 0..20 {
        assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    }
    assert_eq!(pool.worker_pids(), pids);
    assert!(pids.iter().all(|pid| processes::is_alive(*pid)));
}

fn workers_do_not_run_main(method: StartMethod) {
    let log = Log::new();
    Program::new(PROGRAM, "calls_main_once", method).arg(log.path()).run().expect_success();
    assert_eq!(log.lines(), ["main"]);
}

fn workers_begin_in_a_marked_main(method: StartMethod) {
    let log = Log::new();
    Program::new(PROGRAM_WITH_MAIN, "", method).arg(log.path()).run().expect_success();
    assert_eq!(log.lines(), ["main"]);
}

fn the_file_of_the_program_may_be_replaced(method: StartMethod) {
    let copy = scratch_path("program");
    fs::copy(PROGRAM, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    Program::new(copy.to_str().unwrap(), "deletes_itself", method).run().expect_success();
}

fn two_tasks_of_one_name_are_refused(method: StartMethod) {
    Program::new(PROGRAM_WITH_TWINS, "", method).run().expect_success();
}

fn a_stranger_in_the_environment_never_reaches_main(method: StartMethod) {
    let log = Log::new();
    for value in ["", "nonsense", "1 1 0 /nowhere", &format!("{} 1 0 /nowhere", std::process::id())] {
        let program = Program::new(PROGRAM, "calls_main_once", method).arg(log.path());
        let ended = program.env("POOL_SERVE", value).run();
        assert!(!ended.status.success(), "{value:?}");
    }
    assert!(log.lines().is_empty());
}

#[pool_task]
fn surroundings() -> (String, Option<String>, Option<String>) {
    let variable = |name| std::env::var(name).ok();
    (std::env::current_dir().unwrap().display().to_string(), variable("IT_SCRATCH"), variable("POOL_SERVE"))
}

fn tasks_see_directory_and_environment_of_the_program(method: StartMethod) {
    let directory = scratch_path("directory");
    fs::create_dir(&directory).unwrap();
    std::env::set_current_dir(&directory).unwrap();
    let pool = start(method, 1);
    let (seen, scratch, _) = pool.apply(surroundings, ()).unwrap();
    assert_eq!(seen, directory.display().to_string());
    assert_eq!(scratch, std::env::var("IT_SCRATCH").ok());
}

fn workers_do_not_inherit_the_invitation(method: StartMethod) {
    assert_eq!(start(method, 1).apply(surroundings, ()).unwrap().2, None);
}

fn what_tasks_print_is_flushed_when_workers_leave(method: StartMethod) {
    for (scenario, tasks) in [("prints", 10), ("prints_and_forgets", 4)] {
        let ended = Program::new(PROGRAM, scenario, method).run().expect_success();
        for n in 0..tasks {
            assert_eq!(ended.stdout.matches(&format!("task {n} says so;")).count(), 1, "{:?}", ended.stdout);
        }
    }
}

fn what_the_program_printed_is_not_printed_again(method: StartMethod) {
    let ended = Program::new(PROGRAM, "partial_line", method).run().expect_success();
    assert_eq!(ended.stdout.matches("once;").count(), 1, "{:?}", ended.stdout);
}

fn ctrl_c_is_left_to_the_program(method: StartMethod) {
    Program::new(PROGRAM, "interrupted", method).run().expect_success();
    // Tasks are in no group that a terminal's Ctrl-C reaches.
    let pool = start(method, 2);
    for pid in pool.worker_pids() {
        crate::support::wait_until("workers lead groups of their own", || {
            rustix::process::getpgid(rustix::process::Pid::from_raw(pid as i32)).unwrap().as_raw_pid()
                == pid as i32
        });
    }
}

fn who_uses_the_terminal_is_not_stopped(method: StartMethod) {
    let (mut ours, mut theirs) = (-1, -1);
    let none = std::ptr::null_mut::<libc::c_char>();
    // SAFETY: it stores two descriptors, and the terminal is as it comes.
    let opened = unsafe {
        libc::openpty(&raw mut ours, &raw mut theirs, none, std::ptr::null_mut(), std::ptr::null_mut())
    };
    assert_eq!(opened, 0, "a terminal can be had");
    // SAFETY: both were just opened.
    let _ours = unsafe { OwnedFd::from_raw_fd(ours) };
    // SAFETY: as above.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    Program::new(PROGRAM, "uses_the_terminal", method).on_terminal(theirs).run().expect_success();
}

fn a_program_with_raised_rights_is_not_executed_again(method: StartMethod) {
    if !rustix::process::getuid().is_root() {
        eprintln!("not run, because it takes root to make a program that has its rights");
        return;
    }
    let (copy, log) = (scratch_path("program"), Log::new());
    fs::copy(PROGRAM, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    let program = Program::new(copy.to_str().unwrap(), "has_raised_rights", method).arg(log.path());
    program.as_user(65534).run().expect_success();
    assert_eq!(log.lines(), ["main"]);
    let log = Log::new();
    Program::new(PROGRAM, "has_lowered_rights", method).arg(log.path()).run().expect_success();
    assert_eq!(log.lines(), ["main"]);
}

#[pool_task]
fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries.flat_map(|entry| fs::read_link(entry.path())).map(|path| path.display().to_string()).collect()
}

fn workers_have_no_descriptor_of_the_program(method: StartMethod) {
    let found = start(method, 2).apply(descriptors, ()).unwrap();
    assert!(found.iter().any(|name| name == "/dev/null"), "stdin: {found:?}");
    // How the supervisor is woken; and what an executed process found its parent by.
    assert!(!found.iter().any(|name| name.contains("[eventfd]") || name.contains(".tmp")), "{found:?}");
}

fn a_program_that_exits_leaves_nothing(method: StartMethod) {
    Program::new(PROGRAM, "exits_with_a_pool_in_a_static", method).run().expect_success();
}

fn a_program_that_ignores_its_children_works(method: StartMethod) {
    Program::new(PROGRAM, "ignores_children", method).run().expect_success();
}

fn closed_standard_streams_do_no_harm(method: StartMethod) {
    let log = Log::new();
    Program::new(PROGRAM, "closed_standard_streams", method).arg(log.path()).run().expect_success();
    assert_eq!(log.lines(), ["done"]);
}

fn a_long_path_for_temporary_files_works_or_is_told(method: StartMethod) {
    let parent = scratch_path("");
    fs::create_dir(&parent).unwrap();
    // A socket's name has 107 bytes at the most, and 18 of them come after the directory's.
    for length in [80, 89, 90, 95, 96, 97, 106, 107, 150] {
        let base = parent.to_str().unwrap().len() + 1;
        assert!(base < 80, "{parent:?} leaves room for names");
        let directory = parent.join("y".repeat(length - base));
        fs::create_dir(&directory).unwrap();
        for _ in 0..2 {
            let ended = Program::new(PROGRAM, "builds", method).env("TMPDIR", &directory).run();
            let fits = length <= 89 || method == StartMethod::Fork;
            assert_eq!(ended.status.success(), fits, "{length}: {}", ended.stderr);
            assert!(fits || ended.stderr.contains("TMPDIR is too long"), "{length}: {}", ended.stderr);
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(directory).unwrap();
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 0, "nothing beside it");
    }
}

fn a_directory_for_temporary_files_that_is_not_utf_8_works_or_is_told(method: StartMethod) {
    let directory = scratch_path("directory").join(OsStr::from_bytes(b"\xff"));
    fs::create_dir_all(&directory).unwrap();
    let ended = Program::new(PROGRAM, "builds", method).env("TMPDIR", &directory).run();
    assert_eq!(ended.status.success(), method == StartMethod::Fork, "{}", ended.stderr);
    assert!(ended.status.success() || ended.stderr.contains("TMPDIR is not UTF-8"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("pool-supervisor"), "no thread of ours panicked: {}", ended.stderr);
}

fn an_empty_name_for_temporary_files_is_the_current_directory(method: StartMethod) {
    Program::new(PROGRAM, "builds", method).env("TMPDIR", "").run().expect_success();
}

fn a_missing_directory_for_temporary_files_works_or_is_told(method: StartMethod) {
    let ended = Program::new(PROGRAM, "builds", method).env("TMPDIR", "/nowhere").run();
    assert!(ended.status.success() || ended.stderr.contains("Spawn"), "{} {}", ended.status, ended.stderr);
}
