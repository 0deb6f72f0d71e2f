//! A link without a process, for tests of the driver.
//!
//! The test plays the worker: it looks at what was sent and answers as it likes, also wrongly.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::link::{Corrupt, Held, Link, Running, Sent};
use super::stock::Loan;
use crate::body::{Items, Shape, append_entry};
use crate::exit::LastPanic;
use crate::frame::{FrameHeader, Kind, Status};
use crate::share::original::Original;

/// The driver's end.
#[derive(Debug)]
pub(crate) struct InMemoryLink {
    shared: Arc<Mutex<Shared>>,
}

/// The test's end.
#[derive(Clone, Debug)]
pub(crate) struct FakeWorker {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    sent: VecDeque<Received>,
    revoked: Vec<u64>,
    frames: u64,
    answers: VecDeque<Result<(FrameHeader, Vec<u8>), Corrupt>>,
    committed: Option<(FrameHeader, Vec<u8>)>,
    running: Running,
    running_for: Option<Duration>,
    is_halted: bool,
    interrupted: Option<Running>,
    words: Option<(Running, LastPanic)>,
    rings: u32,
    capacity: usize,
}

/// A frame that the driver sent.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) header: FrameHeader,
    pub(crate) items: Vec<Vec<u8>>,
    at: u64,
}

/// A link and its other end; at most `capacity` frames may lie unread in it.
pub(crate) fn link(capacity: usize) -> (InMemoryLink, FakeWorker) {
    let shared = Arc::new(Mutex::new(Shared { capacity, ..Shared::default() }));
    (InMemoryLink { shared: shared.clone() }, FakeWorker { shared })
}

impl FakeWorker {
    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no test panics in here")
    }

    /// Takes the oldest frame that was sent.
    pub(crate) fn take(&self) -> Option<Received> {
        self.shared().sent.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shared().sent.is_empty()
    }

    /// Takes the frame with which every link begins, and says that all is well.
    pub(crate) fn get_ready(&self) {
        let start = self.take().expect("a driver says `Start` first");
        assert_eq!(start.header.kind(), Some(Kind::Start));
        self.answer(FrameHeader::new(Kind::Ready), &[]);
    }

    pub(crate) fn is_revoked(&self, frame: &Received) -> bool {
        self.shared().revoked.contains(&frame.at)
    }

    pub(crate) fn rings(&self) -> u32 {
        self.shared().rings
    }

    /// Sends a frame with these outcomes.
    pub(crate) fn answer(&self, header: FrameHeader, outcomes: &[(Status, &[u8])]) {
        let frame = Self::frame(header, outcomes);
        self.shared().answers.push_back(Ok(frame));
    }

    /// Echoes items `first..first + count` of a chunk: every result is the bytes of its item.
    pub(crate) fn echo(&self, chunk: &Received, first: usize, count: usize) {
        let header = Self::done(chunk, first);
        let items = &chunk.items[first..first + count];
        let outcomes: Vec<_> = items.iter().map(|item| (Status::Ok, &item[..])).collect();
        self.set_running(chunk, (first + count) as u32 - 1);
        self.answer(header, &outcomes);
    }

    /// The header of results for a chunk.
    pub(crate) fn done(chunk: &Received, first: usize) -> FrameHeader {
        let header = FrameHeader::new(Kind::Done);
        FrameHeader { chunk: chunk.header.chunk, first: first as u32, task_or_nanos: 1000, ..header }
    }

    pub(crate) fn send_garbage(&self) {
        self.shared().answers.push_back(Err(Corrupt("the test says so".to_owned())));
    }

    /// Has committed results that it never publishes.
    pub(crate) fn commit(&self, header: FrameHeader, outcomes: &[(Status, &[u8])]) {
        self.shared().committed = Some(Self::frame(header, outcomes));
    }

    pub(crate) fn set_running(&self, chunk: &Received, item: u32) {
        self.shared().running = Running { chunk: chunk.header.chunk as u32, item, is_begun: true };
    }

    /// Says how long the item that runs has been running.
    pub(crate) fn set_running_for(&self, time: Option<Duration>) {
        self.shared().running_for = time;
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.shared().is_halted
    }

    /// The item whose task was told to come to an end.
    pub(crate) fn interrupted(&self) -> Option<u32> {
        self.shared().interrupted.map(|running| running.item)
    }

    /// Panics, and says so of the item that it is running.
    pub(crate) fn say(&self, message: &str) {
        let mut shared = self.shared();
        let panic = LastPanic { message: message.to_owned(), location: "here".to_owned() };
        shared.words = Some((shared.running, panic));
    }

    fn frame(mut header: FrameHeader, outcomes: &[(Status, &[u8])]) -> (FrameHeader, Vec<u8>) {
        let mut body = Vec::new();
        for (status, bytes) in outcomes {
            append_entry(&mut body, *status, bytes);
            header.count += 1;
            header.failed += u32::from(*status != Status::Ok);
        }
        header.size = body.len() as u32;
        (header, body)
    }
}

