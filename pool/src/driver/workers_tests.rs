//! Tests of workers that come and go.

use super::*;
use crate::driver::tests::{add_worker, chunks_of, delivered, echo_all, echoed, numbers, ready};
use crate::driver::{JobOptions, Rules};
use crate::frame::Status;
use crate::transport::in_memory::{FakeWorker, Received, link};

/// Echoes the first items of a chunk, and says that it begins nothing more.
fn echo_last(fake: &FakeWorker, chunk: &Received, count: usize) {
    let header = FrameHeader { revoked: FrameHeader::SPENT, ..FakeWorker::done(chunk, 0) };
    let outcomes: Vec<_> = chunk.items[..count].iter().map(|item| (Status::Ok, &item[..])).collect();
    fake.answer(header, &outcomes);
}

fn skip(fake: &FakeWorker, chunk: &Received, first: usize) {
    let skipped: (Status, &[u8]) = (Status::Skipped, b"");
    fake.answer(FakeWorker::done(chunk, first), &vec![skipped; chunk.items.len() - first]);
}

#[test]
fn a_spent_worker_gives_back_what_it_has_not_run_and_leaves() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 10, chunks_of(5));
    let chunk = fakes[0].take().expect("it was sent a chunk");
    echo_last(&fakes[0], &chunk, 2);
    skip(&fakes[0], &chunk, 2);
    driver.turn();
    assert_eq!(fakes[0].take().and_then(|frame| frame.header.kind()), Some(Kind::Exit));
    assert!(fakes[0].is_empty() && driver.take_effects().kill.is_empty());
    assert!(driver.detach(0, &Exit::Code(0).into()).was_ready);
    let next = add_worker(&mut driver, 0);
    let first = next.take().expect("it was sent a chunk");
    assert_eq!(first.items, [[2], [3], [4]], "what was begun goes on first");
    next.echo(&first, 0, 3);
    driver.turn();
    echo_all(&mut driver, &[next]);
    assert!(job.is_settled());
    assert_eq!(delivered(&job), echoed(0..10));
}

#[test]
fn a_worker_that_leaves_has_its_time_from_when_it_has_nothing_left_to_run() {
    let rules = Rules { max_items: Some(2), ..Rules::default() };
    let (mut driver, fakes) = ready(1, rules);
    numbers(&mut driver, 2, chunks_of(2));
    let chunk = fakes[0].take().expect("it was sent a chunk");
    assert_eq!(fakes[0].take().and_then(|frame| frame.header.kind()), Some(Kind::Exit));
    assert!(driver.take_effects().leave.is_empty(), "it has two items to run");
    fakes[0].echo(&chunk, 0, 2);
    driver.turn();
    assert_eq!(driver.take_effects().leave, [(0, 100)]);
    driver.detach(0, &Exit::Code(0).into());
    // Nothing to run, but its initializer may not have returned.
    let (link, next) = link(1000);
    driver.attach(0, link, 200);
    driver.close();
    driver.turn();
    assert_eq!(driver.take_effects().leave, []);
    next.get_ready();
    driver.turn();
    assert_eq!(driver.take_effects().leave, [(0, 200)]);
}

#[test]
fn what_is_queued_at_a_spent_worker_goes_elsewhere_at_once_and_in_order() {
    let (mut driver, fakes) = ready(1, Rules::default());
    // Measured as short, so that chunks are queued at workers.
    numbers(&mut driver, 1, chunks_of(1));
    echo_all(&mut driver, &fakes);
    let (job, _) = numbers(&mut driver, 20, chunks_of(2));
    let chunks: Vec<_> = std::iter::from_fn(|| fakes[0].take()).collect();
    assert!(chunks.len() > 2);
    echo_last(&fakes[0], &chunks[0], 2);
    driver.turn();
    let next = {
        // Before the first one has answered the rest, and dies.
        driver.detach(0, &Exit::Signal(9).into());
        add_worker(&mut driver, 0)
    };
    let order: Vec<_> = std::iter::from_fn(|| next.take())
        .inspect(|chunk| next.echo(chunk, 0, chunk.items.len()))
        .flat_map(|chunk| chunk.items)
        .flatten()
        .collect();
    assert_eq!(order[..6], [2, 3, 4, 5, 6, 7]);
    driver.turn();
    echo_all(&mut driver, &[next]);
    assert_eq!(delivered(&job), echoed(0..20));
}

