//! Chunks that a worker has been handed and has not answered in full.
//!
//! Owned by the driver, so nothing here locks. A worker answers in the order in which it was asked. Every item
//! that enters leaves exactly once: by [`complete`](InFlight::complete) or by [`lose`](InFlight::lose).

use std::collections::VecDeque;
use std::time::Instant;

use crate::driver::chunk::Load;
use crate::driver::limits::Limits;
use crate::frame::FrameHeader;
use crate::id::JobKey;
use crate::job::block::Block;
use crate::transport::link::{Corrupt, Running, Sent};

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
    pub(crate) limits: Limits,
    /// An item whose end was told before it was answered.
    decided: Option<u32>,
    /// Its job was ended, and by then its running item is to be as well.
    pub(crate) end_by: Option<Instant>,
}

impl Chunk {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Place in its job of an item of this chunk.
    pub(crate) fn index_of(&self, item: u32) -> usize {
        self.block.first + item as usize
    }

    /// Place in its job of the first item that has not ended; `None` if the chunk is another worker's by now.
    pub(crate) fn next_index(&self) -> Option<usize> {
        let next = self.index_of(self.done + u32::from(self.decided == Some(self.done)));
        (self.recall != Recall::Taken).then_some(next)
    }
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
    /// Number of items of the chunk that was answered last.
    last_count: u32,
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
    /// Which of them, counted from the first, was ended before.
    pub(crate) decided: Option<u32>,
    /// What was sent, if some of it failed.
    pub(crate) block: Option<Block>,
}

/// An item that a worker had begun when it died.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) job: JobKey,
    /// What was sent of it.
    pub(crate) item: Block,
    /// Its end was told before.
    pub(crate) is_decided: bool,
}

/// What becomes of the items of a worker that died.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// The items that it had begun, the one that it was running last. Others only if what it said of them could not
    /// be read.
    pub(crate) started: Vec<Begun>,
    /// What it had not started, oldest first.
    pub(crate) unstarted: Vec<(JobKey, Block)>,
}

impl InFlight {
    /// The number that the next chunk gets; numbers tell the chunks of one link apart.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// Notes that a chunk was sent.
    pub(crate) fn insert(&mut self, job: JobKey, block: Block, sent: Sent, limits: Limits) {
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
            limits,
            decided: None,
            end_by: None,
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

    /// The chunk with these low 32 bits of its number.
    fn find(&self, number: u32) -> Option<&Chunk> {
        self.chunks.iter().find(|chunk| chunk.number as u32 == number)
    }

    /// The chunk that a worker is running this item of, as far as is known: it was begun and not answered.
    pub(crate) fn find_running(&self, running: Running) -> Option<&Chunk> {
        // Whatever a worker says of itself, it may be wrong.
        let is_at = |chunk: &&Chunk| (chunk.done..chunk.block.count).contains(&running.item);
        self.find(running.chunk).filter(|_| running.is_begun).filter(is_at)
    }

    /// The first chunk whose items' time is limited: whether others are before it, its number, its limits.
    pub(crate) fn first_limited(&self) -> Option<(bool, u64, Limits)> {
        let place = self.chunks.iter().position(|chunk| chunk.limits.is_set())?;
        Some((place > 0, self.chunks[place].number, self.chunks[place].limits))
    }

    /// Notes that an item's end was told.
    pub(crate) fn decide(&mut self, running: Running) {
        if let Some(chunk) = self.chunks.iter_mut().find(|chunk| chunk.number as u32 == running.chunk) {
            chunk.decided = Some(running.item);
        }
    }

    /// Sets when the chunks of a job that was ended are to be over; false if there are none.
    pub(crate) fn end_chunks_of(&mut self, job: JobKey, end_by: Instant) -> bool {
        let mut any = false;
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.job == job) {
            chunk.end_by = Some(end_by);
            any = true;
        }
        any
    }

    /// When the first chunk is to be over that was ended.
    pub(crate) fn end_by(&self) -> Option<Instant> {
        self.chunks.iter().filter_map(|chunk| chunk.end_by).min()
    }

