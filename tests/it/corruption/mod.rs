//! Workers that go wrong and live: they write where they should not, and say what makes no sense.
//!
//! What a worker can reach of its connection is its half of the link (the parent's is read-only there), the shared page of
//! the parent's bell, the segments that it was granted, and the descriptors behind all that. Every round does one kind of
//! damage there with random bytes. Whatever comes of it: the item that did it ends, and if it ends well its value is
//! right; a job that runs meanwhile and one that follows are right; all workers are there again.

mod damage;
mod memory;

use std::time::{Duration, Instant};

use pool::{Error, Exit, Part, Pool, StartMethod, pool_task};

use crate::support::{Gate, Log, Random, processes, start, tasks, wait_until};
use damage::{Damage, End};

crate::cases![
    a_half_of_a_link_may_be_overwritten,
    a_control_page_may_be_overwritten,
    single_counters_may_be_overwritten,
    a_ring_of_results_may_be_overwritten,
    frames_may_be_forged,
    last_words_may_be_overwritten,
    memory_may_be_overwritten_after_the_item_ended,
    segments_may_be_overwritten,
    segments_may_be_wanted_and_given_back_without_sense,
    nonsense_may_be_sent_over_every_socket,
    sockets_may_be_shut_down,
    descriptors_may_be_closed,
    no_region_can_be_made_shorter_or_longer,
    a_worker_that_forges_a_refusal_does_not_end_the_pool,
    a_worker_that_forges_results_is_given_up_with_the_reason,
    an_item_whose_worker_forgot_what_it_ran_is_not_run_again,
];

/// Does damage, then returns the number or ends the process.
#[pool_task]
fn damages(damage: Damage, end: End, seed: usize, n: u64) -> u64 {
    damage::run(damage, seed);
    end.run();
    n
}

/// Two workers, of which one is held up by a bystander while items go wrong in the other.
struct Stage {
    pool: Pool,
    random: Random,
}

impl Stage {
    fn new(method: StartMethod) -> Self {
        Self { pool: start(method, 2), random: Random::new() }
    }

    fn rounds(&mut self, rounds: usize, damage: Damage) {
        for round in 0..rounds {
            let seed = self.random.below(1 << 30);
            let end = End::any(&mut self.random);
            self.round(damage, end, seed, |result| match result {
                // Forged frames may say anything of the item itself.
                _ if damage == Damage::Forged => {}
                Ok(n) => assert_eq!((*n, end), (7, End::Well)),
                Err(Error::WorkerLost { .. }) => {}
                Err(error) => panic!("round {round}, seed {seed}, {end:?}: {error:?}"),
            });
        }
    }

    /// One item does the damage while a bystander waits; then comes a job as any other.
    fn round(&mut self, damage: Damage, end: End, seed: usize, check: impl FnOnce(&pool::Result<u64>)) {
        let (pool, gate, log) = (&self.pool, Gate::new(), Log::new());
        let bystander = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 5));
        log.wait_for(1);
        let mut wrong = pool.apply_async(damages, (damage, end, seed, 7));
        let mut result = None;
        wait_until(&format!("the end of the item: {damage:?}, {end:?}, seed {seed}"), || {
            result = wrong.get_timeout(Duration::from_millis(100));
            result.is_some()
        });
        check(&result.expect("it was waited for"));
        if damage == Damage::Forged {
            // If it was taken for the answer, the worker is found out at the next.
            self.run_some();
        }
        self.settle();
        gate.open();
        assert_eq!(bystander.get().unwrap(), 5, "{damage:?}, {end:?}, seed {seed}");
        let squares: Vec<u64> = (0..100).map(|n| n * n).collect();
        assert_eq!(
            self.pool.map(tasks::square, 0..100).unwrap(),
            squares,
            "{damage:?}, {end:?}, seed {seed}"
        );
        let start = Instant::now();
        match self.pool.apply(tasks::bytes, (100_000,)) {
            Ok(bytes) => assert_eq!(bytes, vec![7; 100_000]),
            // A worker without its channels looks sound until it needs one.
            Err(Error::Encode { part: Part::Result, .. })
                if matches!(damage, Damage::Shutdown | Damage::Closed) => {}
            // It has a second to find out by itself.
            Err(Error::WorkerLost { exit: Exit::Corrupt(reason), .. })
                if matches!(damage, Damage::Shutdown | Damage::Closed)
                    && start.elapsed() > Duration::from_secs(1)
                    && reason == "its control channel is closed" => {}
            Err(error) => panic!("{damage:?}, {end:?}, seed {seed}: {error}"),
        }
        self.settle();
    }

    /// Runs items one by one. A worker that is still doing damage may lose those that it is given, or change their results
    /// on the way, which nobody can tell.
    fn run_some(&self) {
        let items = self.pool.options().chunk_size(1).imap(tasks::square, 0..20);
        assert_eq!(items.count(), 20);
    }

    /// Waits until all workers are there.
    fn settle(&self) {
        wait_until("all workers are there", || {
            let pids = self.pool.worker_pids();
            pids.len() == 2 && pids.into_iter().all(processes::is_alive)
        });
    }
}