#[test]
fn a_worker_that_runs_on_after_it_said_that_it_is_spent_is_given_up() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 4, chunks_of(4));
    let chunk = fakes[0].take().expect("it was sent a chunk");
    echo_last(&fakes[0], &chunk, 1);
    fakes[0].echo(&chunk, 1, 3);
    driver.turn();
    assert_eq!(driver.take_effects().kill, [(0, 100)]);
    driver.detach(0, &Exit::Signal(9).into());
    let next = add_worker(&mut driver, 0);
    echo_all(&mut driver, &[next]);
    assert_eq!(delivered(&job), echoed(0..4));
}

#[test]
fn what_a_job_that_gave_up_had_at_a_stuck_worker_is_not_run_elsewhere() {
    let (mut driver, fakes) = ready(2, Rules::default());
    numbers(&mut driver, 1, chunks_of(1));
    echo_all(&mut driver, &fakes);
    let options = JobOptions { chunk_size: Some(1), fails_fast: true, extras: None };
    let (job, _) = numbers(&mut driver, 20, options);
    let stuck = fakes.iter().position(|fake| !fake.is_empty()).expect("somebody has something");
    let running = fakes[stuck].take().expect("it was sent a chunk");
    let other = &fakes[1 - stuck];
    let bad = loop {
        driver.turn();
        if let Some(chunk) = other.take() {
            break chunk;
        }
    };
    other.answer(FakeWorker::done(&bad, 0), &[(Status::UnknownTask, b"")]);
    driver.turn();
    while let Some(chunk) = other.take() {
        skip(other, &chunk, 0);
    }
    driver.turn();
    // Until what is queued at the stuck one was taken back.
    while driver.timers.stall.is_some() {
        driver.turn();
    }
    assert!(other.is_empty(), "the rest was given up");
    fakes[stuck].echo(&running, 0, 1);
    while let Some(chunk) = fakes[stuck].take() {
        skip(&fakes[stuck], &chunk, 0);
    }
    driver.turn();
    assert!(job.is_settled());
}

#[test]
fn what_a_stopped_worker_did_not_begin_goes_to_an_idle_one() {
    for is_begun in [false, true] {
        let (mut driver, fakes) = ready(2, Rules::default());
        let (job, _) = numbers(&mut driver, 1, chunks_of(1));
        let stopped = fakes.iter().position(|fake| !fake.is_empty()).expect("somebody has it");
        let other = &fakes[1 - stopped];
        driver.nudge();
        driver.turn();
        assert!(other.is_empty(), "it may have woken up late");
        let late = is_begun.then(|| {
            let chunk = fakes[stopped].take().expect("it was sent a chunk");
            fakes[stopped].set_running(&chunk, 0);
            chunk
        });
        driver.nudge();
        driver.turn();
        assert_eq!(other.is_empty(), is_begun);
        match late {
            Some(chunk) => fakes[stopped].echo(&chunk, 0, 1),
            None => {
                echo_all(&mut driver, std::slice::from_ref(other));
                // Nothing more goes to it before it answers.
                numbers(&mut driver, 1, chunks_of(1));
                assert!(!other.is_empty());
                let skipped = fakes[stopped].take().expect("it was sent a chunk");
                assert!(fakes[stopped].is_revoked(&skipped) && fakes[stopped].is_empty());
                fakes[stopped].answer(FakeWorker::done(&skipped, 0), &[(Status::Skipped, b"")]);
            }
        }
        driver.turn();
        assert_eq!(delivered(&job), echoed(0..1));
        assert!(driver.take_effects().kill.is_empty());
    }
}
