//! A process of its own that watches the program: if nothing moves for half a minute, it shows the stacks and ends it.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::census;
use crate::ledger::{Count, Ledger};

const PATIENCE: Duration = Duration::from_secs(30);

/// Watches the process that made this one, and returns never.
pub(crate) fn watch(handle: u64) -> ! {
    let parent = (handle >> 32) as u32;
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let Ok(ledger) = Ledger::open(handle) else { std::process::exit(1) };
    let progress = || ledger.count(Count::Progress).load(Ordering::Relaxed);
    let mut told = false;
    let (mut last, mut since) = (progress(), Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(500));
        if progress() != last {
            (last, since) = (progress(), Instant::now());
        }
        // Dropping waits for nobody's work.
        if !told && ledger.notes().iter().any(|(_, millis, text)| text == "drop" && *millis > 1000) {
            told = true;
            // No stacks: to show them would stop processes for longer than items may take.
            report(parent, &ledger);
        }
        let stuck = ledger.notes().into_iter().any(|(_, millis, _)| millis > 2 * PATIENCE.as_millis() as u64);
        if stuck || since.elapsed() > PATIENCE {
            eprintln!("HANG: no progress for {PATIENCE:?}");
            report(parent, &ledger);
            show_stacks(parent);
            if std::env::var_os("STRESS_KEEP").is_some() {
                eprintln!("HANG: process {parent} is left as it is");
                loop {
                    std::thread::sleep(PATIENCE);
                }
            }
            let _ =
                i32::try_from(parent).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL));
            std::process::exit(3);
        }
    }
}

fn report(parent: u32, ledger: &Ledger) {
    eprintln!("what takes so long:");
    for (place, millis, text) in ledger.notes() {
        eprintln!("  thread {place}: for {millis} ms: {text}");
    }
    for (pid, child) in census::children(parent) {
        eprintln!("  child {pid}: {} {}", child.name, child.state);
    }
}

fn show_stacks(parent: u32) {
    let children = census::children(parent);
    let workers = children.iter().filter(|(_, child)| child.name.starts_with("pool") && child.state != 'Z');
    for pid in std::iter::once(parent).chain(workers.map(|(pid, _)| *pid).take(5)) {
        eprintln!("-- stacks of {pid}");
        let stacks = Command::new("gdb")
            .args(["-q", "-batch", "-p", &pid.to_string(), "-ex", "thread apply all bt 24"])
            .output();
        match stacks {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                text.lines()
                    .filter(|line| line.starts_with('#') || line.starts_with("Thread"))
                    .for_each(|line| eprintln!("{line}"));
            }
            Err(error) => eprintln!("no gdb: {error}"),
        }
    }
}
