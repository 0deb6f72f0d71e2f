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

/// The untyped half of a lazy job. Dropping it cancels what is left.
pub(crate) struct Stream<'p> {
    engine: Arc<dyn Engine>,
    job: Arc<Job>,
    key: JobKey,
    feed: Box<dyn Feed + 'p>,
    /// Items read and not yet consumed may be this many; `None` lets the driver decide.
    window: Option<usize>,
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
        window: Option<usize>,
    ) -> Self {
        Self {
            engine,
            job,
            key,
            feed,
            window,
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
        if let (false, Err(error)) = (self.over, self.check_waiting()) {
            // In a fork of the owner there is nothing to cancel.
            self.engine.cancel(self.key, Rest::Finishes);
            self.over = true;
            return Next::Aborted(error);
        }
        loop {
            if self.over {
                return Next::End;
            }
            // First of all: what was delivered before the job was settled is then taken below.
            let settled = self.job.is_settled();
            let (one, more) = self.job.take();
            let nothing = one.is_none() && more.is_empty();
            one.into_iter().chain(more).for_each(|delivery| self.put(delivery));
            self.feed_while_wanted();
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
            if nothing && !self.engine.wait(&self.job, Until::News, deadline) {
                return Next::NotYet;
            }
        }
    }

    fn check_waiting(&self) -> Result<(), Error> {
        self.engine.check_caller()?;
        callback::check_waiting("next")
    }

    /// Reads input as long as the driver wants some and the window is open.
    fn feed_while_wanted(&mut self) {
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
        }
    }

    fn window_is_open(&self, window: usize) -> bool {
        let outstanding = self.read - self.consumed;
        outstanding == 0 || outstanding < window && self.held < HELD_BYTES
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
