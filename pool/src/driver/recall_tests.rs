//! What is queued at one worker goes to another.

use super::*;
use crate::driver::JobOptions;
use crate::driver::Rules;
use crate::driver::tests::{
    block, chunks_of, delivered, delivered_count, echo_all, echoed, numbers, open, ready, take,
};
use crate::frame::{FrameHeader, Kind, Status};
use crate::job::Rest;
use crate::transport::in_memory::{FakeWorker, InMemoryLink, Received, link};

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
    let (mut driver, fakes) = measured(2);
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

/// A driver that has measured the items of its task as taking five milliseconds.
fn measured(workers: usize) -> (Driver<InMemoryLink>, Vec<FakeWorker>) {
    let (mut driver, fakes) = ready(workers, Rules::default());
    numbers(&mut driver, 1, chunks_of(1));
    let first = fakes.iter().find(|fake| !fake.is_empty()).expect("somebody has it");
    echo_slowly(first, &take(first));
    driver.turn();
    (driver, fakes)
}

fn skip(fake: &FakeWorker, chunk: &Received) {
    assert!(fake.is_revoked(chunk));
    fake.answer(FakeWorker::done(chunk, 0), &[(Status::Skipped, b"")]);
}

#[test]
fn one_with_nothing_to_do_takes_from_one_other_and_both_go_on() {
    let (mut driver, fakes) = measured(3);
    let (job, _) = numbers(&mut driver, 6, chunks_of(1));
    for _ in 0..2 {
        echo_slowly(&fakes[2], &take(&fakes[2]));
    }
    driver.turn();
    assert!(!fakes[2].is_empty(), "it has something again");
    let queued: Vec<_> = fakes[..2].iter().map(|fake| [take(fake), take(fake)]).collect();
    let taken = [0, 1].map(|place| fakes[place].is_revoked(&queued[place][1]));
    assert_eq!(taken.iter().filter(|is_taken| **is_taken).count(), 1);
    // Who lost something is not passed over. The first goes to the other one that has no more, and was used last.
    let (next, _) = numbers(&mut driver, 2, chunks_of(1));
    let poorer = taken.iter().position(|is_taken| *is_taken).expect("one was taken from");
    assert!(!fakes[poorer].is_empty());
    for (place, [running, behind]) in queued.iter().enumerate() {
        echo_slowly(&fakes[place], running);
        match taken[place] {
            true => skip(&fakes[place], behind),
            false => echo_slowly(&fakes[place], behind),
        }
    }
    for fake in &fakes {
        while let Some(chunk) = fake.take() {
            echo_slowly(fake, &chunk);
        }
    }
    driver.turn();
    assert_eq!((delivered(&job), delivered(&next)), (echoed(0..6), echoed(0..2)));
}

#[test]
fn while_input_is_open_more_of_it_is_asked_for_first() {
    let (mut driver, fakes) = measured(2);
    let (_job, key) = open(&mut driver, chunks_of(1));
    driver.push(key, block(0, 4));
    driver.turn();
    for _ in 0..2 {
        echo_slowly(&fakes[1], &take(&fakes[1]));
    }
    assert!(driver.demand(key, None).is_some());
    assert!(fakes[1].is_empty(), "nothing was taken from the other one");
}

#[test]
fn what_waits_behind_a_stuck_item_runs_elsewhere_though_everybody_has_something_to_do() {
    let (mut driver, fakes) = measured(2);
    let (job, _) = numbers(&mut driver, 2, JobOptions::default());
    let stuck = take(&fakes[0]);
    let (waiting, _) = numbers(&mut driver, 2, chunks_of(1));
    let start = Instant::now();
    driver.free_the_stuck(start);
    driver.free_the_stuck(start + LONGEST_AHEAD - Duration::from_millis(1));
    echo_slowly(&fakes[1], &take(&fakes[1]));
    driver.turn();
    assert!(driver.has_queued(), "that is none too long yet");
    driver.free_the_stuck(start + LONGEST_AHEAD);
    let behind = take(&fakes[0]);
    assert!(fakes[0].is_revoked(&behind));
    for _ in 0..2 {
        echo_slowly(&fakes[1], &take(&fakes[1]));
        driver.turn();
        // There is always more to do for the one that goes on.
        numbers(&mut driver, 1, chunks_of(1));
    }
    assert!(waiting.is_settled());
    assert!(!job.is_settled());
    assert!(fakes[0].is_empty(), "nothing more goes to the stuck one");
    echo_slowly(&fakes[0], &stuck);
    skip(&fakes[0], &behind);
    driver.turn();
    assert_eq!((delivered(&job), delivered(&waiting)), (echoed(0..2), echoed(0..2)));
}

#[test]
fn where_the_fullest_has_begun_all_that_is_asked_for_the_next_one_is_asked() {
    let (mut driver, fakes) = measured(3);
    let (job, _) = numbers(&mut driver, 6, chunks_of(1));
    let running = [0, 1].map(|place| take(&fakes[place]));
    // Of those with as much the last is the fullest. It has begun what was queued, though nothing of it is known yet.
    let begun = take(&fakes[1]);
    for _ in 0..2 {
        echo_slowly(&fakes[2], &take(&fakes[2]));
    }
    driver.turn();
    let behind = take(&fakes[0]);
    assert!(fakes[1].is_revoked(&begun) && fakes[0].is_revoked(&behind));
    echo_slowly(&fakes[2], &take(&fakes[2]));
    running.iter().zip(&fakes).for_each(|(chunk, fake)| echo_slowly(fake, chunk));
    echo_slowly(&fakes[1], &begun);
    skip(&fakes[0], &behind);
    driver.turn();
    assert_eq!(delivered(&job), echoed(0..6));
}

