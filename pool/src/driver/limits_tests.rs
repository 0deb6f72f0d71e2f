//! Time limits of workers, without any.

use super::*;
use crate::driver::tests::{add_worker, chunks_of, delivered, echo_all, numbers, ready};
use crate::driver::{Extras, JobOptions, Rules};
use crate::exit::{Ended, Exit};
use crate::frame::Status;
use crate::transport::in_memory::{FakeWorker, InMemoryLink};

fn limited(soft: Option<u64>, hard: Option<u64>, retries: u32) -> JobOptions {
    let limits = Limits { soft: soft.map(Duration::from_secs), hard: hard.map(Duration::from_secs) };
    let extras = Extras { limits, retries, ..Extras::default() };
    JobOptions { chunk_size: Some(4), extras: Some(Box::new(extras)), ..JobOptions::default() }
}

/// Looks at the limits now, whenever the next look is due.
fn look(driver: &mut Driver<InMemoryLink>) {
    driver.timers.limits = Some(Instant::now());
    driver.turn();
}

fn killed() -> Ended {
    Ended::from(Exit::Signal(15))
}

fn run(fake: &FakeWorker, item: u32, seconds: u64) {
    let chunk = fake.take().expect("it was sent a chunk");
    fake.set_running(&chunk, item);
    fake.set_running_for(Some(Duration::from_secs(seconds)));
}

#[test]
fn an_item_that_runs_too_long_ends_at_once_and_the_rest_goes_elsewhere() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 4, limited(None, Some(5), 0));
    run(&fakes[0], 1, 4);
    look(&mut driver);
    assert!(driver.take_effects().end.is_empty() && !fakes[0].is_halted());
    fakes[0].set_running_for(Some(Duration::from_secs(6)));
    look(&mut driver);
    assert!(fakes[0].is_halted());
    assert_eq!(driver.take_effects().end, [(0, 100)]);
    let told = delivered(&job);
    assert_eq!(told, [(1, Err("item 1 of task `echo` ran longer than 5s".to_owned()))]);
    driver.detach(0, &killed());
    let fake = add_worker(&mut driver, 0);
    echo_all(&mut driver, &[fake]);
    // Nothing was heard of item 0, which was begun before item 1.
    let rest = delivered(&job);
    assert_eq!(
        rest.iter().map(|(index, result)| (*index, result.is_ok())).collect::<Vec<_>>(),
        [(0, false), (2, true), (3, true)]
    );
    assert!(job.is_settled());
}

#[test]
fn a_result_that_comes_after_its_item_was_timed_out_is_dropped() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 4, limited(None, Some(5), 0));
    let chunk = fakes[0].take().expect("it was sent a chunk");
    fakes[0].set_running(&chunk, 1);
    fakes[0].set_running_for(Some(Duration::from_secs(6)));
    look(&mut driver);
    delivered(&job);
    fakes[0].echo(&chunk, 0, 2);
    driver.turn();
    assert_eq!(delivered(&job), [(0, Ok(0))]);
}

#[test]
fn an_item_that_is_tried_again_is_told_of_once_it_ends() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 1, limited(None, Some(5), 1));
    run(&fakes[0], 0, 6);
    look(&mut driver);
    driver.detach(0, &killed());
    assert_eq!(delivered(&job), []);
    let fake = add_worker(&mut driver, 0);
    while fake.is_empty() {
        driver.turn();
    }
    echo_all(&mut driver, &[fake]);
    assert_eq!(delivered(&job), [(0, Ok(0))]);
}

#[test]
fn a_task_is_told_that_it_should_end() {
    let (mut driver, fakes) = ready(1, Rules::default());
    numbers(&mut driver, 4, limited(Some(5), None, 0));
    run(&fakes[0], 2, 4);
    look(&mut driver);
    assert_eq!(fakes[0].interrupted(), None);
    fakes[0].set_running_for(Some(Duration::from_secs(6)));
    look(&mut driver);
    assert_eq!(fakes[0].interrupted(), Some(2));
    assert!(driver.take_effects().end.is_empty());
}

#[test]
fn an_item_that_was_answered_does_not_end_again_though_its_worker_still_says_it_is_at_it() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 4, limited(None, Some(5), 0));
    let chunk = fakes[0].take().expect("it was sent a chunk");
    fakes[0].set_running(&chunk, 1);
    fakes[0].set_running_for(Some(Duration::from_secs(6)));
    fakes[0].echo(&chunk, 0, 2);
    look(&mut driver);
    assert!(driver.take_effects().end.is_empty() && !fakes[0].is_halted());
    fakes[0].echo(&chunk, 2, 2);
    driver.turn();
    assert_eq!(delivered(&job), [(0, Ok(0)), (1, Ok(1)), (2, Ok(2)), (3, Ok(3))]);
    assert!(job.is_settled());
}

