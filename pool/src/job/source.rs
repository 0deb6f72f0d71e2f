//! Reads the caller's items and encodes them, a chunk at a time, on the caller's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::codec::{CodecError, Writer};
use crate::error::{Error, Part};
use crate::frame::{Status, append_entry};
use crate::job::Demand;
use crate::job::block::Block;
use crate::task::Task;

/// What comes next of a job's input.
#[derive(Debug)]
pub(crate) enum Fed {
    Block(Block),
    /// This item could not be encoded.
    Failed(usize, Error),
    /// There is no more.
    End,
}

/// A job's input without its type.
pub(crate) trait Feed {
    /// Reads and encodes as much as is wanted. A panic of the caller's iterator goes through.
    fn feed(&mut self, demand: Demand) -> Fed;

    /// How many items are left, if the iterator knows.
    fn remaining(&self) -> Option<usize>;
}

/// The input of a job that was refused.
pub(crate) struct Nothing;

impl Feed for Nothing {
    fn feed(&mut self, _: Demand) -> Fed {
        Fed::End
    }

    fn remaining(&self) -> Option<usize> {
        Some(0)
    }
}

/// The input of a job of task `T`.
pub(crate) struct Source<'a, T: Task, I: Iterator> {
    items: I,
    to_args: fn(I::Item) -> T::Args<'a>,
    /// Place of the next item to be read.
    next: usize,
    /// Encoded items for the next block; one that was too many stays here alone.
    body: Vec<u8>,
    count: u32,
    failed: Option<Error>,
    ended: bool,
}

impl<'a, T: Task, I: Iterator> Source<'a, T, I> {
    pub(crate) fn new(items: I, to_args: fn(I::Item) -> T::Args<'a>) -> Self {
        Self { items, to_args, next: 0, body: Vec::new(), count: 0, failed: None, ended: false }
    }

    fn block(&mut self) -> Fed {
        let count = std::mem::take(&mut self.count);
        Fed::Block(Block::take(self.next - count as usize, count, &mut self.body))
    }
}

impl<T: Task, I: Iterator> Feed for Source<'_, T, I> {
    fn feed(&mut self, demand: Demand) -> Fed {
        if let Some(error) = self.failed.take() {
            return Fed::Failed(error.index().unwrap_or_default(), error);
        }
        while !self.ended && (self.count as usize) < demand.items && self.body.len() < demand.bytes {
            let Some(item) = self.items.next() else {
                self.ended = true;
                break;
            };
            let args = (self.to_args)(item);
            let before = self.body.len();
            let index = self.next;
            self.next += 1;
            if let Err(error) = encode_item::<T>(&args, index, &mut self.body) {
                if self.count == 0 {
                    return Fed::Failed(index, error);
                }
                self.next -= 1;
                let block = self.block();
                self.next += 1;
                self.failed = Some(error);
                return block;
            }
            if self.count > 0 && self.body.len() > demand.bytes {
                // This one goes alone, or with the next ones.
                let one_too_many = self.body.split_off(before);
                self.next -= 1;
                let block = self.block();
                self.next += 1;
                self.body = one_too_many;
                self.count = 1;
                return block;
            }
            self.count += 1;
        }
        if self.count > 0 { self.block() } else { Fed::End }
    }

    fn remaining(&self) -> Option<usize> {
        match self.items.size_hint() {
            _ if self.ended => Some(self.count as usize),
            (least, Some(most)) if least == most => Some(least + self.count as usize),
            _ => None,
        }
    }
}

/// Appends one item's entry; user code that panics while it is encoded fails only this item.
pub(crate) fn encode_item<T: Task>(
    args: &T::Args<'_>,
    index: usize,
    body: &mut Vec<u8>,
) -> Result<(), Error> {
    append_entry(body, |out| {
        match catch_unwind(AssertUnwindSafe(|| T::encode(args, &mut Writer::new(out)))) {
            Ok(Ok(())) => Ok(Status::Ok),
            Ok(Err(source)) => Err(source),
            Err(payload) => {
                std::mem::forget(payload);
                Err(CodecError::new("the argument's `Serialize` implementation panicked"))
            }
        }
    })
    .map_err(|source| Error::Encode { task: T::NAME, index, part: Part::Argument, source })
}