    /// Forgets when chunks are to be over, because none of them was begun.
    pub(crate) fn forget_ends(&mut self) {
        self.chunks.iter_mut().for_each(|chunk| chunk.end_by = None);
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
            decided: chunk
                .decided
                .and_then(|item| item.checked_sub(header.first))
                .filter(|item| *item < header.count),
            block: (header.failed > 0 && !skipped)
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
            self.last_count = chunk.block.count;
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

    /// Takes back all that is not answered, because the worker will begin nothing more; oldest first.
    pub(crate) fn take_back_all(&mut self) -> Vec<(JobKey, Block)> {
        let mut taken = Vec::new();
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.recall != Recall::Taken) {
            let ended = chunk.done + u32::from(chunk.decided == Some(chunk.done));
            chunk.recall = Recall::Taken;
            taken.extend(chunk.block.clone().skip(ended).map(|rest| (chunk.job, rest)));
        }
        self.items = 0;
        self.bytes = 0;
        taken
    }

    /// What is due next, and whether something that could be taken back is queued behind it.
    pub(crate) fn due(&self) -> Option<(u64, u32, bool)> {
        let front = self.chunks.front()?;
        let has_queued = self.chunks.iter().skip(1).any(|chunk| chunk.recall == Recall::No);
        Some((front.number, front.done, has_queued))
    }

    /// Takes everything out, because the worker died; `running` is the item that it was at. Whatever was begun may have
    /// had effects, so it is not begun again.
    pub(crate) fn lose(&mut self, running: Running) -> Lost {
        let is_possible = self.is_possible(running);
        let mut lost = Lost::default();
        let mut is_first = true;
        for chunk in self.chunks.drain(..).filter(|chunk| chunk.recall != Recall::Taken) {
            let ahead = (chunk.number as u32).wrapping_sub(running.chunk) as i32;
            let ended = match ahead {
                // A worker that says what cannot be may have begun all of the chunk that was due.
                _ if !is_possible && is_first => chunk.block.count,
                _ if !is_possible => chunk.done,
                // It came past this one, and what it answered could not be read.
                ..0 => chunk.block.count,
                0 => chunk.done.max(running.begun()),
                1.. => chunk.done,
            };
            is_first = false;
            for place in chunk.done..ended {
                let is_decided = chunk.decided == Some(place);
                if let Some(item) = chunk.block.clone().part(place, 1) {
                    lost.started.push(Begun { job: chunk.job, item, is_decided });
                }
            }
            if let Some(rest) = chunk.block.skip(ended) {
                lost.unstarted.push((chunk.job, rest));
            }
        }
        self.items = 0;
        self.bytes = 0;
        lost
    }