#[test]
fn nobody_needs_to_drive_once_every_limited_item_has_ended() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 4, limited(None, Some(3600), 0));
    assert_eq!(driver.open_jobs(), 1);
    echo_all(&mut driver, &fakes);
    assert!(job.is_settled());
    assert_eq!(driver.open_jobs(), 0);
}

#[test]
fn the_next_item_of_a_chunk_is_told_in_time_as_well() {
    let (mut driver, fakes) = ready(1, Rules::default());
    numbers(&mut driver, 4, limited(Some(5), Some(3600), 0));
    run(&fakes[0], 2, 6);
    look(&mut driver);
    assert_eq!(fakes[0].interrupted(), Some(2));
    let next = driver.timers.limits.expect("item 3 may begin at any time");
    assert!(next <= Instant::now() + Duration::from_secs(5));
}

#[test]
fn the_last_item_is_not_looked_at_again_before_something_is_due() {
    for hard in [None, Some(3600)] {
        let (mut driver, fakes) = ready(1, Rules::default());
        numbers(&mut driver, 4, limited(Some(5), hard, 0));
        run(&fakes[0], 3, 6);
        look(&mut driver);
        assert_eq!(fakes[0].interrupted(), Some(3));
        let next = driver.timers.limits.map(|time| time > Instant::now() + Duration::from_secs(3000));
        assert_eq!(next, hard.map(|_| true));
    }
}

#[test]
fn the_item_that_user_code_is_asked_about_may_be_the_lowest_of_a_cancelled_job() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let retry_if = crate::driver::RetryIf(std::sync::Arc::new(|_| true));
    let extras = Extras { retries: 1, retry_if: Some(retry_if), ..Extras::default() };
    let options = JobOptions { extras: Some(Box::new(extras)), ..chunks_of(4) };
    let (job, key) = numbers(&mut driver, 8, options);
    let chunk = fakes[0].take().expect("it was sent a chunk");
    let outcomes =
        [(Status::Ok, &b"0"[..]), (Status::UnknownTask, b""), (Status::Ok, b"2"), (Status::Ok, b"3")];
    fakes[0].answer(FakeWorker::done(&chunk, 0), &outcomes);
    driver.turn();
    let questions = driver.take_effects().ask;
    assert_eq!(questions.len(), 1);
    assert!(driver.cancel(key, Rest::IsEnded));
    assert_eq!(job.aborted().and_then(|error| error.index()), Some(1));
    questions.into_iter().for_each(|question| driver.answer(question.ask()));
    assert!(driver.asked.is_empty());
}

#[test]
fn an_item_that_may_finish_after_its_job_does_so_before_the_deadline_of_that() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let deadline = Instant::now() + Duration::from_secs(60);
    let extras = Extras { deadline: Some(deadline), ..Extras::default() };
    let (_, key) =
        numbers(&mut driver, 1, JobOptions { extras: Some(Box::new(extras)), ..JobOptions::default() });
    let chunk = fakes[0].take().expect("it was sent a chunk");
    fakes[0].set_running(&chunk, 0);
    assert!(driver.cancel(key, Rest::Finishes));
    assert!(fakes[0].interrupted().is_none() && driver.open_jobs() == 1);
    assert_eq!(driver.timers.limits, Some(deadline));
    let at = driver.look_at_worker(0, deadline);
    assert!(at.is_none() && driver.take_effects().end == [(0, 100)]);
}

#[test]
fn an_item_before_those_of_a_cancelled_job_is_not_interrupted() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let plain = || JobOptions { chunk_size: Some(1), ..JobOptions::default() };
    numbers(&mut driver, 1, plain());
    echo_all(&mut driver, &fakes);
    let (other, _) = numbers(&mut driver, 1, plain());
    let (_, key) = numbers(&mut driver, 1, plain());
    let first = fakes[0].take().expect("it was sent a chunk");
    let second = fakes[0].take().expect("it has room for two, the items being short");
    fakes[0].set_running(&first, 0);
    assert!(driver.cancel(key, Rest::IsEnded));
    assert!(fakes[0].is_revoked(&second));
    assert_eq!(fakes[0].interrupted(), None);
    fakes[0].echo(&first, 0, 1);
    driver.turn();
    assert!(other.is_settled());
}

