//! For fuzzing: messages of any bytes, and a parent's end of a link whose worker writes anything.

use std::sync::Arc;

use ipc_channel::ipc::IpcMessage;
use serde::{Deserialize, Serialize};

use super::control::{Hello, Order, Parcel, Report, Setup, Terms, guarded};
use super::layout::{self, SharedRing};
use super::link::{Corrupt, Link, Sent};
use super::region::Region;
use super::ring::Memory;
use super::ring_link::{ParentBell, RingLink};
use super::stock::Stock;
use crate::body::{EntryHeader, Items, Shape, append_entry};
use crate::codec::Reader;
use crate::frame::{FrameHeader, Kind, Status};

/// Decodes bytes as each kind of message, without any descriptors that could come along.
pub(crate) fn decode_messages(bytes: &[u8]) {
    fn decode<T: for<'de> Deserialize<'de> + Serialize>(bytes: &[u8]) {
        let message = IpcMessage::from_data(bytes.to_vec());
        // An index of a descriptor that did not come along panics there.
        let _ = guarded(|| message.to::<T>().is_ok());
    }
    decode::<Order>(bytes);
    decode::<Setup>(bytes);
    decode::<Terms>(bytes);
    decode::<Parcel>(bytes);
    decode::<Hello>(bytes);
    decode::<Report>(bytes);
}

/// More steps than that find nothing more.
const MOST_STEPS: usize = 64;
/// Bytes of the worker's control page with its counters.
const COUNTERS: usize = 512;
/// A place below this is among the counters; from here on it is anywhere in the worker's half.
const ANYWHERE: usize = 1 << 15;
/// A worker may want as much as there is; here it would only cost time.
const MOST_WANTED: u64 = 1 << 20;

/// Takes what it needs off the front of the fuzzer's bytes.
struct Script<'d>(&'d [u8]);

impl<'d> Script<'d> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0)) | usize::from(self.byte().unwrap_or(0)) << 8
    }

    fn bytes(&mut self, len: usize) -> &'d [u8] {
        let (first, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        first
    }
}

/// Both sides of a link, which take turns.
struct Scene {
    link: RingLink,
    region: Arc<Region>,
    results: SharedRing,
    sent: Option<Sent>,
    chunks: u64,
}

/// Makes a link, lets a worker do in its half what the bytes say, and does in between all that the parent does.
pub(crate) fn suffer(data: &[u8]) {
    let stock = Stock::new(1);
    let made = ParentBell::new().and_then(|bell| RingLink::new(&bell, &stock));
    let Ok((link, end)) = made else { return };
    let Ok((region, _)) = end.memory.open() else { return };
    let region = Arc::new(region);
    let results = SharedRing::results(region.clone());
    let mut scene = Scene { link, region, results, sent: None, chunks: 0 };
    let mut script = Script(data);
    for _ in 0..MOST_STEPS {
        let Some(step) = script.byte() else { break };
        if scene.take_step(step, &mut script).is_err() {
            break;
        }
    }
    scene.bury();
}

impl Scene {
    fn take_step(&mut self, step: u8, script: &mut Script<'_>) -> Result<(), Corrupt> {
        match step % 16 {
            0..=3 => self.scribble(script),
            4..=7 => self.answer(script),
            8 => self.results.set_tail(self.results.tail().wrapping_add(script.number() as u64 * 8)),
            9 => self.send(script.number() % layout::INLINE_MAX),
            10 => self.send(layout::INLINE_MAX + script.number()),
            11 => self.take_back(),
            12 => self.disturb(),
            _ => self.receive()?,
        }
        Ok(())
    }

    /// The worker writes anything anywhere in its half; most often where its counters are.
    fn scribble(&self, script: &mut Script<'_>) {
        let place = script.number();
        let offset = if place < ANYWHERE { place * 8 % COUNTERS } else { place * 8 % layout::HALF };
        let len = usize::from(script.byte().unwrap_or(0)).min(layout::HALF - offset);
        self.region.write(layout::HALF + offset, script.bytes(len));
    }

