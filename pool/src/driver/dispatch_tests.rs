//! What is queued at one worker goes to another that has nothing to do.

use super::super::tests::{chunks_of, delivered, delivered_count, echo_all, echoed, numbers, ready, take};
use super::*;
use crate::driver::Rules;
use crate::frame::Status;
use crate::transport::in_memory::{FakeWorker, Received};

#[test]
fn chunks_queued_behind_an_item_that_makes_no_progress_go_to_an_idle_worker() {
    let (mut driver, fakes) = ready(2, Rules::default());
    // Measured as short, so that chunks are queued at workers.
    numbers(&mut driver, 1, chunks_of(1));
    echo_all(&mut driver, &fakes);
    let (job, _) = numbers(&mut driver, 20, chunks_of(1));
    let stuck = fakes.iter().position(|fake| !fake.is_empty()).expect("somebody has something");
    let running = take(&fakes[stuck]);
    let other = &fakes[1 - stuck];
    let deadline = Instant::now() + Duration::from_secs(20);
    while delivered_count(&job) < 19 {
        assert!(
            Instant::now() < deadline,
            "what is queued at the stuck worker is never given to the other one"
        );
        while let Some(frame) = other.take() {
            other.echo(&frame, 0, frame.items.len());
        }
        driver.turn();
    }
    // At last the stuck worker goes on, and skips what was taken from it.
    fakes[stuck].echo(&running, 0, 1);
    while let Some(frame) = fakes[stuck].take() {
        assert!(fakes[stuck].is_revoked(&frame));
        let skipped: Vec<(Status, &[u8])> = frame.items.iter().map(|_| (Status::Skipped, &b""[..])).collect();
        fakes[stuck].answer(FakeWorker::done(&frame, 0), &skipped);
    }
    driver.turn();
    assert!(job.is_settled());
    assert_eq!(delivered(&job), echoed(0..20));
    let (next, _) = numbers(&mut driver, 5, chunks_of(1));
    echo_all(&mut driver, &fakes);
    assert_eq!(delivered(&next), echoed(0..5));
}

/// Echoes a chunk of one item that took five milliseconds.
fn echo_slowly(fake: &FakeWorker, chunk: &Received) {
    fake.set_running(chunk, 0);
    let header = FrameHeader { task_or_nanos: 5_000_000, ..FakeWorker::done(chunk, 0) };
    fake.answer(header, &[(Status::Ok, &chunk.items[0])]);
}

#[test]
fn a_chunk_is_queued_behind_a_long_item_and_goes_at_once_to_whoever_is_idle() {
    let (mut driver, fakes) = ready(2, Rules::default());
    numbers(&mut driver, 1, chunks_of(1));
    let first = fakes.iter().find(|fake| !fake.is_empty()).expect("somebody has it");
    echo_slowly(first, &take(first));
    driver.turn();
    let (job, _) = numbers(&mut driver, 4, chunks_of(1));
    let running = take(&fakes[0]);
    assert!(!fakes[0].is_empty(), "one is queued");
    for _ in 0..2 {
        echo_slowly(&fakes[1], &take(&fakes[1]));
    }
    // Once to take in what was answered, and to hand on what that leaves undone.
    driver.turn();
    let shared = take(&fakes[1]);
    echo_slowly(&fakes[1], &shared);
    echo_slowly(&fakes[0], &running);
    let skipped = take(&fakes[0]);
    assert!(fakes[0].is_revoked(&skipped) && fakes[0].is_empty());
    fakes[0].answer(FakeWorker::done(&skipped, 0), &[(Status::Skipped, b"")]);
    driver.turn();
    assert_eq!(delivered(&job), echoed(0..4));
}
