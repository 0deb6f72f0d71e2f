//! Reads the caller's items and encodes them, a chunk at a time, on the caller's thread.

use std::any::Any;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::body::Batch;
use crate::codec::{CodecError, Writer};
use crate::error::{Error, Part};
use crate::job::Demand;
use crate::job::block::Block;
use crate::share::sending::{self, Encoding, Used};
use crate::task::Task;
use crate::transport::stock::{Draft, Loan, Stock};

/// What was read in that time goes to the workers, however little it is: they may have nothing to do.
const SLOW: Duration = Duration::from_millis(1);
/// Items between two glances at the clock, at the most. The first ones are more often looked at.
const GLANCE: u32 = 64;

thread_local! {
    /// Where this thread encodes the only item of a job.
    static ALONE: Cell<Batch> = Cell::default();
}

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

/// The input of a job of task `T`; `F` makes arguments of an item.
pub(crate) struct Source<T, I, F> {
    task: PhantomData<fn(T)>,
    items: I,
    to_args: F,
    /// Place of the next item to be read.
    next: usize,
    /// Encoded items for the next block; one that was too many stays here alone.
    batch: Batch,
    /// An item that goes alone, after those in `batch`.
    large: Option<Loan>,
    /// The shared values in it.
    used: Used,
    /// The number of the pool that they must belong to.
    pool: u64,
    /// An item is being encoded, so that a panic is its failure and not the caller's.
    encodes: bool,
    failed: Option<Error>,
    ended: bool,
    stock: Stock,
}

impl<'a, T: Task, I: Iterator, F: Fn(I::Item) -> T::Args<'a>> Source<T, I, F> {
    pub(crate) fn new(items: I, to_args: F, pool: u64, stock: Stock) -> Self {
        Self {
            task: PhantomData,
            items,
            to_args,
            next: 0,
            batch: Batch::default(),
            large: None,
            used: Used::new(),
            pool,
            encodes: false,
            failed: None,
            ended: false,
            stock,
        }
    }

    /// Reads and encodes items until there are enough, they come slowly, one is large or fails or there are no more. Panics of what the user
    /// wrote go through: one guard for all items costs less than one for each.
    fn fill(&mut self, demand: Demand, encoding: &Encoding) -> Result<(), CodecError> {
        let stock = self.stock.clone();
        let mut draft = stock.draft();
        let start = Instant::now();
        while (self.batch.count() as usize) < demand.items && self.batch.size() < demand.bytes {
            let Some(item) = self.items.next() else {
                self.ended = true;
                break;
            };
            let args = (self.to_args)(item);
            encoding.next_item();
            self.encodes = true;
            let encoded = encode::<T>(&args, &mut self.batch, &mut draft);
            self.encodes = false;
            if encoded? == Place::Draft {
                self.large = draft.finish();
                break;
            }
            self.next += 1;
            let count = self.batch.count();
            if (count.is_power_of_two() || count % GLANCE == 0) && start.elapsed() > SLOW {
                break;
            }
        }
        Ok(())
    }

    /// What there is; if the last item made it too much, that one goes alone, or with the next ones.
    fn block(&mut self, most_bytes: usize) -> Fed {
        let is_too_much = self.batch.count() > 1 && self.batch.size() > most_bytes;
        let rest = is_too_much.then(|| self.batch.split_last());
        let left = rest.as_ref().map_or(0, Batch::count);
        let first = self.next - (self.batch.count() + left) as usize;
        let block = Block::take(first, &mut self.batch);
        if let Some(rest) = rest {
            self.batch = rest;
        }
        Fed::Block(block)
    }

    /// What comes next, or what the caller's iterator panicked with.
    fn read(&mut self, demand: Demand, encoding: &Encoding) -> Result<Fed, Box<dyn Any + Send>> {
        if self.failed.is_none() && self.large.is_none() && !self.ended {
            let filled = catch_unwind(AssertUnwindSafe(|| self.fill(demand, encoding)));
            let failure = match filled {
                Ok(Ok(())) => None,
                Ok(Err(source)) => Some(source),
                Err(payload) if self.encodes => {
                    self.encodes = false;
                    self.batch.abandon();
                    Some(panicked(payload))
                }
                Err(payload) => return Err(payload),
            };
            self.failed = failure.map(|source| unencodable::<T>(self.next, source));
        }
        if self.batch.count() > 0 {
            return Ok(self.block(demand.bytes));
        }
        if let Some(loan) = self.large.take() {
            self.next += 1;
            return Ok(Fed::Block(Block::lent(self.next - 1, loan)));
        }
        Ok(match self.failed.take() {
            Some(error) => {
                self.next += 1;
                Fed::Failed(self.next - 1, error)
            }
            None => Fed::End,
        })
    }
}

