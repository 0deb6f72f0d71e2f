//! `stress --seconds N --seed S --method fork_server|spawn|fork`: everything at once, for a while, and nothing may be lost.
//!
//! The default is a minute, a seed from the clock, and all methods in turn.
//!
//! Threads make random jobs on shared pools, while workers and zygotes are killed and stopped from outside and pools come
//! and go. It runs in rounds; after each, all processes are gone, and every item is accounted for. What the
//! tasks print goes to stdout, what the program has to say to stderr. Exit code 0 only if everything held.

mod random;
mod ledger;
mod tasks;
mod round;
mod judge;
mod plan;
mod jobs;
mod handles;
mod lazy;
mod chaos;
mod census;
mod watch;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pool::{Error, Pool, StartMethod};

use census::Census;
use jobs::Client;
use ledger::{Count, Ledger};
use random::Random;
use round::{Facts, Round, lock};

/// A pool in use.
struct Entry {
    pool: Pool,
    facts: Arc<Facts>,
}

type Pools = Mutex<Vec<Arc<Entry>>>;

struct Settings {
    seconds: u64,
    seed: u64,
    /// `None`: another one each round.
    method: Option<StartMethod>,
}

fn main() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(wrong) => {
            eprintln!("{wrong}\nusage: stress [--seconds N] [--seed S] [--method fork_server|spawn|fork]");
            return ExitCode::from(2);
        }
    };
    let methods = settings.method.map_or_else(|| "all".to_owned(), |method| format!("{method:?}"));
    eprintln!("stress: seed {} method {methods} for {} s", settings.seed, settings.seconds);
    let folder = std::env::temp_dir().join(format!("stress-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    // SAFETY: this process has one thread yet.
    unsafe { std::env::set_var("TMPDIR", &folder) };
    // The first backtrace of a worker reads this program's debug information, which takes longer than some items may.
    // SAFETY: as above.
    unsafe { std::env::set_var("RUST_BACKTRACE", "0") };
    // Tasks abort by the thousand. With 1 there is no core, and no program that cores are piped to; with 0 there may be.
    let none = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    tasks::prepare();

    let (ledger, file) = Ledger::make().expect("memory for the ledger");
    let handle = Ledger::handle(&file);
    let mut watcher = Command::new("/proc/self/exe")
        .args(["--watch", &handle.to_string()])
        .spawn()
        .expect("this program can be executed");
    let round = Arc::new(Round::new(ledger, handle));
    let mut random = Random::new(settings.seed);
    let end = Instant::now() + Duration::from_secs(settings.seconds);
    let mut rounds = 0usize;
    while Instant::now() < end && !round.broken.load(Ordering::SeqCst) {
        rounds += 1;
        let seed = random.next();
        let all = [StartMethod::ForkServer, StartMethod::Spawn, StartMethod::Fork];
        let method = settings.method.unwrap_or(all[rounds % all.len()]);
        one_round(method, &round, &folder, Random::new(seed), end);
        if round.broken.load(Ordering::SeqCst) {
            eprintln!("in round {rounds} under {method:?}, of seed {}", settings.seed);
        }
    }
    let count = |count| round.ledger.count(count).load(Ordering::Relaxed);
    eprintln!(
        "stress: seed {} method {methods}: rounds={rounds}{} initialized={} finalized={} most_descriptors={}: {}",
        settings.seed,
        round.totals,
        count(Count::Initialized),
        count(Count::Finalized),
        count(Count::MostDescriptors),
        if round.broken.load(Ordering::SeqCst) { "BROKEN" } else { "all held" },
    );
    let _ = watcher.kill();
    let _ = watcher.wait();
    let _ = std::fs::remove_dir_all(&folder);
    ExitCode::from(u8::from(round.broken.load(Ordering::SeqCst)))
}

fn settings() -> Result<Settings, String> {
    let mut settings = Settings { seconds: 60, seed: fresh_seed(), method: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{word} {value}: {error}"));
        match &*word {
            "--seconds" => settings.seconds = number()?,
            "--seed" => settings.seed = number()?,
            "--watch" => watch::watch(number()?),
            "--method" => {
                let method = match &*value {
                    "fork_server" => StartMethod::ForkServer,
                    "spawn" => StartMethod::Spawn,
                    "fork" => StartMethod::Fork,
                    _ => return Err(format!("no method {value}")),
                };
                settings.method = Some(method);
            }
            _ => return Err(format!("no option {word}")),
        }
    }
    Ok(settings)
}

fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_nanos() as u64 % 1_000_000_000)
}