    /// Tells whether a worker that keeps to the protocol can have been there when it died.
    fn is_possible(&self, running: Running) -> bool {
        let Some(due) = self.chunks.front() else { return true };
        match running.chunk.wrapping_sub(due.number as u32) as i32 {
            -1 => due.done == 0 && running.begun() <= self.last_count,
            ahead => usize::try_from(ahead)
                .ok()
                .and_then(|ahead| self.chunks.get(ahead))
                .is_some_and(|chunk| running.begun() <= chunk.block.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Batch;
    use crate::frame::Kind;

    const JOB: JobKey = JobKey { place: 0, turn: 1 };

    fn with_chunks(sizes: &[u32]) -> InFlight {
        let mut in_flight = InFlight::default();
        let mut first = 100;
        for size in sizes {
            let mut batch = Batch::default();
            for _ in 0..*size {
                batch.append(|_| Ok::<(), ()>(())).unwrap();
            }
            in_flight.insert(JOB, Block::take(first, &mut batch), Sent(0), Limits::default());
            first += *size as usize;
        }
        in_flight
    }

    fn begun(chunk: u32, item: u32) -> Running {
        Running { chunk, item, is_begun: true }
    }

    fn not_begun(chunk: u32, item: u32) -> Running {
        Running { is_begun: false, ..begun(chunk, item) }
    }

    fn started(lost: &Lost) -> Vec<usize> {
        lost.started.iter().map(|begun| begun.item.first).collect()
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
        let lost = in_flight.lose(begun(1, 1));
        assert_eq!(started(&lost), [101]);
        let rest: Vec<_> = lost.unstarted.iter().map(|(_, block)| (block.first, block.count)).collect();
        assert_eq!(rest, [(102, 2), (104, 2)]);
    }

    #[test]
    fn no_item_that_was_begun_is_begun_again_even_if_its_result_could_not_be_read() {
        let lost = with_chunks(&[5]).lose(begun(1, 2));
        assert_eq!(started(&lost), [100, 101, 102]);
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
        let lost = in_flight.lose(begun(1, 0));
        assert_eq!(started(&lost), []);
        assert_eq!(lost.unstarted.iter().map(|(_, block)| block.count).sum::<u32>(), 3);
    }

    #[test]
    fn queued_chunks_are_taken_back_and_their_answers_ignored() {
        let mut in_flight = with_chunks(&[1, 2, 3]);
        let taken = in_flight.recall(|_, _| true);
        assert_eq!(taken.iter().map(|(_, block)| (block.first, block.count)).collect::<Vec<_>>(), [(103, 3)]);
        assert_eq!(in_flight.load().items, 3);
        let next: Vec<_> = in_flight.iter().map(Chunk::next_index).collect();
        assert_eq!(next, [Some(100), Some(101), None], "what was taken back may have ended elsewhere");
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
        let lost = in_flight.lose(Running::default());
        assert_eq!((started(&lost), lost.unstarted.len()), (vec![], 1));
    }

    #[test]
    fn chunks_that_the_worker_came_past_are_not_begun_again_even_if_nothing_of_them_could_be_read() {
        let lost = with_chunks(&[2, 1, 3]).lose(begun(3, 0));
        assert_eq!(started(&lost), [100, 101, 102, 103]);
        let lost = with_chunks(&[2, 1]).lose(not_begun(2, 0));
        assert_eq!((started(&lost), lost.unstarted.len()), (vec![100, 101], 1));
    }

    #[test]
    fn a_worker_that_says_the_impossible_may_have_begun_all_of_the_chunk_that_was_due() {
        for impossible in [
            begun(0, 0),
            begun(1, 3),
            begun(3, 0),
            begun(u32::MAX, 0),
            not_begun(0, 1),
            not_begun(1 << 31, 0),
        ] {
            let lost = with_chunks(&[3, 2]).lose(impossible);
            assert_eq!(started(&lost), [100, 101, 102], "{impossible:?}");
            assert_eq!(lost.unstarted.len(), 1);
        }
        let mut in_flight = with_chunks(&[3]);
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        assert_eq!(started(&in_flight.lose(Running::default())), [101, 102]);
        let mut in_flight = with_chunks(&[1, 1]);
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        assert_eq!(started(&in_flight.lose(begun(1, 1))), [101]);
    }

    #[test]
    fn a_worker_between_two_chunks_has_begun_neither() {
        for said in [begun(1, 0), not_begun(1, 1), not_begun(2, 0)] {
            let mut in_flight = with_chunks(&[1, 2]);
            in_flight.complete(&answer(1, 0, 1), false).unwrap();
            assert_eq!(started(&in_flight.lose(said)), []);
        }
    }

    #[test]
    fn an_item_that_a_halted_worker_said_it_would_not_begin_is_not_lost() {
        let lost = with_chunks(&[3]).lose(not_begun(1, 0));
        assert_eq!((started(&lost), lost.unstarted[0].1.count), (vec![], 3));
        // The two before it were begun, and nothing is known of them.
        let lost = with_chunks(&[3]).lose(not_begun(1, 2));
        assert_eq!((started(&lost), lost.unstarted[0].1.count), (vec![100, 101], 1));
    }

    #[test]
    fn an_item_whose_end_was_told_is_known_in_its_answer_and_when_its_worker_dies() {
        let mut in_flight = with_chunks(&[4]);
        in_flight.decide(begun(1, 2));
        assert_eq!(in_flight.complete(&answer(1, 0, 2), false).unwrap().unwrap().decided, None);
        assert_eq!(in_flight.chunks[0].next_index(), Some(103));
        assert_eq!(in_flight.complete(&answer(1, 2, 1), false).unwrap().unwrap().decided, Some(0));
        let mut in_flight = with_chunks(&[4]);
        in_flight.decide(begun(1, 2));
        let decided: Vec<_> =
            in_flight.lose(begun(1, 2)).started.iter().map(|begun| begun.is_decided).collect();
        assert_eq!(decided, [false, false, true]);
    }
}
