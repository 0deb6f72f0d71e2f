//! Chunks that a worker has been handed and has not answered in full.
//!
//! Owned by the driver, so nothing here locks. A worker answers in the order in which it was asked. Every item
//! that enters leaves exactly once: by [`complete`](InFlight::complete) or by [`lose`](InFlight::lose).

use std::collections::VecDeque;
use std::ops::Range;

use crate::driver::chunk::Load;
use crate::frame::FrameHeader;
use crate::id::JobKey;
use crate::job::block::Block;
use crate::transport::link::{Corrupt, Sent};

/// A chunk in the hands of a worker.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) job: JobKey,
    pub(crate) sent: Sent,
    number: u64,
    block: Block,
    /// Items answered.
    done: u32,
    recall: Recall,
}

/// Whether a chunk was asked back, and with what success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recall {
    No,
    /// The worker may have begun it; if not, it answers that it skipped it.
    Asked,
    /// It is another worker's now; the answer says nothing.
    Taken,
}

/// The chunks of one worker, oldest first.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    chunks: VecDeque<Chunk>,
    last_number: u64,
    items: usize,
    bytes: usize,
}

/// Items that a worker has answered.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) job: JobKey,
    /// Place in the job of the first of them.
    pub(crate) first: usize,
    /// If the worker skipped them because the chunk was asked back, these are to be sent again.
    pub(crate) recalled: Option<Block>,
}

/// What becomes of the items of a worker that died.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// The item that it was running; several only if what it said of the ones before could not be read.
    pub(crate) started: Option<(JobKey, Range<usize>)>,
    /// What it had not started, oldest first.
    pub(crate) unstarted: Vec<(JobKey, Block)>,
}