fn one_round(method: StartMethod, round: &Arc<Round>, folder: &Path, mut random: Random, end: Instant) {
    let before = Census::take(folder);
    let is_fork = method == StartMethod::Fork;
    let calm = random.chance(20);
    let pools: Pools = Mutex::default();
    round.ledger.note(60, "building pools");
    // `Fork` copies this process, which must have one thread then; so there is one pool.
    for _ in 0..if is_fork { 1 } else { random.range(1, 3) } {
        pools.lock().expect("nobody else has it").extend(build(method, round, &mut random, true));
    }
    let until = (Instant::now() + Duration::from_millis(random.range(200, 4000))).min(end);
    round.ledger.note(60, "");
    std::thread::scope(|scope| {
        let killer = (!calm).then(|| {
            let random = random.split();
            scope.spawn(|| chaos::run(round, &pools, random, method))
        });
        let clients: Vec<_> = (0..random.range(1, 5) as usize)
            .map(|place| {
                let random = random.split();
                let pools = &pools;
                scope.spawn(move || client(method, round, pools, random, place, calm))
            })
            .collect();
        while Instant::now() < until && !round.is_over() && !lock(&pools).is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        round.stop.store(true, Ordering::SeqCst);
        if killer.is_some_and(|killer| killer.join().is_err()) {
            round.wrong("the killer panicked");
        }
        for client in clients {
            if client.join().is_err() {
                round.wrong("a client panicked");
            }
        }
    });
    let left = std::mem::take(&mut *lock(&pools));
    left.into_iter().for_each(|entry| finish_pool(round, entry, &mut random, None, 60));
    if let Err(difference) = before.await_return(folder) {
        round.wrong(&format!("the census is not clean, calm {calm}: {difference}"));
    }
    round.settle();
}

/// What one thread does in a round.
fn client(
    method: StartMethod,
    round: &Arc<Round>,
    pools: &Pools,
    mut random: Random,
    place: usize,
    calm: bool,
) {
    let mut client = Client::new(round.clone(), random.split(), place);
    // How often this one ends a pool, of ten thousand jobs.
    let restless = [0, 20, 300][random.below(3) as usize];
    while !round.is_over() {
        let entry = {
            let pools = lock(pools);
            let Some(entry) = pools.get(random.below(pools.len() as u64) as usize) else { break };
            entry.clone()
        };
        client.run_one(&entry.pool, &entry.facts, calm);
        if random.below(10_000) >= restless {
            continue;
        }
        if method != StartMethod::Fork {
            round.ledger.note(place, "building a pool");
            let Some(new) = build(method, round, &mut random, calm) else { continue };
            lock(pools).push(new);
        } else if !random.chance(10) {
            continue;
        }
        let old = {
            let mut pools = lock(pools);
            pools.iter().position(|other| Arc::ptr_eq(other, &entry)).map(|at| pools.swap_remove(at))
        };
        drop(entry);
        if let Some(old) = old {
            finish_pool(round, old, &mut random, Some(&client), place);
        }
    }
    client.finish();
}

fn build(method: StartMethod, round: &Round, random: &mut Random, calm: bool) -> Option<Arc<Entry>> {
    let workers = random.range(1, 4);
    let mut builder = Pool::builder().start_method(method).workers(workers as usize);
    let mut recycles_after = None;
    if random.chance(40) {
        let items = 1 + random.skewed(500);
        recycles_after = Some(items);
        builder = builder.max_tasks_per_worker(items);
    }
    if random.chance(60) {
        builder = builder.initializer(tasks::hello, (round.handle,));
    }
    if random.chance(40) {
        builder = builder.finalizer(tasks::bye, (round.handle,));
    }
    let is_timed = random.chance(30);
    round.ledger.progress();
    match builder.build() {
        Ok(pool) => {
            round.totals.add("pools", 1);
            round.totals.add("workers_asked_for", workers);
            let facts = Facts { recycles_after, is_timed, ..Facts::default() };
            Some(Arc::new(Entry { pool, facts: Arc::new(facts) }))
        }
        Err(error) => {
            // Its zygote may have been killed.
            round.totals.add("builds_failed", 1);
            if calm || !matches!(error, Error::Spawn { .. }) {
                round.wrong(&format!("a pool could not be built: {error:?}"));
            }
            None
        }
    }
}

/// Ends a pool in one of the ways.
fn finish_pool(round: &Round, entry: Arc<Entry>, random: &mut Random, client: Option<&Client>, place: usize) {
    let facts = entry.facts.clone();
    let terminating = &facts.terminating;
    let start = Instant::now();
    let way = random.below(5);
    round
        .ledger
        .note(place, ["drop", "terminate, join", "close, join", "close, join", "close, drop"][way as usize]);
    let join = |how: &str| {
        if let Err(error) = entry.pool.join() {
            let hurt = facts.may_be_hopeless();
            if !(hurt && matches!(error, Error::Spawn { .. } | Error::Initializer { .. })) {
                round.wrong(&format!("join after {how} returned {error:?}"));
            }
        }
    };
    match way {
        0 => terminating.store(true, Ordering::SeqCst),
        1 => {
            terminating.store(true, Ordering::SeqCst);
            entry.pool.terminate();
            if random.chance(50) {
                join("terminate");
            }
        }
        2 | 3 => {
            chaos::thaw(&facts);
            entry.pool.close();
            join("close");
            if let Some(client) = client {
                client.check_joined(&facts);
            }
            handles::judge_orphans(round, &facts);
        }
        _ => {
            chaos::thaw(&facts);
            entry.pool.close();
            terminating.store(true, Ordering::SeqCst);
        }
    }
    drop(entry);
    if start.elapsed() > Duration::from_secs(2) {
        round.totals.add("slow_ends", 1);
        eprintln!("slow: {:?} to end a pool, way {way}", start.elapsed());
    }
    round.ledger.progress();
    round.ledger.note(place, "");
}
