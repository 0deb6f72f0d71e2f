//! The driver over links in memory: no process, no thread, no clock.

use std::sync::Arc;

use super::workers::Detached;
use super::*;
use crate::body::{Batch, Items};
use crate::exit::Exit;
use crate::handshake::Complaint;
use crate::job::{Delivery, Rest};
use crate::transport::in_memory::{FakeWorker, InMemoryLink, Received, link};

const TASK: TaskId = TaskId::of("tests::echo");

/// A driver with this many workers that are ready.
pub(super) fn ready(workers: usize, rules: Rules) -> (Driver<InMemoryLink>, Vec<FakeWorker>) {
    let mut driver = Driver::new(workers, rules);
    let fakes = (0..workers).map(|place| add_worker(&mut driver, place)).collect();
    driver.turn();
    (driver, fakes)
}

pub(super) fn add_worker(driver: &mut Driver<InMemoryLink>, place: usize) -> FakeWorker {
    let (link, fake) = link(1000);
    driver.attach(place, link, 100 + place as u32);
    fake.get_ready();
    driver.turn();
    fake
}

pub(super) fn open(driver: &mut Driver<InMemoryLink>, options: JobOptions) -> (Arc<Job>, JobKey) {
    let job = Arc::new(Job::new("echo"));
    let key = driver.open(job.clone(), TASK, options).expect("the driver is open");
    (job, key)
}

/// A job whose items are the numbers up to `count`, a byte each, all of them pushed.
pub(super) fn numbers(
    driver: &mut Driver<InMemoryLink>,
    count: u8,
    options: JobOptions,
) -> (Arc<Job>, JobKey) {
    let (job, key) = open(driver, options);
    driver.push(key, block(0, count));
    driver.finish_input(key);
    driver.turn();
    (job, key)
}

pub(super) fn block(first: u8, count: u8) -> Block {
    let mut batch = Batch::default();
    for number in first..first + count {
        let fill = |out: &mut Vec<u8>| {
            out.push(number);
            Ok::<(), ()>(())
        };
        batch.append(fill).expect("filling cannot fail");
    }
    Block::take(first as usize, &mut batch)
}

pub(super) fn chunks_of(size: u32) -> JobOptions {
    JobOptions { chunk_size: Some(size), ..JobOptions::default() }
}

/// What a job was delivered: (index, value or error), sorted.
pub(super) fn delivered(job: &Job) -> Vec<(usize, Result<u8, String>)> {
    let mut all = Vec::new();
    for delivery in job.take() {
        match delivery {
            Delivery::Large { .. } => unreachable!("links in memory have no segments"),
            Delivery::Failed { index, error } => all.push((index, Err(error.to_string()))),
            Delivery::Results { results: Results { first, count, shape }, body } => {
                for (offset, (entry, bytes)) in Items::new(shape, count, &body).enumerate() {
                    let value = bytes.first().copied().ok_or(format!("{:?}", entry.status));
                    all.push((
                        first + offset,
                        if entry.status == Status::Ok { value } else { Err(format!("{:?}", entry.status)) },
                    ));
                }
            }
        }
    }
    all.sort();
    all
}

/// How many items have been delivered and not taken.
pub(super) fn delivered_count(job: &Job) -> usize {
    let all: Vec<_> = job.take().into_iter().collect();
    let count = all.iter().map(Delivery::count).sum();
    for delivery in all {
        match delivery {
            Delivery::Large { index, held } => job.deliver_large(index, held),
            Delivery::Failed { index, error } => job.deliver_failure(index, *error),
            Delivery::Results { results, body } => job.deliver(results, &mut body.to_vec()),
        }
    }
    count
}

pub(super) fn echoed(range: std::ops::Range<u8>) -> Vec<(usize, Result<u8, String>)> {
    range.map(|number| (number as usize, Ok(number))).collect()
}

