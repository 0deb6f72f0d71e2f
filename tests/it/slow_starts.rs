//! What a pool does while a new process takes long to start.

use std::fs;
use std::time::Duration;

use pool::{Error, Pool, StartMethod, pool_task};
use rustix::process::Signal;

use crate::support::report::scratch_path;
use crate::support::{Gate, Log, before_main, limited, processes, start, tasks, wait_until};

crate::cases![
    limits_are_kept_and_deaths_are_seen_while_a_program_hangs_before_main,
    limits_are_kept_and_deaths_are_seen_while_a_zygote_is_stopped,
    an_initializer_that_fails_while_others_start_is_the_error_of_every_call,
    nothing_has_a_name_while_a_program_loads,
];

/// Runs before the library's own constructor, which has no number.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static WAIT_IF_TOLD: extern "C" fn() = before_main::wait_if_told;

/// Executions that wait before `main`, while it lives.
struct Waiting {
    log: Log,
    gate: Gate,
}

impl Waiting {
    /// All but the next few.
    fn after(spared: usize) -> Self {
        let (log, gate) = (Log::new(), Gate::new());
        // SAFETY: only the standard library uses the environment here, under its lock.
        unsafe { std::env::set_var(before_main::WAIT, before_main::told(spared, &gate, &log)) };
        Self { log, gate }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { std::env::remove_var(before_main::WAIT) };
    }
}

/// Has one worker of three run too long, and another one die.
fn ends_items(pool: &Pool, hinder: impl FnOnce(u32)) {
    let (running, gate, lingering) = (Log::new(), Gate::new(), Log::new());
    let lost = pool.apply_async(limited::pid_gated, (running.path(), gate.path(), 1));
    running.wait_for(1);
    let victim = limited::pids(&running)[0];
    let idle = pool.worker_pids().into_iter().find(|pid| *pid != victim).expect("there are three");
    hinder(idle);
    let options = pool.options().timeout(Duration::from_millis(200));
    let timed_out = options.apply_async(tasks::linger, (lingering.path(),)).get().unwrap_err();
    assert!(matches!(timed_out, Error::TimedOut { .. }), "{timed_out}");
    wait_until("its worker is gone", || !processes::is_alive(limited::pids(&lingering)[0]));
    processes::kill(victim);
    let error = lost.get().unwrap_err();
    assert!(matches!(error, Error::WorkerLost { pid, .. } if pid == victim), "{error}");
}

fn works_again(pool: &Pool) {
    wait_until("all workers are there", || pool.worker_pids().len() == 3);
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
}

fn limits_are_kept_and_deaths_are_seen_while_a_program_hangs_before_main(method: StartMethod) {
    if method == StartMethod::Fork {
        // It executes nothing.
        return;
    }
    let pool = start(method, 3);
    let waiting = Waiting::after(0);
    ends_items(&pool, |idle| {
        processes::zygotes().into_iter().for_each(processes::kill);
        processes::kill(idle);
        waiting.log.wait_for(1);
    });
    let started = limited::pids(&waiting.log);
    assert_eq!(started.len(), 1, "no other was started meanwhile");
    assert!(processes::is_alive(started[0]), "it was still waited for");
    drop(waiting);
    works_again(&pool);
}

fn limits_are_kept_and_deaths_are_seen_while_a_zygote_is_stopped(method: StartMethod) {
    if method == StartMethod::Spawn {
        // It has none.
        return;
    }
    let pool = start(method, 3);
    let mut zygotes = Vec::new();
    wait_until("the zygotes are there", || {
        zygotes = processes::zygotes_of(&pool, method).unwrap_or_default();
        !zygotes.is_empty()
    });
    ends_items(&pool, |idle| {
        for zygote in &zygotes {
            processes::signal(*zygote, Signal::STOP);
            wait_until("it is stopped", || processes::is_stopped(*zygote));
        }
        processes::kill(idle);
        wait_until("its end was seen", || !pool.worker_pids().contains(&idle));
    });
    assert!(zygotes.iter().all(|zygote| processes::is_stopped(*zygote)), "they were still waited for");
    zygotes.iter().for_each(|zygote| processes::signal(*zygote, Signal::CONT));
    works_again(&pool);
}

#[pool_task]
fn refuses() {
    panic!("cannot begin");
}

fn an_initializer_that_fails_while_others_start_is_the_error_of_every_call(method: StartMethod) {
    // Under `Spawn` two workers fail while the third one loads.
    let _waiting = Waiting::after(2);
    let pool = Pool::builder().start_method(method).workers(4).initializer(refuses, ()).build().unwrap();
    let error = pool.apply(tasks::square, (3,)).unwrap_err();
    assert!(
        matches!(&error, Error::Initializer { reason, .. } if reason.contains("cannot begin")),
        "{error}"
    );
    wait_until("no process is left", || processes::children().is_empty());
}

fn nothing_has_a_name_while_a_program_loads(method: StartMethod) {
    if method == StartMethod::Fork {
        // It executes nothing.
        return;
    }
    let directory = scratch_path("sockets");
    fs::create_dir(&directory).unwrap();
    // SAFETY: only the standard library uses the environment here, under its lock.
    unsafe { std::env::set_var("TMPDIR", &directory) };
    let waiting = Waiting::after(0);
    let build = std::thread::spawn(move || Pool::builder().start_method(method).workers(1).build());
    waiting.log.wait_for(1);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    waiting.gate.open();
    let pool = build.join().unwrap().unwrap();
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}