impl InMemoryLink {
    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no test panics in here")
    }
}

impl Link for InMemoryLink {
    const MAX_BODY: usize = 1 << 10;

    fn try_send(&mut self, header: FrameHeader, body: &[u8]) -> io::Result<Option<Sent>> {
        let mut shared = self.shared();
        if shared.sent.len() >= shared.capacity {
            return Ok(None);
        }
        shared.frames += 1;
        let at = shared.frames;
        let items = Items::new(Shape::from_raw(header.shape), header.count, body);
        let items = items.map(|(_, bytes)| bytes.to_vec()).collect();
        shared.sent.push_back(Received { header, items, at });
        Ok(Some(Sent(at)))
    }

    fn try_send_lent(&mut self, header: FrameHeader, item: &Loan) -> io::Result<Option<Sent>> {
        let mut body = Vec::new();
        append_entry(&mut body, Status::Ok, &item.to_vec());
        self.try_send(header, &body)
    }

    fn try_share(&mut self, share: &Original) -> io::Result<bool> {
        let header = FrameHeader { chunk: share.id(), ..FrameHeader::new(Kind::Share) };
        self.try_send(header, &[]).map(|sent| sent.is_some())
    }

    fn revoke(&mut self, sent: Sent) {
        self.shared().revoked.push(sent.0);
    }

    fn recall(&mut self, sent: Sent, _: u64) -> bool {
        let mut shared = self.shared();
        shared.revoked.push(sent.0);
        shared.sent.iter().any(|frame| frame.at == sent.0)
    }

    fn ring(&mut self) {
        self.shared().rings += 1;
    }

    fn nudge(&mut self) {}

    fn has_more(&self) -> bool {
        !self.shared().answers.is_empty()
    }

    fn receive(&mut self, body: &mut Vec<u8>) -> Result<Option<FrameHeader>, Corrupt> {
        let Some(answer) = self.shared().answers.pop_front() else { return Ok(None) };
        let (header, bytes) = answer?;
        if header.kind() == Some(Kind::Kept) {
            return Ok(None);
        }
        body.extend_from_slice(&bytes);
        Ok(Some(header))
    }

    fn take_held(&mut self) -> Option<Held> {
        None
    }

    fn recover(&mut self, body: &mut Vec<u8>) -> Option<FrameHeader> {
        let (header, bytes) = self.shared().committed.take()?;
        body.extend_from_slice(&bytes);
        Some(header)
    }

    fn running(&self) -> Running {
        self.shared().running
    }

    fn running_for(&self) -> Option<Duration> {
        self.shared().running_for
    }

    fn halt(&mut self) {
        self.shared().is_halted = true;
    }

    fn resume(&mut self) {
        self.shared().is_halted = false;
    }

    fn interrupt(&mut self, item: Running) {
        self.shared().interrupted = Some(item);
    }

    fn memory_used(&self) -> Option<Instant> {
        None
    }

    fn empty_memory(&mut self) -> bool {
        false
    }

    fn last_words(&self, running: Running) -> Option<LastPanic> {
        self.shared().words.clone().filter(|(tag, _)| *tag == running).map(|(_, panic)| panic)
    }
}