/// Echoes everything until nothing is sent any more.
pub(super) fn echo_all(driver: &mut Driver<InMemoryLink>, fakes: &[FakeWorker]) {
    loop {
        let mut any = false;
        for fake in fakes {
            while let Some(frame) = fake.take() {
                if frame.header.kind() == Some(Kind::Run) {
                    fake.echo(&frame, 0, frame.items.len());
                    any = true;
                }
            }
        }
        if !any {
            return;
        }
        driver.turn();
    }
}

pub(super) fn take(fake: &FakeWorker) -> Received {
    fake.take().expect("a frame was sent")
}

#[test]
fn every_item_of_a_job_is_delivered_once_whatever_the_chunks() {
    for size in [None, Some(1), Some(7), Some(1000)] {
        let (mut driver, fakes) = ready(3, Rules::default());
        let (job, _) = numbers(&mut driver, 100, JobOptions { chunk_size: size, ..JobOptions::default() });
        echo_all(&mut driver, &fakes);
        assert!(job.is_settled());
        assert_eq!(delivered(&job), echoed(0..100));
        assert_eq!(driver.open_jobs(), 0);
    }
}

#[test]
fn nothing_is_sent_to_a_worker_that_is_not_ready() {
    let mut driver = Driver::new(1, Rules::default());
    let (link, fake) = link(10);
    driver.attach(0, link, 1);
    let (job, _) = numbers(&mut driver, 1, JobOptions::default());
    assert_eq!(take(&fake).header.kind(), Some(Kind::Start));
    assert!(fake.take().is_none());
    fake.answer(FrameHeader::new(Kind::Ready), &[]);
    driver.turn();
    echo_all(&mut driver, &[fake]);
    assert!(job.is_settled());
}

#[test]
fn an_unmeasured_task_is_spread_one_item_a_worker() {
    let (mut driver, fakes) = ready(3, Rules::default());
    numbers(&mut driver, 100, JobOptions::default());
    for fake in &fakes {
        assert_eq!(take(fake).items.len(), 1);
        assert!(fake.take().is_none());
    }
}

#[test]
fn jobs_take_turns() {
    let (mut driver, fakes) = ready(1, Rules::default());
    numbers(&mut driver, 100, chunks_of(10));
    let mut frame = take(&fakes[0]);
    let (short, _) = numbers(&mut driver, 1, chunks_of(10));
    for _ in 0..2 {
        fakes[0].echo(&frame, 0, frame.items.len());
        driver.turn();
        frame = take(&fakes[0]);
    }
    assert_eq!(frame.items.len(), 1, "after one more chunk of the long job it is the short one's turn");
    fakes[0].echo(&frame, 0, 1);
    driver.turn();
    assert!(short.is_settled());
}

#[test]
fn input_is_wanted_only_while_a_worker_has_room() {
    let (mut driver, fakes) = ready(2, Rules::default());
    let (job, key) = open(&mut driver, JobOptions::default());
    for number in 0..2 {
        assert!(driver.demand(key, None).is_some());
        driver.push(key, block(number, 1));
        driver.turn();
    }
    assert!(driver.demand(key, None).is_none(), "both windows are full");
    job.take();
    assert!(!job.has_news());
    let frame = take(&fakes[0]);
    fakes[0].echo(&frame, 0, 1);
    driver.turn();
    assert!(job.has_news() && driver.demand(key, None).is_some());
}

#[test]
fn a_caller_whose_input_is_not_wanted_is_left_to_sleep() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, key) = open(&mut driver, JobOptions::default());
    driver.push(key, block(0, 1));
    assert!(driver.demand(key, None).is_none());
    job.take();
    for _ in 0..3 {
        driver.turn();
        assert!(!job.has_news(), "the only worker is busy with an item of unknown length");
    }
    let frame = take(&fakes[0]);
    fakes[0].echo(&frame, 0, 1);
    driver.turn();
    assert!(job.has_news());
}

#[test]
fn a_job_whose_input_is_read_lazily_gets_its_turn_while_others_are_queued() {
    let (mut driver, _fakes) = ready(1, Rules::default());
    numbers(&mut driver, 200, chunks_of(1));
    let (_, lazy) = open(&mut driver, JobOptions::default());
    assert!(driver.demand(lazy, None).is_some());
    driver.push(lazy, block(0, 1));
    assert!(driver.demand(lazy, None).is_none(), "one chunk waits already");
}

