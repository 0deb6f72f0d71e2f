//! The items of one chunk, one after another: the loop in which a busy worker spends its time.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::frame::{FrameHeader, Status};
use crate::registry::{Run, Stage};
use crate::transport::outbox::{Clock, Outbox};
use crate::transport::worker_link::{Front, Inbox};
use crate::worker::memory::MemoryWatch;
use crate::worker::{panics, run};

/// A chunk that is being run.
pub(crate) struct ChunkRun<'w> {
    chunk: u64,
    clock: Clock,
    front: &'w Front,
    inbox: &'w Inbox,
    /// Where the parent says what it wants skipped.
    mark: &'w AtomicU32,
    /// It wanted all of it skipped before the chunk was begun.
    skips_all: bool,
    outbox: &'w mut Outbox,
    memory: &'w mut Option<MemoryWatch>,
    is_spent: &'w mut bool,
    out: &'w mut Vec<u8>,
    generation: u32,
    /// Place of the item that is next, or that runs.
    index: u32,
    stage: Stage,
}

impl<'w> ChunkRun<'w> {
    pub(crate) fn new(
        front: &'w Front,
        inbox: &'w Inbox,
        outbox: &'w mut Outbox,
        memory: &'w mut Option<MemoryWatch>,
        is_spent: &'w mut bool,
        out: &'w mut Vec<u8>,
        generation: u32,
    ) -> Self {
        let mark = inbox.mark(front);
        let is_timed = front.header.failed & FrameHeader::TIMED != 0;
        let clock = if is_timed { Clock::Runs } else { Clock::Stands };
        Self {
            chunk: front.header.chunk,
            clock,
            front,
            inbox,
            mark,
            skips_all: mark.load(Ordering::Relaxed) != 0,
            outbox,
            memory,
            is_spent,
            out,
            generation,
            index: 0,
            stage: Stage::Decoding,
        }
    }

    /// Runs every item, and commits what comes of each before it begins the next.
    pub(crate) fn run(mut self, run: Option<Run>) {
        let mut items = self.inbox.items(self.front);
        loop {
            match panics::catch(|| self.run_until_panic(&mut items, run)) {
                Ok(()) => return,
                Err(report) => {
                    run::end_child(self.generation);
                    let status = run::panicked(self.stage, &report, self.out);
                    self.outbox.end_item(self.clock);
                    if self.finish(status) {
                        return;
                    }
                }
            }
        }
    }

    fn run_until_panic<'i>(&mut self, items: &mut impl Iterator<Item = &'i [u8]>, run: Option<Run>) {
        for item in items {
            let status = self.run_item(item, run);
            if self.finish(status) {
                return;
            }
        }
    }

    #[inline]
    fn run_item(&mut self, item: &[u8], run: Option<Run>) -> Status {
        loop {
            if self.is_to_skip() {
                self.out.clear();
                return Status::Skipped;
            }
            let Some(run) = run else {
                self.out.clear();
                return Status::UnknownTask;
            };
            if self.outbox.begin_item(self.chunk, self.index, self.clock) {
                let Self { out, outbox, stage, generation, .. } = self;
                let status = run::run_item(run, item, out, &mut **outbox, stage, *generation);
                self.outbox.end_item(self.clock);
                return status;
            }
            self.outbox.stand_by();
        }
    }

    #[inline]
    fn is_to_skip(&self) -> bool {
        self.skips_all || *self.is_spent || self.mark.load(Ordering::Relaxed) == FrameHeader::SKIP_REST
    }

    /// Commits what came of an item; true if nothing more can be done here.
    #[inline]
    fn finish(&mut self, status: Status) -> bool {
        let is_exceeded =
            self.memory.as_mut().is_some_and(|memory| status != Status::Skipped && memory.is_exceeded());
        if is_exceeded {
            *self.is_spent = true;
            self.outbox.commit_last(self.chunk, self.index, status, self.out);
        } else {
            self.outbox.commit(self.chunk, self.index, status, self.out);
        }
        self.index += 1;
        // What is left then is for another worker.
        self.outbox.is_cut_off()
    }
}
