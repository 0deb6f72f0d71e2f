//! The parent's end of the connection to one worker: [`Link`], the contract that the driver relies on.
//!
//! `ring_link.rs` meets it with shared memory, and `in_memory.rs` with a queue for tests. Only the driver calls a link, under
//! its lock, so nothing here locks.

use std::io;
use std::time::{Duration, Instant};

pub(crate) use super::layout::Running;
pub(crate) use super::ring::Corrupt;
pub(crate) use super::segment::Held;
use super::stock::Loan;
use crate::exit::LastPanic;
use crate::frame::FrameHeader;
use crate::share::original::Original;

/// Where a frame that was sent lies, to revoke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent(pub(crate) u64);

/// What the driver can do with one worker.
pub(crate) trait Link: Send {
    /// Largest body of several entries.
    const MAX_BODY: usize;

    /// Sends a frame without blocking and without waking anybody. `None`: there is no room now.
    ///
    /// A body over [`MAX_BODY`](Self::MAX_BODY) must be a single entry.
    ///
    /// # Errors
    ///
    /// If no memory can be had for a large body.
    fn try_send(&mut self, header: FrameHeader, body: &[u8]) -> io::Result<Option<Sent>>;

    /// The same for an item that lies in a segment already, and stays there until it was answered.
    fn try_send_lent(&mut self, header: FrameHeader, item: &Loan) -> io::Result<Option<Sent>>;

    /// Sends a shared value, without blocking and without waking anybody. False: it cannot be sent now.
    ///
    /// # Errors
    ///
    /// If there is no room for what this takes on this side.
    fn try_share(&mut self, share: &Original) -> io::Result<bool>;

    /// Asks the worker to skip the items of that frame that it has not started.
    fn revoke(&mut self, sent: Sent);

    /// Takes a whole chunk back if the worker has not begun it: true if it never will, and answers that it skipped
    /// it. On false it may do either, and the answer tells.
    fn recall(&mut self, sent: Sent, number: u64) -> bool;

    /// Wakes the worker if it sleeps and has been sent something, or waits for room. Call it after sending and receiving, once
    /// for several frames.
    fn ring(&mut self);

    /// Wakes the worker even if it says that it is awake, in case that something overwrote what it said.
    fn nudge(&mut self);

    /// Tells whether [`receive`](Self::receive) has something; cheap.
    fn has_more(&self) -> bool;

    /// Appends the next frame's body to `body`. All entries are inline then, wherever they came from. `None`: there is
    /// none, or it was for the link itself.
    ///
    /// # Errors
    ///
    /// If what the worker wrote cannot be a frame; the link is of no more use then.
    fn receive(&mut self, body: &mut Vec<u8>) -> Result<Option<FrameHeader>, Corrupt>;

    /// The result that came with the last frame, if its body is empty because it stays where the worker put it.
    fn take_held(&mut self) -> Option<Held>;

    /// Appends what a worker that is dead had finished and not sent, once all frames are received.
    fn recover(&mut self, body: &mut Vec<u8>) -> Option<FrameHeader>;

    /// The item that the worker last said it is at. What damaged memory says may be impossible.
    fn running(&self) -> Running;

    /// How long the item that runs has been running, if it is one whose time counts.
    fn running_for(&self) -> Option<Duration>;

    /// Lets the worker begin no further item. What [`running`](Self::running) says after this is the last one
    /// that was begun.
    fn halt(&mut self);

    /// Lets it go on.
    fn resume(&mut self);

    /// Tells the task that runs this item that it should come to an end.
    fn interrupt(&mut self, item: Running);

    /// When memory for large results was used last, if there is some.
    fn memory_used(&self) -> Option<Instant>;

    /// Gives that memory back until it is used again, if nobody needs what it holds; tells whether it did. Only for a worker
    /// that has nothing in flight.
    fn empty_memory(&mut self) -> bool;

    /// What a worker that is dead said of a panic while it ran this item of this chunk.
    fn last_words(&self, running: Running) -> Option<LastPanic>;
}