#[test]
fn a_dead_worker_loses_the_running_item_only() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 10, chunks_of(5));
    let frame = take(&fakes[0]);
    fakes[0].echo(&frame, 0, 2);
    fakes[0].commit(FakeWorker::done(&frame, 2), &[(Status::Ok, &[2])]);
    fakes[0].set_running(&frame, 3);
    let detached = driver.detach(0, &Exit::Signal(9).into());
    let expected = Detached { was_ready: true, was_used: true, any_was_ready: true, ..Detached::default() };
    assert_eq!(detached, expected);
    assert!(driver.wants_worker());
    let second = add_worker(&mut driver, 0);
    echo_all(&mut driver, &[second]);
    assert!(job.is_settled());
    let mut expected = echoed(0..10);
    let lost = "worker 100 was lost while running item 3 of task `echo`: killed by signal 9 (SIGKILL)";
    expected[3].1 = Err(lost.to_owned());
    assert_eq!(delivered(&job), expected);
}

#[test]
fn what_a_worker_said_as_it_aborted_is_told_of_the_item_that_it_ran() {
    for (exit, same_item) in [(6, true), (6, false), (4, true), (9, true), (11, true)] {
        let (mut driver, fakes) = ready(1, Rules::default());
        let (job, _) = numbers(&mut driver, 2, chunks_of(2));
        let frame = take(&fakes[0]);
        fakes[0].set_running(&frame, u32::from(same_item));
        fakes[0].say("no");
        fakes[0].set_running(&frame, 1);
        fakes[0].commit(FakeWorker::done(&frame, 0), &[(Status::Ok, &[0])]);
        driver.detach(0, &Exit::Signal(exit).into());
        let [_, (1, Err(error))] = &delivered(&job)[..] else { panic!("one item is lost") };
        assert_eq!(error.contains("panicked at here: no"), same_item && exit < 9, "{error}");
    }
}

#[test]
fn a_worker_that_dies_idle_loses_nothing_and_what_it_had_not_started_runs_elsewhere() {
    let (mut driver, fakes) = ready(2, Rules::default());
    let (job, _) = numbers(&mut driver, 2, chunks_of(1));
    assert_eq!(take(&fakes[0]).items.len(), 1);
    driver.detach(0, &Exit::Code(1).into());
    echo_all(&mut driver, &fakes[1..]);
    assert_eq!(delivered(&job), echoed(0..2));
}

#[test]
fn results_that_were_not_asked_for_cost_the_worker_and_nobody_else() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 1, JobOptions::default());
    let frame = take(&fakes[0]);
    fakes[0].answer(FakeWorker::done(&frame, 5), &[(Status::Ok, b"x")]);
    driver.turn();
    assert_eq!(driver.take_effects().kill, [(0, 100)]);
    fakes[0].set_running(&frame, 0);
    driver.detach(0, &Exit::Signal(9).into());
    let [(0, Err(error))] = &delivered(&job)[..] else { panic!("one error") };
    assert!(error.contains("sent corrupt data"), "{error}");
}

#[test]
fn corrupt_memory_costs_the_worker() {
    let (mut driver, fakes) = ready(1, Rules::default());
    fakes[0].send_garbage();
    driver.turn();
    assert_eq!(driver.take_effects().kill, [(0, 100)]);
    let (_, _) = numbers(&mut driver, 1, JobOptions::default());
    assert!(fakes[0].take().is_none(), "a worker that is given up gets nothing");
}

