//! Time limits: what an item may take, and the end of workers whose items took more.
//!
//! A worker is first halted: it begins nothing more, so that whatever ends it hits the item that it is at and no other.
//! If it is at another item by then, it goes on. What becomes of its items is settled in
//! [`detach`](Driver::detach), once its process is gone; only an item that ran out of time and is not tried
//! again is told at once.

use std::time::{Duration, Instant};

use crate::driver::Driver;
use crate::driver::in_flight::Chunk;
use crate::driver::workers::State;
use crate::error::{Error, TimeLimit};
use crate::id::JobKey;
use crate::job::Rest;
use crate::transport::link::{Link, Running};

/// How long the running item of a cancelled job has to come to its end before its worker is ended.
const CANCEL_GRACE: Duration = Duration::from_millis(10);
/// A worker that begins nothing for so long, though it has something to do whose time counts, is stopped or stuck.
const UNRESPONSIVE: Duration = Duration::from_secs(1);

/// Time between two looks at a worker whose limited item has not begun, however short the limit is.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

/// What each item of a job may take, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Then its task is told.
    pub(crate) soft: Option<Duration>,
    /// Then its worker is ended.
    pub(crate) hard: Option<Duration>,
}

impl Limits {
    pub(crate) fn is_set(self) -> bool {
        self != Self::default()
    }

    /// The first of the two.
    pub(super) fn first(self) -> Option<Duration> {
        self.soft.into_iter().chain(self.hard).min()
    }
}

/// Where a worker was when it was looked at last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    running: Running,
    /// The chunk that is due.
    number: u64,
    since: Instant,
    is_told: bool,
}

/// Why a worker is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The item that it is at took longer than this.
    RanTooLong(Duration),
    /// The job of the item that it is at was ended.
    Unwanted,
    /// It does not begin what it should, or what it ran is not answered, longer than this and [`UNRESPONSIVE`].
    Unresponsive(Duration),
}

/// A worker that was halted and is to be ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sentence {
    verdict: Verdict,
    /// The last item that it began.
    pub(super) running: Running,
    /// Place in its job of the item that ran too long.
    index: usize,
}

impl Sentence {
    /// The limit that this item exceeded.
    pub(super) fn limit_of(&self, index: usize) -> Option<Duration> {
        match self.verdict {
            Verdict::RanTooLong(limit) | Verdict::Unresponsive(limit) if self.index == index => Some(limit),
            _ => None,
        }
    }
}

impl<L: Link> Driver<L> {
    /// Does what is due now.
    pub(super) fn keep_time(&mut self) {
        let Some(due) = self.timers.due() else { return };
        let now = Instant::now();
        if due > now {
            return;
        }
        while let Some(key) = self.timers.next_deadline(now) {
            self.end_job(key, Rest::IsEnded, |task, index| {
                let limit = TimeLimit::Deadline;
                Error::TimedOut { task, index, limit, pid: None, attempts: 0 }
            });
        }
        self.queue_retries(now);
        if self.timers.limits.is_some_and(|time| time <= now) {
            self.timers.limits = None;
            for place in 0..self.slots.len() {
                if let Some(next) = self.look_at_worker(place, now) {
                    self.timers.look_at_limits(next);
                }
            }
        }
    }

    /// Ends a job as a whole; false if it had ended.
    pub(super) fn end_job(
        &mut self,
        key: JobKey,
        rest: Rest,
        error: impl FnOnce(&'static str, usize) -> Error,
    ) -> bool {
        let index = self.lowest_unended(key);
        let Some(job) = self.remove_job(key) else { return false };
        let deadline = job.deadline();
        job.job.abort(error(job.job.task, index));
        self.effects.notify.push(job.job);
        self.timers.drop_retries(key);
        self.revoke(key);
        match rest {
            Rest::IsEnded => {
                self.interrupt_running(key);
                self.end_running(key, Instant::now() + CANCEL_GRACE);
            }
            // What may finish has as long as it had before.
            Rest::Finishes => deadline.into_iter().for_each(|deadline| self.end_running(key, deadline)),
        }
        self.leave_if_done();
        true
    }

    /// The lowest item of a job that has not ended, if only because it was not read.
    fn lowest_unended(&mut self, key: JobKey) -> usize {
        let workers = self.slots.iter().filter_map(|slot| slot.get());
        let chunks = workers.flat_map(|worker| worker.in_flight.iter());
        let in_flight = chunks.filter(|chunk| chunk.job == key).filter_map(Chunk::next_index).min();
        let retried = self.timers.retries_of(key).map(|block| block.first).min();
        let asked = self.asked.iter().filter(|(job, _)| *job == key).map(|(_, index)| *index).min();
        let Some(job) = self.jobs.get(key) else { return 0 };
        [in_flight, retried, asked, job.lowest_unsent()].into_iter().flatten().min().unwrap_or(job.pushed)
    }

    /// Tells the running items of a job that they should come to an end.
    fn interrupt_running(&mut self, key: JobKey) {
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let running = worker.link.running();
            if worker.in_flight.find_running(running).is_some_and(|chunk| chunk.job == key) {
                worker.link.interrupt(running);
            }
        }
    }