impl InFlight {
    /// The number that the next chunk gets; numbers tell the chunks of one link apart.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// Notes that a chunk was sent.
    pub(crate) fn insert(&mut self, job: JobKey, block: Block, sent: Sent) {
        self.last_number += 1;
        self.items += block.count as usize;
        self.bytes += block.bytes().len();
        self.chunks.push_back(Chunk {
            job,
            sent,
            number: self.last_number,
            block,
            done: 0,
            recall: Recall::No,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn load(&self) -> Load {
        Load { chunks: self.chunks.len(), items: self.items, bytes: self.bytes }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }

    /// Takes out what a frame answers; `None` if that is of no interest any more. `skipped`: all of it.
    ///
    /// # Errors
    ///
    /// If the worker answers something that it was not asked.
    pub(crate) fn complete(
        &mut self,
        header: &FrameHeader,
        skipped: bool,
    ) -> Result<Option<Completed>, Corrupt> {
        let Some(chunk) = self.chunks.front_mut() else {
            return Err(Corrupt(format!("results for chunk {}, but none was sent", header.chunk)));
        };
        let end = u64::from(header.first) + u64::from(header.count);
        if header.chunk != chunk.number || header.first != chunk.done || end > u64::from(chunk.block.count) {
            return Err(Corrupt(format!(
                "results for items {}..{end} of chunk {}, but item {} of chunk {} was due",
                header.first, header.chunk, chunk.done, chunk.number
            )));
        }
        let recall = chunk.recall;
        if recall == Recall::Taken && !skipped {
            return Err(Corrupt(format!("results for chunk {}, which was taken back", header.chunk)));
        }
        let completed = Completed {
            job: chunk.job,
            first: chunk.block.first + header.first as usize,
            recalled: (recall == Recall::Asked && skipped)
                .then(|| chunk.block.clone().part(header.first, header.count))
                .flatten(),
        };
        chunk.done += header.count;
        if recall != Recall::Taken {
            self.items -= header.count as usize;
        }
        if chunk.done == chunk.block.count {
            if recall != Recall::Taken {
                self.bytes -= chunk.block.bytes().len();
            }
            self.chunks.pop_front();
        }
        Ok((recall != Recall::Taken).then_some(completed))
    }

    /// Takes back the later half of what is queued behind the chunk that is due; `ask` asks the worker. What is
    /// returned is to be sent to others, oldest first.
    pub(crate) fn recall(&mut self, mut ask: impl FnMut(Sent, u64) -> bool) -> Vec<(JobKey, Block)> {
        let queued: Vec<usize> =
            (1..self.chunks.len()).filter(|place| self.chunks[*place].recall == Recall::No).collect();
        let mut taken = Vec::new();
        for place in queued[queued.len() / 2..].iter() {
            let chunk = &mut self.chunks[*place];
            if ask(chunk.sent, chunk.number) {
                chunk.recall = Recall::Taken;
                self.items -= chunk.block.count as usize;
                self.bytes -= chunk.block.bytes().len();
                taken.push((chunk.job, chunk.block.clone()));
            } else {
                chunk.recall = Recall::Asked;
            }
        }
        taken
    }

    /// What is due next, and whether something that could be taken back is queued behind it.
    pub(crate) fn due(&self) -> Option<(u64, u32, bool)> {
        let front = self.chunks.front()?;
        let has_queued = self.chunks.iter().skip(1).any(|chunk| chunk.recall == Recall::No);
        Some((front.number, front.done, has_queued))
    }

    /// Takes everything out, because the worker died; `running` is what it said last.
    pub(crate) fn lose(&mut self, running: (u32, u32)) -> Lost {
        let mut lost = Lost::default();
        for chunk in self.chunks.drain(..).filter(|chunk| chunk.recall != Recall::Taken) {
            let mut ended = chunk.done;
            if chunk.number as u32 == running.0 && (chunk.done..chunk.block.count).contains(&running.1) {
                // Whatever was begun may have had effects, so it is not begun again.
                ended = running.1 + 1;
                let begun = chunk.block.first + chunk.done as usize..chunk.block.first + ended as usize;
                lost.started = Some((chunk.job, begun));
            }
            if let Some(rest) = chunk.block.skip(ended) {
                lost.unstarted.push((chunk.job, rest));
            }
        }
        self.items = 0;
        self.bytes = 0;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, Status, append_entry};

    const JOB: JobKey = JobKey { place: 0, turn: 1 };

    fn with_chunks(sizes: &[u32]) -> InFlight {
        let mut in_flight = InFlight::default();
        let mut first = 100;
        for size in sizes {
            let mut body = Vec::new();
            for _ in 0..*size {
                append_entry::<()>(&mut body, |_| Ok(Status::Ok)).unwrap();
            }
            in_flight.insert(JOB, Block::take(first, *size, &mut body), Sent(0));
            first += *size as usize;
        }
        in_flight
    }

    fn answer(chunk: u64, first: u32, count: u32) -> FrameHeader {
        FrameHeader { chunk, first, count, ..FrameHeader::new(Kind::Done) }
    }

    #[test]
    fn answers_in_parts_leave_once_all_parts_came() {
        let mut in_flight = with_chunks(&[3, 2]);
        assert_eq!(in_flight.complete(&answer(1, 0, 2), false).unwrap().unwrap().first, 100);
        assert_eq!(in_flight.load().items, 3);
        assert_eq!(in_flight.complete(&answer(1, 2, 1), false).unwrap().unwrap().first, 102);
        assert_eq!(in_flight.complete(&answer(2, 0, 2), false).unwrap().unwrap().first, 103);
        assert_eq!(in_flight.load(), Load::default());
    }

    #[test]
    fn answers_that_were_not_asked_for_are_corrupt() {
        for wrong in [answer(2, 0, 1), answer(1, 1, 1), answer(1, 0, 4), answer(1, u32::MAX, u32::MAX)] {
            assert!(with_chunks(&[3]).complete(&wrong, false).is_err());
        }
        assert!(InFlight::default().complete(&answer(1, 0, 1), false).is_err());
    }

    #[test]
    fn only_the_running_item_is_lost_and_what_is_behind_it_is_not_started() {
        let mut in_flight = with_chunks(&[4, 2]);
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        let lost = in_flight.lose((1, 1));
        assert_eq!(lost.started, Some((JOB, 101..102)));
        let rest: Vec<_> = lost.unstarted.iter().map(|(_, block)| (block.first, block.count)).collect();
        assert_eq!(rest, [(102, 2), (104, 2)]);
    }

    #[test]
    fn no_item_that_was_begun_is_begun_again_even_if_its_result_could_not_be_read() {
        let lost = with_chunks(&[5]).lose((1, 2));
        assert_eq!(lost.started, Some((JOB, 100..103)));
        assert_eq!(
            lost.unstarted.iter().map(|(_, block)| (block.first, block.count)).collect::<Vec<_>>(),
            [(103, 2)]
        );
    }

    #[test]
    fn a_worker_that_dies_between_items_loses_none() {
        let mut in_flight = with_chunks(&[2, 2]);
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        // It had finished item 0, the last one that it said it was running.
        let lost = in_flight.lose((1, 0));
        assert_eq!(lost.started, None);
        assert_eq!(lost.unstarted.iter().map(|(_, block)| block.count).sum::<u32>(), 3);
    }

    #[test]
    fn queued_chunks_are_taken_back_and_their_answers_ignored() {
        let mut in_flight = with_chunks(&[1, 2, 3]);
        let taken = in_flight.recall(|_, _| true);
        assert_eq!(taken.iter().map(|(_, block)| (block.first, block.count)).collect::<Vec<_>>(), [(103, 3)]);
        assert_eq!(in_flight.load().items, 3);
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        in_flight.complete(&answer(2, 0, 2), false).unwrap();
        assert!(in_flight.complete(&answer(3, 0, 3), false).is_err(), "what was taken back must not be run");
        assert!(in_flight.complete(&answer(3, 0, 3), true).unwrap().is_none());
        assert!(in_flight.is_empty() && in_flight.load() == Load::default());
    }

    #[test]
    fn a_chunk_that_was_asked_back_too_late_is_run_or_comes_back_by_its_answer() {
        for skipped in [false, true] {
            let mut in_flight = with_chunks(&[1, 2]);
            assert!(in_flight.recall(|_, _| false).is_empty());
            in_flight.complete(&answer(1, 0, 1), false).unwrap();
            let completed = in_flight.complete(&answer(2, 0, 2), skipped).unwrap().unwrap();
            assert_eq!(
                completed.recalled.map(|block| (block.first, block.count)),
                skipped.then_some((101, 2))
            );
        }
    }

    #[test]
    fn what_was_taken_back_is_not_lost_with_its_worker() {
        let mut in_flight = with_chunks(&[1, 2]);
        in_flight.recall(|_, _| true);
        let lost = in_flight.lose((2, 0));
        assert_eq!((lost.started, lost.unstarted.len()), (None, 1));
    }
}