#[test]
fn failing_fast_drops_what_is_queued_and_revokes_what_is_sent() {
    let (mut driver, fakes) = ready(2, Rules::default());
    let (job, _) =
        numbers(&mut driver, 100, JobOptions { chunk_size: Some(4), fails_fast: true, extras: None });
    let (bad, other) = (take(&fakes[0]), take(&fakes[1]));
    fakes[0].answer(FakeWorker::done(&bad, 0), &[(Status::UnknownTask, b"")]);
    driver.turn();
    assert!(fakes[0].is_revoked(&bad) && fakes[1].is_revoked(&other));
    let skipped: (Status, &[u8]) = (Status::Skipped, b"");
    fakes[0].answer(FakeWorker::done(&bad, 1), &[skipped; 3]);
    fakes[1].answer(FakeWorker::done(&other, 0), &[skipped; 4]);
    driver.turn();
    assert!(job.is_settled());
    assert_eq!(delivered(&job).len(), 8, "the other 92 never started");
}

#[test]
fn a_cancelled_job_ends_at_once_and_its_late_results_go_nowhere() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, key) = numbers(&mut driver, 10, chunks_of(5));
    let frame = take(&fakes[0]);
    assert!(driver.cancel(key, Rest::Finishes) && !driver.cancel(key, Rest::Finishes));
    assert!(matches!(job.aborted(), Some(Error::Cancelled { .. })) && fakes[0].is_revoked(&frame));
    let (next, _) = numbers(&mut driver, 1, chunks_of(1));
    fakes[0].echo(&frame, 0, 5);
    driver.turn();
    echo_all(&mut driver, &fakes);
    assert_eq!(delivered(&job), []);
    assert_eq!(delivered(&next), echoed(0..1));
}

#[test]
fn a_worker_gets_as_many_items_as_it_may_run_and_leaves() {
    let (mut driver, fakes) = ready(1, Rules { max_items: Some(3), ..Rules::default() });
    let (job, _) = numbers(&mut driver, 5, chunks_of(2));
    let (first, second) = (take(&fakes[0]), fakes[0].take());
    assert_eq!(
        (first.items.len(), second.is_none()),
        (2, true),
        "an unmeasured task has one chunk in flight"
    );
    fakes[0].echo(&first, 0, 2);
    driver.turn();
    let second = take(&fakes[0]);
    assert_eq!(second.items.len(), 1, "items are counted, not chunks");
    assert_eq!(take(&fakes[0]).header.kind(), Some(Kind::Exit));
    fakes[0].echo(&second, 0, 1);
    assert!(driver.detach(0, &Exit::Code(0).into()).was_ready);
    let next = add_worker(&mut driver, 0);
    echo_all(&mut driver, &[next]);
    assert_eq!(delivered(&job), echoed(0..5));
}

#[test]
fn a_closed_driver_takes_nothing_and_sends_its_workers_away_once_it_is_done() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 1, JobOptions::default());
    driver.close();
    assert!(matches!(driver.open(job.clone(), TASK, JobOptions::default()), Err(Error::Closed)));
    let frame = take(&fakes[0]);
    assert!(fakes[0].take().is_none() && driver.wants_worker());
    fakes[0].echo(&frame, 0, 1);
    driver.turn();
    assert_eq!(take(&fakes[0]).header.kind(), Some(Kind::Exit));
    assert!(!driver.wants_worker() && job.is_settled());
}

#[test]
fn the_end_ends_every_job() {
    let (mut driver, _fakes) = ready(1, Rules::default());
    let jobs: Vec<_> = (0..10).map(|_| numbers(&mut driver, 10, chunks_of(1)).0).collect();
    driver.end(Error::Terminated);
    assert!(jobs.iter().all(|job| job.is_settled() && matches!(job.aborted(), Some(Error::Terminated))));
    assert_eq!(driver.take_effects().notify.iter().count(), 10);
}

#[test]
fn a_refused_initializer_ends_the_pool_with_its_reason() {
    let mut driver = with_initializer(1);
    let (link, fake) = link(10);
    driver.attach(0, link, 1);
    let (job, _) = numbers(&mut driver, 1, JobOptions::default());
    refuse(&fake);
    driver.turn();
    let error = job.aborted().expect("the job ended");
    assert!(
        matches!(&error, Error::Initializer { task: "tests::init", reason } if reason.contains("no such file"))
    );
    assert!(matches!(driver.open(job, TASK, JobOptions::default()), Err(Error::Initializer { .. })));
    assert!(!driver.wants_worker());
}

