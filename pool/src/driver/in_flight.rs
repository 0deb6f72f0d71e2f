//! Chunks that a worker has been handed and has not answered in full.
//!
//! Owned by the driver, so nothing here locks. A worker answers in the order in which it was asked. Every item
//! that enters leaves exactly once: by [`complete`](InFlight::complete) or by [`lose`](InFlight::lose).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

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
    /// Chunks that are others' by now, and that it has yet to say that it skipped.
    taken: usize,
    /// Chunks that were not asked back.
    kept: usize,
    items: usize,
    bytes: usize,
}

/// The chunk that is due next from a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) job: JobKey,
    pub(crate) number: u64,
    /// Items answered.
    pub(crate) done: u32,
    /// Something that could be taken back is queued behind it.
    pub(crate) has_queued: bool,
}

/// Items that a worker has answered.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) job: JobKey,
    /// Place in the job of the first of them.
    pub(crate) first: usize,
    /// The worker skipped them because the chunk was asked back, so that they are to be sent again.
    pub(crate) is_recalled: bool,
    /// Which of them, counted from the first, was ended before.
    pub(crate) decided: Option<u32>,
    /// What was sent, if it is to be sent again or some of it failed.
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
        self.kept += 1;
        self.items += block.count as usize;
        self.bytes += block.len();
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
        Load { chunks: self.chunks.len() - self.taken, items: self.items, bytes: self.bytes }
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

    /// The shortest time that an item has that may begin after this one, or was begun though what was before it is not
    /// answered.
    pub(crate) fn shortest_limit_after(&self, running: Running) -> Option<Duration> {
        let due = self.chunks.front()?.number;
        let is_last = |chunk: &Chunk| {
            running.is_begun
                && chunk.number == due
                && chunk.number as u32 == running.chunk
                && running.item.saturating_add(1) >= chunk.block.count
        };
        let chunks = self.chunks.iter().filter(|chunk| chunk.recall != Recall::Taken && !is_last(chunk));
        chunks.filter_map(|chunk| chunk.limits.first()).min()
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

    /// Lets go of the shared values of a job that is gone: nothing of it is sent again.
    pub(crate) fn release_shares(&mut self, job: JobKey) {
        self.chunks
            .iter_mut()
            .filter(|chunk| chunk.job == job)
            .for_each(|chunk| chunk.block.release_shares());
    }

    /// When the first chunk is to be over that was ended.
    pub(crate) fn end_by(&self) -> Option<Instant> {
        self.chunks.iter().filter_map(|chunk| chunk.end_by).min()
    }

    /// Forgets of chunks that were to be over by now that they were, because none of them was begun.
    pub(crate) fn forget_ends(&mut self, now: Instant) {
        let late = self.chunks.iter_mut().filter(|chunk| chunk.end_by.is_some_and(|end_by| end_by <= now));
        late.for_each(|chunk| chunk.end_by = None);
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
        let is_recalled = recall == Recall::Asked && skipped;
        let completed = Completed {
            job: chunk.job,
            first: chunk.block.first + header.first as usize,
            is_recalled,
            decided: chunk
                .decided
                .and_then(|item| item.checked_sub(header.first))
                .filter(|item| *item < header.count),
            block: (is_recalled || header.failed > 0 && !skipped)
                .then(|| chunk.block.clone().part(header.first, header.count))
                .flatten(),
        };
        chunk.done += header.count;
        if recall != Recall::Taken {
            self.items -= header.count as usize;
        }
        if chunk.done == chunk.block.count {
            match recall {
                Recall::Taken => self.taken -= 1,
                _ => self.bytes -= chunk.block.len(),
            }
            self.kept -= usize::from(recall == Recall::No);
            self.last_count = chunk.block.count;
            self.chunks.pop_front();
        }
        Ok((recall != Recall::Taken).then_some(completed))
    }

    /// Takes back the later half of what is queued behind the chunk that is due; `ask` asks the worker. What is
    /// returned is to be sent to others, oldest first.
    pub(crate) fn recall_half(&mut self, ask: impl FnMut(Sent, u64) -> bool) -> Vec<(JobKey, Block)> {
        let queued = self.queued();
        self.recall(&queued[queued.len() / 2..], ask)
    }

    /// The same with all that is queued.
    pub(crate) fn recall_queued(&mut self, ask: impl FnMut(Sent, u64) -> bool) -> Vec<(JobKey, Block)> {
        self.recall(&self.queued(), ask)
    }

    /// Places of chunks behind the one that is due which were not asked back.
    fn queued(&self) -> Vec<usize> {
        (1..self.chunks.len()).filter(|place| self.chunks[*place].recall == Recall::No).collect()
    }

    fn recall(&mut self, places: &[usize], mut ask: impl FnMut(Sent, u64) -> bool) -> Vec<(JobKey, Block)> {
        places.iter().filter_map(|place| self.ask_back(*place, &mut ask)).collect()
    }

    /// Takes back the chunk that is due, if none of it was answered and it was not asked back before.
    pub(crate) fn recall_front(&mut self, ask: impl FnMut(Sent, u64) -> bool) -> Option<(JobKey, Block)> {
        let front = self.chunks.front()?;
        if front.done > 0 || front.recall != Recall::No {
            return None;
        }
        self.ask_back(0, ask)
    }

    /// Asks back a chunk that was not asked back before.
    fn ask_back(&mut self, place: usize, mut ask: impl FnMut(Sent, u64) -> bool) -> Option<(JobKey, Block)> {
        let chunk = &mut self.chunks[place];
        self.kept -= 1;
        if !ask(chunk.sent, chunk.number) {
            chunk.recall = Recall::Asked;
            return None;
        }
        chunk.recall = Recall::Taken;
        self.taken += 1;
        self.items -= chunk.block.count as usize;
        self.bytes -= chunk.block.len();
        Some((chunk.job, chunk.block.take_shares_along()))
    }

    /// Takes back all that is not answered, because the worker will begin nothing more; oldest first.
    pub(crate) fn take_back_all(&mut self) -> Vec<(JobKey, Block)> {
        let mut taken = Vec::new();
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.recall != Recall::Taken) {
            let ended = chunk.done + u32::from(chunk.decided == Some(chunk.done));
            chunk.recall = Recall::Taken;
            taken.extend(chunk.block.take_shares_along().skip(ended).map(|rest| (chunk.job, rest)));
        }
        self.taken = self.chunks.len();
        self.kept = 0;
        self.items = 0;
        self.bytes = 0;
        taken
    }

    /// What is due next.
    pub(crate) fn due(&self) -> Option<Due> {
        let front = self.chunks.front()?;
        let has_queued = self.kept > usize::from(front.recall == Recall::No);
        Some(Due { job: front.job, number: front.number, done: front.done, has_queued })
    }

    /// Takes everything out, because the worker died; `running` is the item that it was at, or, `was_halted`, that it was at when it was
    /// halted, after which it began none. Whatever was begun may have had effects, so it is not begun again.
    pub(crate) fn lose(&mut self, running: Running, was_halted: bool) -> Lost {
        let is_possible = self.is_possible(running, was_halted);
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
        self.taken = 0;
        self.kept = 0;
        self.items = 0;
        self.bytes = 0;
        lost
    }

    /// Tells whether a worker that keeps to the protocol can have been there when it died.
    fn is_possible(&self, running: Running, was_halted: bool) -> bool {
        let Some(due) = self.chunks.front() else { return true };
        match running.chunk.wrapping_sub(due.number as u32) as i32 {
            // It went on to answer what it was to skip.
            ..0 if was_halted => true,
            -1 => due.done == 0 && running.begun() <= self.last_count,
            ahead => usize::try_from(ahead)
                .ok()
                .and_then(|ahead| self.chunks.get(ahead))
                .is_some_and(|chunk| running.begun() <= chunk.block.count),
        }
    }
}

#[cfg(test)]
#[path = "in_flight_tests.rs"]
mod tests;
