//! A job whose input is read as its results are taken: what `map`, `imap` and their kin are made of.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::id::JobKey;
use crate::job::sink::InOrder;
use crate::job::source::{Fed, Feed};
use crate::job::{Delivery, Demand, Engine, Job, Rest, Until, callback};

/// Results that wait for their consumer hold up the input beyond this many bytes.
const HELD_BYTES: usize = 64 << 20;

/// In which order results are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Input,
    Completion,
}

/// How far the input may be read ahead of the results that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// By so many items, and while no more than [`HELD_BYTES`] wait for the consumer; `None` lets the driver say how many.
    Window(Option<usize>),
    /// As far as workers have room, because every result is kept anyway.
    Unbounded,
}

/// What a look at the stream yields.
#[derive(Debug)]
pub(crate) enum Next {
    Delivery(Delivery),
    /// The job was ended as a whole.
    Aborted(Error),
    /// Every item has been taken.
    End,
    /// The deadline came first.
    NotYet,
}

fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

/// The untyped half of a lazy job. Dropping it cancels what is left.
pub(crate) struct Stream<'p> {
    engine: Arc<dyn Engine>,
    job: Arc<Job>,
    key: JobKey,
    feed: Box<dyn Feed + 'p>,
    /// Items read and not yet consumed may be this many; `None` lets the driver decide.
    window: Option<usize>,
    /// The same of bytes of results.
    most_held: usize,
    read: usize,
    consumed: usize,
    input_ended: bool,
    over: bool,
    order: Order,
    in_order: InOrder,
    as_finished: VecDeque<Delivery>,
    held: usize,
}