fn with_initializer(workers: usize) -> Driver<InMemoryLink> {
    let once = Once { task: TASK, name: "tests::init", block: block(0, 1) };
    Driver::new(workers, Rules { initializer: Some(once), ..Rules::default() })
}

fn refuse(fake: &FakeWorker) {
    fake.answer(FrameHeader::new(Kind::Refused), &[(Status::DecodeFailed, b"no such file")]);
}

#[test]
fn a_worker_refused_after_another_got_ready_is_reported_and_ends_nothing() {
    let mut driver = with_initializer(2);
    let fakes = [0, 1].map(|place| {
        let (link, fake) = link(10);
        driver.attach(place, link, place as u32);
        fake
    });
    // The ring of the first one is read first, and still the second one counts.
    refuse(&fakes[0]);
    fakes[1].get_ready();
    let (job, _) = numbers(&mut driver, 2, JobOptions::default());
    let detached = driver.detach(0, &Exit::Code(123).into());
    assert!(matches!(detached.complaint, Some(Complaint::Told(reason)) if reason.contains("no such file")));
    assert!(!detached.was_ready && detached.any_was_ready && driver.wants_worker());
    echo_all(&mut driver, &fakes[1..]);
    assert_eq!(delivered(&job), echoed(0..2));
}

#[test]
fn a_worker_that_is_given_up_while_it_starts_gets_nothing_even_if_it_gets_ready() {
    let mut driver = with_initializer(1);
    let (link, fake) = link(10);
    driver.attach(0, link, 1);
    assert!(driver.give_up_if_starting(0));
    fake.get_ready();
    numbers(&mut driver, 2, JobOptions::default());
    assert!(fake.is_empty());
    driver.detach(0, &Exit::Signal(9).into());
    let second = add_worker(&mut driver, 0);
    assert!(!driver.give_up_if_starting(0), "it is ready");
    assert_eq!(take(&second).header.kind(), Some(Kind::Run));
}

#[test]
fn a_frame_that_finds_no_room_waits_and_no_item_is_lost() {
    let mut driver = Driver::new(1, Rules::default());
    let (link, fake) = link(2);
    driver.attach(0, link, 1);
    fake.get_ready();
    driver.turn();
    let (job, _) = numbers(&mut driver, 50, chunks_of(1));
    echo_all(&mut driver, &[fake]);
    assert_eq!(delivered(&job), echoed(0..50));
}

#[test]
fn a_worker_is_rung_once_for_many_frames() {
    let (mut driver, fakes) = ready(1, Rules::default());
    numbers(&mut driver, 1, JobOptions::default());
    echo_all(&mut driver, &fakes);
    let before = fakes[0].rings();
    numbers(&mut driver, 100, chunks_of(1));
    assert!(fakes[0].rings() - before <= 1);
}

#[test]
fn somebody_drives_until_what_a_dropped_call_left_running_is_answered() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (_, key) = numbers(&mut driver, 1, JobOptions::default());
    assert!(driver.cancel(key, Rest::Finishes));
    driver.close();
    assert_eq!(driver.open_jobs(), 1);
    let chunk = take(&fakes[0]);
    fakes[0].echo(&chunk, 0, 1);
    driver.turn();
    assert_eq!(driver.open_jobs(), 0);
}

#[test]
fn a_job_is_not_over_before_what_it_captured_is_dropped_unless_the_pool_ends() {
    for ends in [false, true] {
        let (mut driver, _fakes) = ready(1, Rules::default());
        let extras = Extras { retries: 1, retry_if: Some(RetryIf(Arc::new(|_| true))), ..Extras::default() };
        let (_, key) =
            open(&mut driver, JobOptions { extras: Some(Box::new(extras)), ..JobOptions::default() });
        assert!(driver.cancel(key, Rest::Finishes));
        assert_eq!(driver.take_effects().done_with.len(), 1);
        assert_eq!(driver.open_jobs(), 1);
        if ends {
            driver.end(Error::Terminated);
        } else {
            driver.note_dropped();
        }
        assert_eq!(driver.open_jobs(), 0);
    }
}