fn a_half_of_a_link_may_be_overwritten(method: StartMethod) {
    Stage::new(method).rounds(40, Damage::Half);
}

fn a_control_page_may_be_overwritten(method: StartMethod) {
    Stage::new(method).rounds(40, Damage::ControlPage);
}

fn single_counters_may_be_overwritten(method: StartMethod) {
    Stage::new(method).rounds(100, Damage::Counter);
}

fn a_ring_of_results_may_be_overwritten(method: StartMethod) {
    Stage::new(method).rounds(40, Damage::Results);
}

fn frames_may_be_forged(method: StartMethod) {
    Stage::new(method).rounds(100, Damage::Forged);
}

fn last_words_may_be_overwritten(method: StartMethod) {
    let mut stage = Stage::new(method);
    for _ in 0..40 {
        let seed = stage.random.below(1 << 30);
        stage.round(Damage::LastWords, End::Abort, seed, |result| {
            let Err(Error::WorkerLost { exit, report, .. }) = result else { panic!("{result:?}") };
            assert_eq!(*exit, Exit::Signal(6));
            // Whatever it says, it can be shown.
            assert!(report.to_string().len() < 20_000);
        });
    }
}

fn memory_may_be_overwritten_after_the_item_ended(method: StartMethod) {
    let mut stage = Stage::new(method);
    for _ in 0..30 {
        let seed = stage.random.below(1 << 30);
        let before = stage.pool.worker_pids();
        let result = stage.pool.apply(damages, (Damage::Later, End::Well, seed, 7));
        assert!(matches!(result, Ok(7) | Err(Error::WorkerLost { .. })), "seed {seed}: {result:?}");
        stage.run_some();
        wait_until("the thread's end, or the worker's", || {
            let threads = |pid| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
            before.iter().all(|pid| !stage.pool.worker_pids().contains(pid) || threads(pid) <= 1)
        });
        stage.settle();
    }
    assert_eq!(stage.pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
}

/// Has the worker of the next item hold segments.
fn with_segments(stage: &Stage) {
    let large = stage.pool.options().chunk_size(1).map(tasks::bytes, [100_000, 200_000, 50_000, 300_000]);
    assert_eq!(large.unwrap().len(), 4);
}

fn segments_may_be_overwritten(method: StartMethod) {
    let mut stage = Stage::new(method);
    for _ in 0..10 {
        with_segments(&stage);
        stage.rounds(3, Damage::Segments);
    }
}

fn segments_may_be_wanted_and_given_back_without_sense(method: StartMethod) {
    let mut stage = Stage::new(method);
    for _ in 0..10 {
        with_segments(&stage);
        stage.rounds(3, Damage::Wants);
    }
}

fn nonsense_may_be_sent_over_every_socket(method: StartMethod) {
    Stage::new(method).rounds(50, Damage::Sockets);
}

fn sockets_may_be_shut_down(method: StartMethod) {
    let mut stage = Stage::new(method);
    for _ in 0..10 {
        stage.rounds(1, Damage::Shutdown);
        large_arguments_arrive(&stage);
    }
}

fn descriptors_may_be_closed(method: StartMethod) {
    let mut stage = Stage::new(method);
    for _ in 0..10 {
        stage.rounds(1, Damage::Closed);
        large_arguments_arrive(&stage);
    }
}

/// Also where a worker that looks sound takes no segments any more. It is given up, and another one gets the items.
fn large_arguments_arrive(stage: &Stage) {
    let block = vec![1; 100_000];
    let results: pool::Result<Vec<_>> = stage.pool.imap(tasks::length, [&block[..]; 4]).collect();
    assert_eq!(results.unwrap(), [100_000; 4]);
}

fn no_region_can_be_made_shorter_or_longer(method: StartMethod) {
    let mut stage = Stage::new(method);
    for _ in 0..3 {
        with_segments(&stage);
        let seed = stage.random.below(1 << 30);
        stage.round(Damage::Truncated, End::Well, seed, |result| assert_eq!(*result.as_ref().unwrap(), 7));
    }
}

/// Says that the initializer failed, though the worker is long past it.
#[pool_task]
fn forges_a_refusal() {
    let memory = memory::find();
    let refusal = damage::Frame { kind: damage::REFUSED, ..damage::Frame::default() };
    damage::forge(&memory, &refusal.entry(5, 6, 0, b"never"));
    crate::support::report::linger();
}

/// The reason for which a worker was given up.
fn corruption(error: Error) -> String {
    let Error::WorkerLost { exit: Exit::Corrupt(reason), .. } = error else { panic!("{error:?}") };
    reason
}

fn a_worker_that_forges_a_refusal_does_not_end_the_pool(method: StartMethod) {
    let stage = Stage::new(method);
    let reason = corruption(stage.pool.apply(forges_a_refusal, ()).unwrap_err());
    assert!(reason.contains("Refused"), "{reason}");
    stage.settle();
    assert_eq!(stage.pool.apply(tasks::square, (3,)).unwrap(), 9);
}

/// Answers items that nobody asked it about.
#[pool_task]
fn forges_results() {
    let memory = memory::find();
    let (chunk, _) = damage::running(&memory);
    let frame = damage::Frame { kind: damage::DONE, chunk: chunk + 1, ..damage::Frame::default() };
    damage::forge(&memory, &frame.entry(0, 0, 0, b""));
    crate::support::report::linger();
}

fn a_worker_that_forges_results_is_given_up_with_the_reason(method: StartMethod) {
    let stage = Stage::new(method);
    let error = stage.pool.apply(forges_results, ()).unwrap_err();
    assert!(error.to_string().contains("was lost while running item 0"), "{error}");
    let reason = corruption(error);
    assert!(reason.contains("was due"), "{reason}");
    stage.settle();
    assert_eq!(stage.pool.apply(tasks::square, (3,)).unwrap(), 9);
}

/// Notes that it ran; then the worker forgets what it ran, and dies.
#[pool_task]
fn forgets_and_dies(log: &str, word: u64, n: u64) -> u64 {
    crate::support::note(log, n);
    if n == 2 {
        let memory = memory::find();
        memory.half.write(damage::RUNNING, &word.to_le_bytes());
        tasks::end_process("segv");
    }
    n
}

fn an_item_whose_worker_forgot_what_it_ran_is_not_run_again(method: StartMethod) {
    let stage = Stage::new(method);
    for word in [0, 1, u64::MAX, 77 << 32, 1 << 63, u64::from(u32::MAX) - 7] {
        let log = Log::new();
        let items = (0..5).map(|n| (log.path(), word, n));
        let results: Vec<_> = stage.pool.options().chunk_size(1).istarmap(forgets_and_dies, items).collect();
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1, "{results:?}");
        assert!(matches!(results[2], Err(Error::WorkerLost { .. })), "{results:?}");
        assert_eq!(log.sorted(), [0, 1, 2, 3, 4]);
    }
}
