//! Kills and stops processes of the pools from outside, at random moments.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pool::StartMethod;
use rustix::process::{Pid, Signal, kill_process};

use crate::Entry;
use crate::census;
use crate::random::Random;
use crate::round::{Facts, Round, lock};

/// A worker that was seen more recently may not be ready yet.
const YOUNG: Duration = Duration::from_millis(300);

pub(crate) fn run(round: &Round, pools: &crate::Pools, mut random: Random, method: StartMethod) {
    let mut first_seen = HashMap::new();
    let mut stopped: Vec<(u32, Instant)> = Vec::new();
    let pace = [8, 30, 100, 300][random.below(4) as usize];
    // Five in a row that never got ready are a pool's end. Most rounds leave it at fewer.
    let reckless = random.chance(15);
    while !round.is_over() {
        std::thread::sleep(Duration::from_micros(random.skewed(pace * 1000)));
        stopped.retain(|(pid, until)| {
            let due = *until <= Instant::now();
            if due {
                signal(*pid, Signal::CONT);
            }
            !due
        });
        let entries: Vec<Arc<Entry>> = lock(pools).clone();
        if entries.is_empty() {
            continue;
        }
        let entry = &entries[random.below(entries.len() as u64) as usize];
        let pids = entry.pool.worker_pids();
        for pid in &pids {
            first_seen.entry(*pid).or_insert_with(Instant::now);
        }
        let kill = |pid: u32, early_too: bool| {
            let is_young = first_seen.get(&pid).is_none_or(|seen: &Instant| seen.elapsed() < YOUNG);
            let spared = !reckless && entry.facts.early_kills.load(Ordering::SeqCst) >= 4;
            if is_young && (!early_too || spared) {
                return;
            }
            if is_young {
                entry.facts.early_kills.fetch_add(1, Ordering::SeqCst);
                round.totals.add("early_kills", 1);
            }
            round.will_kill(pid);
            if signal(pid, Signal::KILL) {
                round.totals.add("kills", 1);
            }
        };
        let victim = pids.get(random.below(pids.len() as u64) as usize).copied();
        match random.below(20) {
            0..=11 => {
                let early_too = random.chance(10);
                victim.into_iter().for_each(|pid| kill(pid, early_too));
            }
            12 => pids.iter().for_each(|pid| kill(*pid, true)),
            // `Fork` has two and can make none once both are gone, so there it is done less often.
            13 if method == StartMethod::ForkServer || method == StartMethod::Fork && random.chance(20) => {
                let children = census::children(std::process::id());
                let zygotes: Vec<_> =
                    children.iter().filter(|(_, child)| child.name == "pool-zygote").collect();
                if let Some((pid, _)) = zygotes.get(random.below(zygotes.len() as u64) as usize) {
                    entries.iter().for_each(|entry| {
                        let weight = if method == StartMethod::Fork { 3 } else { 1 };
                        entry.facts.zygote_kills.fetch_add(weight, Ordering::SeqCst);
                    });
                    // It may be a worker that has not yet got its name.
                    round.will_kill(**pid);
                    if random.chance(70) {
                        signal(**pid, Signal::KILL);
                        round.totals.add("zygote_kills", 1);
                    } else if signal(**pid, Signal::STOP) {
                        round.totals.add("zygote_stops", 1);
                        stopped.push((**pid, Instant::now() + Duration::from_millis(random.skewed(300))));
                    }
                }
            }
            _ => {
                if let Some(pid) = victim {
                    round.will_stop(pid);
                    let is_young = first_seen.get(&pid).is_none_or(|seen: &Instant| seen.elapsed() < YOUNG);
                    if entry.facts.is_timed && !is_young && random.chance(50) {
                        freeze(round, &entry.facts, pid);
                    } else if signal(pid, Signal::STOP) {
                        round.totals.add("stops", 1);
                        stopped.push((pid, Instant::now() + Duration::from_millis(random.skewed(300))));
                    }
                }
            }
        }
    }
    for (pid, _) in stopped {
        signal(pid, Signal::CONT);
    }
}

/// Stops a worker for good, unless its pool is about to be ended in good order.
fn freeze(round: &Round, facts: &Facts, pid: u32) {
    let mut frozen = lock(&facts.frozen);
    if !facts.closing.load(Ordering::SeqCst) && signal(pid, Signal::STOP) {
        round.totals.add("stops_for_good", 1);
        frozen.push(pid);
    }
}

/// Lets a pool's workers go on that were stopped for good, and sees to it that no more are.
pub(crate) fn thaw(facts: &Facts) {
    facts.closing.store(true, Ordering::SeqCst);
    for pid in lock(&facts.frozen).drain(..) {
        signal(pid, Signal::CONT);
    }
}

/// Sends a signal to a child of ours; false if it is none.
fn signal(pid: u32, signal: Signal) -> bool {
    let is_ours = census::look_at(pid).is_some_and(|(_, parent)| parent == std::process::id());
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| is_ours);
    target.is_some_and(|pid| kill_process(pid, signal).is_ok())
}