    /// Sees to it that no worker runs an item of this job after that.
    fn end_running(&mut self, key: JobKey, by: Instant) {
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            if worker.in_flight.end_chunks_of(key, by) {
                self.timers.look_at_limits(by);
            }
        }
    }

    /// Looks at the item that a worker is at; tells when to look again.
    fn look_at_worker(&mut self, place: usize, now: Instant) -> Option<Instant> {
        let worker = self.slots[place].worker.as_mut()?;
        if worker.sentence.is_some() {
            return None;
        }
        let running = worker.link.running();
        let at = worker.in_flight.find_running(running);
        if let Some(end_by) = at.and_then(|chunk| chunk.end_by) {
            if end_by > now {
                return Some(end_by);
            }
            return self.sentence(place, Verdict::Unwanted, running);
        }
        let Some((ahead, number, limits)) = worker.in_flight.first_limited() else {
            worker.seen = None;
            let end_by = worker.in_flight.end_by()?;
            if end_by > now {
                return Some(end_by);
            }
            if at.is_none() {
                // It may have looked whether to skip the item before it was told to, and begin it yet.
                return Some(now + CANCEL_GRACE);
            }
            // What is behind an item that runs will be skipped.
            worker.in_flight.forget_ends();
            return None;
        };
        let first = limits.first()?.max(SHORTEST_LOOK);
        if ahead {
            return Some(now + first);
        }
        let seen = match worker.seen {
            Some(seen) if seen.running == running && seen.number == number => seen,
            _ => Seen { running, number, since: now, is_told: false },
        };
        worker.seen = Some(seen);
        let measured = worker.link.running_for().filter(|_| at.is_some_and(|chunk| chunk.number() == number));
        let (Some(measured), true) = (measured, worker.link.running() == running) else {
            // Between two items, or stopped there.
            let Some(hard) = limits.hard else { return Some(now + first) };
            let due = seen.since + hard.max(UNRESPONSIVE);
            if due > now {
                return Some(due.min(now + first));
            }
            return self.sentence(place, Verdict::Unresponsive(hard), running);
        };
        // What a worker says of its own clock cannot make it live longer than what was seen.
        let age = measured.max(now - seen.since);
        if let Some(hard) = limits.hard.filter(|hard| age >= *hard) {
            return self.sentence(place, Verdict::RanTooLong(hard), running);
        }
        if !seen.is_told && limits.soft.is_some_and(|soft| age >= soft) {
            worker.link.interrupt(running);
            worker.seen = Some(Seen { is_told: true, ..seen });
        }
        let first = worker.in_flight.has_limited_after(running).then_some(first);
        let soft_left = limits.soft.and_then(|soft| soft.checked_sub(age)).filter(|left| !left.is_zero());
        let hard_left = limits.hard.map(|hard| hard - age);
        // The next item may begin at any time, and its time counts from then.
        let left = soft_left.into_iter().chain(hard_left).chain(first).min()?;
        Some(now + left)
    }

    /// Halts a worker and has it ended, if it is still where it was seen; returns when to look again if not.
    fn sentence(&mut self, place: usize, verdict: Verdict, seen: Running) -> Option<Instant> {
        let worker = self.slots[place].worker.as_mut()?;
        worker.link.halt();
        self.receive(place);
        let worker = self.slots[place].worker.as_mut()?;
        let running = worker.link.running();
        // An item that was answered by now has ended, even if the worker still says that it is at it.
        let chunk = worker.in_flight.find_running(running);
        let is_there = match verdict {
            Verdict::RanTooLong(_) => running == seen && chunk.is_some(),
            Verdict::Unwanted => chunk.is_some_and(|chunk| chunk.end_by.is_some()),
            Verdict::Unresponsive(_) => running == seen && !worker.in_flight.is_empty(),
        };
        if !is_there {
            worker.link.resume();
            return Some(Instant::now());
        }
        let (key, index) =
            chunk.map_or((JobKey::NONE, usize::MAX), |chunk| (chunk.job, chunk.index_of(running.item)));
        worker.sentence = Some(Sentence { verdict, running, index });
        worker.state = State::Leaving;
        let pid = worker.pid;
        self.effects.end.push((place, pid));
        if let Verdict::RanTooLong(limit) = verdict {
            self.time_out(place, key, index, limit);
        }
        None
    }

    /// Tells at once of an item that ran too long, unless it is to be tried again, which takes the end of its worker.
    fn time_out(&mut self, place: usize, key: JobKey, index: usize, limit: Duration) {
        let Some(job) = self.jobs.get(key) else { return };
        if job.may_retry(index) {
            return;
        }
        let attempts = job.count_attempt(index);
        let task = job.job.task;
        let Some(worker) = &mut self.slots[place].worker else { return };
        if let Some(sentence) = worker.sentence {
            worker.in_flight.decide(sentence.running);
        }
        let pid = Some(worker.pid);
        let limit = TimeLimit::Timeout(limit);
        self.fail(key, index, Error::TimedOut { task, index, limit, pid, attempts });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tests::{add_worker, chunks_of, delivered, echo_all, numbers, ready};
    use crate::driver::{Extras, JobOptions, Rules};
    use crate::exit::{Ended, Exit};
    use crate::frame::Status;
    use crate::transport::in_memory::FakeWorker;

    fn limited(soft: Option<u64>, hard: Option<u64>, retries: u32) -> JobOptions {
        let limits = Limits { soft: soft.map(Duration::from_secs), hard: hard.map(Duration::from_secs) };
        let extras = Extras { limits, retries, ..Extras::default() };
        JobOptions { chunk_size: Some(4), extras: Some(Box::new(extras)), ..JobOptions::default() }
    }

    /// Looks at the limits now, whenever the next look is due.
    fn look(driver: &mut Driver<crate::transport::in_memory::InMemoryLink>) {
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
}