impl<'a, T: Task, I: Iterator, F: Fn(I::Item) -> T::Args<'a>> Feed for Source<T, I, F> {
    fn feed(&mut self, demand: Demand) -> Fed {
        let encoding = Encoding::enter(self.pool, std::mem::take(&mut self.used));
        let fed = match self.read(demand, &encoding) {
            Ok(fed) => fed,
            Err(payload) => {
                // The caller may go on after that, and then what was read before is still sent.
                self.used = encoding.leave().map_or_else(Used::new, |(used, _)| used);
                resume_unwind(payload)
            }
        };
        match (fed, encoding.leave()) {
            (Fed::Block(block), Some((used, last))) => {
                let block = block.using(&used);
                if self.batch.count() > 0 || self.large.is_some() {
                    // After a failure the last item is the one that failed.
                    self.used = if self.failed.is_some() { used } else { last };
                }
                Fed::Block(block)
            }
            (fed, _) => fed,
        }
    }

    fn remaining(&self) -> Option<usize> {
        let encoded = self.batch.count() as usize + usize::from(self.large.is_some());
        match self.items.size_hint() {
            _ if self.ended => Some(encoded),
            (least, Some(most)) if least == most => Some(least + encoded),
            _ => None,
        }
    }
}

/// Encodes a job's only item, for the pool of that number; user code that panics meanwhile fails only this item. Without a
/// stock it stays in ordinary memory, however large it is.
pub(crate) fn encode_one<T: Task>(
    args: &T::Args<'_>,
    pool: u64,
    stock: Option<&Stock>,
) -> Result<Block, Error> {
    let encoding = Encoding::enter(pool, Used::new());
    // A thread that ends may have none any more; and while one encodes, its item may do so for another pool.
    let mut batch = ALONE.try_with(Cell::take).unwrap_or_default();
    let mut draft = stock.map(Stock::draft);
    let encoded = catch_unwind(AssertUnwindSafe(|| match &mut draft {
        Some(draft) => encode::<T>(args, &mut batch, draft),
        None => {
            T::encode(args, &mut Writer::new(batch.begin()))?;
            batch.end();
            Ok(Place::Batch)
        }
    }));
    match encoded.unwrap_or_else(|payload| Err(panicked(payload))) {
        Ok(_) => {
            let block = match draft.and_then(Draft::finish) {
                Some(loan) => Block::lent(0, loan),
                None => Block::take(0, &mut batch),
            };
            let _ = ALONE.try_with(|alone| alone.set(batch));
            Ok(match encoding.leave() {
                Some((used, _)) => block.using(&used),
                None => block,
            })
        }
        Err(source) => Err(unencodable::<T>(0, source)),
    }
}

/// Where an item went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Batch,
    /// It is large, and there was room for it in the stock.
    Draft,
}

/// Appends an item to a batch, unless it is large and goes to the draft, which is empty before.
#[inline]
fn encode<T: Task>(
    args: &T::Args<'_>,
    batch: &mut Batch,
    draft: &mut Draft<'_>,
) -> Result<Place, CodecError> {
    let mut writer = Writer::with_room(batch.begin(), draft);
    let encoded = T::encode(args, &mut writer).and_then(|()| writer.finish());
    let has_moved = writer.has_moved();
    if encoded.is_ok() && !has_moved {
        batch.end();
        return Ok(Place::Batch);
    }
    batch.abandon();
    encoded.map(|()| Place::Draft)
}

fn panicked(payload: Box<dyn Any + Send>) -> CodecError {
    // It may panic when it is dropped.
    std::mem::forget(payload);
    CodecError::new("the argument's `Serialize` implementation panicked")
}

fn unencodable<T: Task>(index: usize, source: CodecError) -> Error {
    let source = sending::complaint().map_or(source, CodecError::new);
    Error::Encode { task: T::NAME, index, part: Part::Argument, source }
}