#[test]
fn a_cancelled_item_that_begins_late_is_ended_all_the_same() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (_, key) = numbers(&mut driver, 1, JobOptions::default());
    let chunk = fakes[0].take().expect("it was sent a chunk");
    driver.cancel(key, Rest::IsEnded);
    let is_looked_at = |driver: &mut Driver<_>| {
        let next = driver.timers.limits.expect("it is looked at again");
        while Instant::now() < next {
            std::thread::yield_now();
        }
        driver.turn();
    };
    is_looked_at(&mut driver);
    assert!(!fakes[0].is_halted());
    fakes[0].set_running(&chunk, 0);
    is_looked_at(&mut driver);
    assert!(fakes[0].is_halted());
    assert_eq!(driver.take_effects().end, [(0, 100)]);
}

#[test]
fn a_worker_that_went_on_meanwhile_is_left_alone() {
    let (mut driver, fakes) = ready(1, Rules::default());
    let (job, _) = numbers(&mut driver, 4, limited(None, Some(5), 0));
    let chunk = fakes[0].take().expect("it was sent a chunk");
    fakes[0].set_running(&chunk, 3);
    fakes[0].set_running_for(Some(Duration::from_secs(6)));
    // The answer is there before the worker is looked at.
    fakes[0].echo(&chunk, 0, 4);
    look(&mut driver);
    assert!(driver.take_effects().end.is_empty() && !fakes[0].is_halted());
    assert_eq!(delivered(&job).len(), 4);
}

/// How long the driver waits before it looks at limits again.
fn next_look(driver: &Driver<InMemoryLink>) -> Duration {
    let next = driver.timers.limits.expect("it will look again");
    next.saturating_duration_since(Instant::now())
}

/// A worker that runs a long item of a job with other limits, and has one behind it that may take five seconds.
fn queued_behind(first: JobOptions) -> (Driver<InMemoryLink>, FakeWorker, JobKey) {
    let (mut driver, mut fakes) = ready(1, Rules::default());
    // Measured as short, so that chunks are queued.
    numbers(&mut driver, 1, JobOptions::default());
    echo_all(&mut driver, &fakes);
    let (_, key) = numbers(&mut driver, 1, first);
    numbers(&mut driver, 1, limited(None, Some(5), 0));
    run(&fakes[0], 0, 1);
    assert!(!fakes[0].is_empty(), "the other one is queued");
    (driver, fakes.remove(0), key)
}

#[test]
fn an_item_with_a_short_limit_is_looked_at_in_time_behind_one_with_a_long_limit() {
    let (mut driver, _fake, _) = queued_behind(limited(None, Some(3600), 0));
    look(&mut driver);
    assert!(next_look(&driver) <= Duration::from_secs(5));
}

#[test]
fn an_item_with_a_short_limit_is_looked_at_in_time_behind_one_that_may_finish() {
    let deadline = Some(Instant::now() + Duration::from_secs(3600));
    let extras = Extras { deadline, ..Extras::default() };
    let first = JobOptions { extras: Some(Box::new(extras)), ..JobOptions::default() };
    let (mut driver, _fake, key) = queued_behind(first);
    assert!(driver.cancel(key, Rest::Finishes));
    look(&mut driver);
    assert!(next_look(&driver) <= Duration::from_secs(5));
}

#[test]
fn an_item_that_was_begun_though_the_one_before_it_is_not_answered_is_looked_at_in_time() {
    for first in [JobOptions::default(), limited(None, Some(3600), 0)] {
        let (mut driver, fake, _) = queued_behind(first);
        run(&fake, 0, 0);
        look(&mut driver);
        assert!(next_look(&driver) <= Duration::from_secs(5));
    }
}

#[test]
fn a_worker_between_two_items_is_still_looked_at_for_one_that_is_to_end() {
    let (mut driver, fakes) = ready(1, Rules::default());
    numbers(&mut driver, 1, JobOptions::default());
    echo_all(&mut driver, &fakes);
    let (_, key) = numbers(&mut driver, 1, limited(None, Some(3600), 0));
    numbers(&mut driver, 1, limited(None, Some(3600), 0));
    // The worker has not begun either of them.
    driver.cancel(key, Rest::IsEnded);
    look(&mut driver);
    assert!(next_look(&driver) <= CANCEL_GRACE);
    let _ = fakes;
}