    /// The worker publishes a frame; what is random about it is not in its form.
    fn answer(&self, script: &mut Script<'_>) {
        let mut bytes = [0; FrameHeader::SIZE];
        let given = script.bytes(FrameHeader::SIZE);
        bytes[..given.len()].copy_from_slice(given);
        let mut header = FrameHeader::from_bytes(&bytes);
        header.kind %= 13;
        let packs = header.shape % 4 == 0;
        header.shape = if packs { header.shape % 40 } else { 0 };
        header.count %= 8;
        header.failed = 0;
        if header.kind() == Some(Kind::Want) {
            header.chunk %= MOST_WANTED;
        }
        let mut body = Vec::new();
        for _ in 0..header.count {
            let word = script.number();
            let bytes = script.bytes(word % 64);
            let status = if word & 1 << 15 == 0 { Status::Ok } else { Status::Panicked };
            header.failed += u32::from(status != Status::Ok && !packs);
            if let (true, Some(stride)) = (packs, Shape::from_raw(header.shape).stride()) {
                // Now and then one less than is said.
                body.resize(body.len() + if word % 8 == 0 { 0 } else { stride }, 7);
            } else if word & 1 << 14 == 0 {
                append_entry(&mut body, status, bytes);
            } else {
                let entry = EntryHeader { len: script.number(), status, segment: (word % 64) as u16 };
                body.extend_from_slice(&entry.to_bytes());
            }
        }
        header.size = body.len() as u32;
        let tail = self.results.tail();
        let (offset, len) = (tail as usize % layout::RING, FrameHeader::SIZE + body.len());
        if offset + len <= layout::RING {
            self.results.write(offset, &header.to_bytes());
            self.results.write(offset + FrameHeader::SIZE, &body);
            self.results.set_tail(tail.wrapping_add(len as u64));
        }
    }

    fn send(&mut self, len: usize) {
        let mut body = Vec::new();
        append_entry(&mut body, Status::Ok, &vec![0xAB; len]);
        self.chunks += 1;
        let header = FrameHeader { chunk: self.chunks, count: 1, ..FrameHeader::new(Kind::Run) };
        if let Ok(Some(sent)) = self.link.try_send(header, &body) {
            self.sent = Some(sent);
        }
        self.link.ring();
    }

    fn take_back(&mut self) {
        if let Some(sent) = self.sent {
            self.link.recall(sent, self.chunks);
            self.link.revoke(sent);
        }
    }

    fn disturb(&mut self) {
        self.link.halt();
        let running = self.link.running();
        let _ = (running.begun(), self.link.running_for(), self.link.last_words(running));
        self.link.interrupt(running);
        self.link.resume();
        self.link.nudge();
    }

    fn receive(&mut self) -> Result<(), Corrupt> {
        let mut body = Vec::new();
        // A ring holds no more frames than that.
        for _ in 0..layout::RING / FrameHeader::SIZE {
            if !self.link.has_more() {
                break;
            }
            body.clear();
            let received = self.link.receive(&mut body).inspect_err(|corrupt| assert!(!corrupt.0.is_empty()));
            match (received?, self.link.take_held()) {
                (Some(header), None) => check(&header, &body),
                (Some(header), Some(held)) => {
                    assert!(header.count == 1 && body.is_empty());
                    let _ = Reader::outside(&held).value::<Vec<u8>>();
                }
                (None, held) => assert!(held.is_none()),
            }
        }
        Ok(())
    }

    /// What is done once the worker is dead.
    fn bury(mut self) {
        let _ = self.receive();
        let mut body = Vec::new();
        match self.link.recover(&mut body) {
            Some(header) => check(&header, &body),
            None => assert!(body.is_empty()),
        }
        let _ = self.link.last_words(self.link.running());
    }
}

/// What the driver relies on: the body is of as many whole items as the header says, all of them inline.
fn check(header: &FrameHeader, body: &[u8]) {
    let mut items = Items::new(Shape::from_raw(header.shape), header.count, body);
    let (mut found, mut failed) = (0, 0);
    for (entry, _) in items.by_ref() {
        assert_eq!(entry.segment, 0);
        found += 1;
        failed += u32::from(entry.status != Status::Ok);
    }
    assert_eq!(items.position(), body.len());
    assert_eq!((found, failed), (header.count, header.failed));
}