#[test]
fn who_is_about_to_leave_keeps_what_it_was_told_to_run_before() {
    let rules = Rules { max_items: Some(3), ..Rules::default() };
    let (mut driver, fakes) = ready(2, rules);
    numbers(&mut driver, 1, chunks_of(1));
    let first = fakes.iter().position(|fake| !fake.is_empty()).expect("somebody has it");
    echo_slowly(&fakes[first], &take(&fakes[first]));
    driver.turn();
    let (job, _) = numbers(&mut driver, 4, chunks_of(1));
    let other = 1 - first;
    // With these two the quota of the first is spent.
    let last = [take(&fakes[first]), take(&fakes[first])];
    assert_eq!(take(&fakes[first]).header.kind(), Some(Kind::Exit));
    for _ in 0..2 {
        echo_slowly(&fakes[other], &take(&fakes[other]));
    }
    driver.turn();
    assert!(fakes[other].is_empty() && !fakes[first].is_revoked(&last[1]));
    last.iter().for_each(|chunk| echo_slowly(&fakes[first], chunk));
    driver.turn();
    assert_eq!(delivered(&job), echoed(0..4));
}

#[test]
fn what_a_stopped_worker_does_not_run_does_not_count_for_when_it_leaves() {
    let (mut driver, fakes) = ready(2, Rules { max_items: Some(2), ..Rules::default() });
    let (job, _) = numbers(&mut driver, 1, chunks_of(1));
    let stopped = fakes.iter().position(|fake| !fake.is_empty()).expect("somebody has it");
    let quota =
        |driver: &Driver<InMemoryLink>| driver.slots[stopped].worker.as_ref().expect("it lives").quota;
    assert_eq!(quota(&driver), 1);
    (0..2).for_each(|_| driver.nudge());
    driver.turn();
    assert_eq!(quota(&driver), 2);
    let other = &fakes[1 - stopped];
    echo_slowly(other, &take(other));
    skip(&fakes[stopped], &take(&fakes[stopped]));
    driver.turn();
    assert_eq!(delivered(&job), echoed(0..1));
}

#[test]
fn a_worker_that_has_no_room_to_be_told_to_leave_is_told_later() {
    let mut driver = Driver::new(1, Rules::default());
    let (full, fake) = link(3);
    driver.attach(0, full, 100);
    fake.get_ready();
    numbers(&mut driver, 1, chunks_of(1));
    echo_all(&mut driver, std::slice::from_ref(&fake));
    let (_, key) = numbers(&mut driver, 9, chunks_of(1));
    fake.echo(&take(&fake), 0, 1);
    let running = take(&fake);
    // Now the link is full again.
    driver.turn();
    driver.cancel(key, Rest::Finishes);
    driver.close();
    let start = Instant::now();
    driver.free_the_stuck(start);
    driver.free_the_stuck(start + LONGEST_AHEAD);
    echo_slowly(&fake, &running);
    let is_exit = |chunk: &Received| chunk.header.kind() == Some(Kind::Exit);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match fake.take() {
            Some(exit) if is_exit(&exit) => break,
            Some(chunk) => skip(&fake, &chunk),
            None => assert!(Instant::now() < deadline, "it is never told to leave"),
        }
        driver.turn();
    }
}

#[test]
fn what_a_stopped_worker_has_goes_to_one_that_is_never_idle_for_long() {
    let (mut driver, fakes) = measured(2);
    let (job, _) = numbers(&mut driver, 1, chunks_of(1));
    let stopped = fakes.iter().position(|fake| !fake.is_empty()).expect("somebody has it");
    let busy = &fakes[1 - stopped];
    for _ in 0..2 {
        // At every nudge it has something to do, but not the same.
        numbers(&mut driver, 1, JobOptions::default());
        driver.nudge();
        echo_slowly(busy, &take(busy));
        driver.turn();
    }
    echo_slowly(busy, &take(busy));
    skip(&fakes[stopped], &take(&fakes[stopped]));
    driver.turn();
    assert_eq!(delivered(&job), echoed(0..1));
}

#[test]
fn who_has_something_to_skip_is_not_as_idle_as_who_has_nothing() {
    let (mut driver, fakes) = measured(3);
    let (job, _) = numbers(&mut driver, 5, chunks_of(1));
    let running = [0, 2].map(|place| take(&fakes[place]));
    for _ in 0..2 {
        echo_slowly(&fakes[1], &take(&fakes[1]));
    }
    // The second one takes what is queued at the third, which gets the next in its place.
    driver.turn();
    echo_slowly(&fakes[2], &running[1]);
    driver.turn();
    let (next, _) = numbers(&mut driver, 1, chunks_of(1));
    // Now the second has nothing to do.
    echo_slowly(&fakes[1], &take(&fakes[1]));
    driver.turn();
    for _ in 0..2 {
        skip(&fakes[2], &take(&fakes[2]));
    }
    assert!(fakes[2].is_empty(), "nothing is sent to and fro");
    echo_slowly(&fakes[1], &take(&fakes[1]));
    echo_slowly(&fakes[0], &running[0]);
    driver.turn();
    assert_eq!((delivered(&job), delivered(&next)), (echoed(0..5), echoed(0..1)));
}