impl<'p> Stream<'p> {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        job: Arc<Job>,
        key: JobKey,
        feed: Box<dyn Feed + 'p>,
        order: Order,
        ahead: Ahead,
    ) -> Self {
        let (window, most_held) = match ahead {
            Ahead::Window(window) => (window, HELD_BYTES),
            Ahead::Unbounded => (Some(usize::MAX), usize::MAX),
        };
        Self {
            engine,
            job,
            key,
            feed,
            window,
            most_held,
            read: 0,
            consumed: 0,
            input_ended: false,
            over: false,
            order,
            in_order: InOrder::default(),
            as_finished: VecDeque::new(),
            held: 0,
        }
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// Says that the consumer is done with that many items, so that as many more may be read.
    pub(crate) fn consume(&mut self, items: usize) {
        self.consumed += items;
    }

    /// Returns the next delivery; waits for it until the deadline, and for ever without one.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Next {
        loop {
            if self.over {
                return Next::End;
            }
            // Every time, because the caller's iterator, which is read below, may fork the program: in the child another thread may
            // have the job's lock for ever.
            if let Err(error) = self.check_waiting() {
                return self.refuse(error);
            }
            // First of all: what was delivered before the job was settled is then taken below.
            let settled = self.job.is_settled();
            let delivered = self.job.take();
            let nothing = delivered.is_empty();
            delivered.into_iter().for_each(|delivery| self.put(delivery));
            self.feed_while_wanted(deadline);
            if let Some(delivery) = self.take_next() {
                return Next::Delivery(delivery);
            }
            if nothing && settled {
                self.over = true;
                return match self.job.aborted() {
                    Some(error) => Next::Aborted(error),
                    None => self.leftover().map_or(Next::End, |delivery| {
                        self.over = false;
                        Next::Delivery(delivery)
                    }),
                };
            }
            let not_yet = if nothing {
                !self.engine.wait(&self.job, Until::News, deadline)
            } else {
                // Others than the next may come without end; that all have come is still to be told.
                !settled && has_passed(deadline)
            };
            if not_yet {
                // The caller's iterator, which was just read, may have forked the program.
                return match self.engine.check_caller() {
                    Ok(()) => Next::NotYet,
                    Err(error) => self.refuse(error),
                };
            }
        }
    }

    fn check_waiting(&self) -> Result<(), Error> {
        self.engine.check_caller()?;
        callback::check_waiting("next")
    }

    /// Ends with an error where nothing can be waited for.
    fn refuse(&mut self, error: Error) -> Next {
        // In a fork of the owner there is nothing to cancel.
        self.engine.cancel(self.key, Rest::Finishes);
        self.over = true;
        Next::Aborted(error)
    }

    /// Reads input as long as the driver wants some, the window is open and there is time; some in any case.
    fn feed_while_wanted(&mut self, deadline: Option<Instant>) {
        while !self.input_ended && self.window_is_open(self.window.unwrap_or(usize::MAX)) {
            let demand = match self.engine.demand(self.key, self.feed.remaining()) {
                Some(demand) => demand,
                // The end needs no room in a worker.
                None if self.feed.remaining() == Some(0) => Demand { items: 1, bytes: 1, ahead: usize::MAX },
                None => return,
            };
            let window = self.window.unwrap_or(demand.ahead);
            if !self.window_is_open(window) {
                return;
            }
            let room = window - (self.read - self.consumed);
            match self.feed.feed(Demand { items: demand.items.min(room), ..demand }) {
                Fed::Block(block) => {
                    self.read += block.count as usize;
                    self.engine.push(self.key, block);
                }
                Fed::Failed(index, error) => {
                    self.read += 1;
                    self.engine.fail_item(self.key, index, error);
                }
                Fed::End => {
                    self.input_ended = true;
                    self.engine.finish_input(self.key);
                }
            }
            if has_passed(deadline) {
                return;
            }
        }
    }

    fn window_is_open(&self, window: usize) -> bool {
        let outstanding = self.read - self.consumed;
        outstanding == 0 || outstanding < window && self.held < self.most_held
    }

    fn put(&mut self, delivery: Delivery) {
        self.held += delivery.size();
        match self.order {
            Order::Input => self.in_order.put(delivery),
            Order::Completion => self.as_finished.push_back(delivery),
        }
    }

    fn take_next(&mut self) -> Option<Delivery> {
        let delivery = match self.order {
            Order::Input => self.in_order.next(),
            Order::Completion => self.as_finished.pop_front(),
        }?;
        self.held -= delivery.size();
        Some(delivery)
    }

    /// What comes after items that a job lacks because it was given up at its first failure.
    fn leftover(&mut self) -> Option<Delivery> {
        let delivery = self.in_order.next_even_after_a_gap()?;
        self.held -= delivery.size();
        Some(delivery)
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.engine.cancel(self.key, Rest::Finishes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::ThreadId;

    use super::*;
    use crate::job::Hook;
    use crate::job::block::Block;
    use crate::job::source::Nothing;

    /// More than a call may do whose time is over, and fewer than without end.
    const MANY: usize = 1000;

    /// Has news for whoever waits, whatever the time: one of the items from 1 on has failed.
    struct Unending {
        failed: AtomicUsize,
        wants: bool,
    }

    impl Engine for Unending {
        fn check_caller(&self) -> Result<(), Error> {
            Ok(())
        }

        fn wait(&self, job: &Job, _: Until, _: Option<Instant>) -> bool {
            let index = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(index < MANY, "it waits again and again");
            job.deliver_failure(index, Error::Terminated);
            true
        }

        fn demand(&self, _: JobKey, _: Option<usize>) -> Option<Demand> {
            self.wants.then_some(Demand { items: 1, bytes: 1, ahead: usize::MAX })
        }

        fn push(&self, _: JobKey, _: Block) {}

        fn fail_item(&self, _: JobKey, _: usize, _: Error) {}

        fn finish_input(&self, _: JobKey) {}

        fn cancel(&self, _: JobKey, _: Rest) -> bool {
            false
        }

        fn announce(&self, _: &Job) {}

        fn prepare_callbacks(&self) -> Result<Option<ThreadId>, Error> {
            Ok(None)
        }

        fn call_back(&self, _: Hook) {}
    }

    /// Input without end.
    struct Endless(usize);

    impl Feed for Endless {
        fn feed(&mut self, _: Demand) -> Fed {
            self.0 += 1;
            assert!(self.0 < MANY, "it reads and reads");
            Fed::Failed(self.0, Error::Terminated)
        }

        fn remaining(&self) -> Option<usize> {
            None
        }
    }

    fn stream(feed: Box<dyn Feed>, wants: bool) -> (Stream<'static>, Arc<Job>) {
        let job = Arc::new(Job::new("echo"));
        let engine = Arc::new(Unending { failed: AtomicUsize::new(0), wants });
        (Stream::new(engine, job.clone(), JobKey::NONE, feed, Order::Input, Ahead::Window(None)), job)
    }

    fn index(next: Next) -> Option<usize> {
        match next {
            Next::Delivery(delivery) => Some(delivery.first()),
            _ => None,
        }
    }

    #[test]
    fn news_of_other_items_does_not_prolong_a_wait_for_the_next() {
        let (mut stream, job) = stream(Box::new(Nothing), false);
        for _ in 0..3 {
            assert!(matches!(stream.next(Some(Instant::now())), Next::NotYet));
        }
        job.deliver_failure(0, Error::Terminated);
        assert_eq!(index(stream.next(Some(Instant::now()))), Some(0));
        assert_eq!(index(stream.next(Some(Instant::now()))), Some(1));
    }

    #[test]
    fn input_is_read_no_longer_than_there_is_time() {
        let (mut stream, _) = stream(Box::new(Endless(0)), true);
        for _ in 0..3 {
            let before = stream.read;
            assert!(matches!(stream.next(Some(Instant::now())), Next::NotYet));
            assert!(stream.read > before, "some is read in any case");
        }
    }
}
