//! Decodes what workers returned, on the thread that wants it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::body::{EntryHeader, Items};
use crate::codec::{self, CodecError, Reader};
use crate::error::{Error, Part, Result};
use crate::frame::Status;
use crate::handshake::{Complaint, PanicReport};
use crate::job::{Delivery, Job, Results};
use crate::task::Task;
use crate::transport::link::Held;

/// The error that a status other than `Ok` stands for.
pub(crate) fn failure(task: &'static str, index: usize, status: Status, bytes: &[u8]) -> Error {
    let reason = || CodecError::new(String::from_utf8_lossy(bytes));
    match status {
        Status::Ok => unreachable!("only called for failures"),
        Status::Panicked => {
            let report: PanicReport = codec::from_bytes(bytes).unwrap_or_default();
            let PanicReport { message, location, backtrace } = report;
            Error::Panicked { task, index, message, location, backtrace }
        }
        Status::DecodeFailed => Error::Decode { task, index, part: Part::Argument, source: reason() },
        // The last two are not about items.
        Status::EncodeFailed | Status::ReturnedError | Status::Unfit => {
            Error::Encode { task, index, part: Part::Result, source: reason() }
        }
        Status::UnknownTask => Error::UnknownTask { task },
        Status::Skipped => Error::Cancelled { task, index },
    }
}

/// Why a worker refused to start.
pub(crate) fn refusal(status: Status, bytes: &[u8]) -> Complaint {
    Complaint::Told(match status {
        Status::Unfit => match codec::from_bytes(bytes) {
            Ok(unmet) => return Complaint::Unmet(unmet),
            Err(error) => format!("it does not say why: {error}"),
        },
        Status::Panicked => {
            let report: PanicReport = codec::from_bytes(bytes).unwrap_or_default();
            format!("it panicked at {}: {}", report.location, report.message)
        }
        Status::DecodeFailed => {
            format!("its argument could not be decoded: {}", String::from_utf8_lossy(bytes))
        }
        Status::UnknownTask => "it is not known to the worker".to_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// Decodes a delivery, item by item.
pub(crate) fn unpack<T: Task>(delivery: Delivery, mut each: impl FnMut(Result<T::Output>)) {
    match delivery {
        Delivery::Failed { error, .. } => each(Err(*error)),
        Delivery::Large { index, held } => each(read_large::<T>(index, &held)),
        Delivery::Results { results: Results { first, count, shape }, body } => {
            match Items::new(shape, count, &body) {
                Items::Packed(items) => decode_all::<T>(first, items, &mut each),
                Items::Entries(items) => decode_all::<T>(first, items, &mut each),
            }
        }
    }
}

/// Decodes a result that lies where its worker put it.
fn read_large<T: Task>(index: usize, held: &Held) -> Result<T::Output> {
    let decoded = catch_unwind(AssertUnwindSafe(|| T::decode(&mut Reader::outside(held))));
    let decoded = decoded.unwrap_or_else(|payload| {
        // It may panic when it is dropped.
        std::mem::forget(payload);
        Err(CodecError::new("the result's `Deserialize` implementation panicked"))
    });
    decoded.map_err(|source| undecodable::<T>(index, source))
}

/// Decodes outcomes of consecutive items. One guard for all of them costs less than one for each; behind one
/// whose decoding panics it goes on.
fn decode_all<'b, T: Task>(
    first: usize,
    mut items: impl Iterator<Item = (EntryHeader, &'b [u8])>,
    each: &mut impl FnMut(Result<T::Output>),
) {
    let mut index = first;
    loop {
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            for (header, bytes) in items.by_ref() {
                let outcome = match header.status {
                    Status::Ok => {
                        T::decode(&mut Reader::new(bytes)).map_err(|source| undecodable::<T>(index, source))
                    }
                    status => Err(failure(T::NAME, index, status, bytes)),
                };
                each(outcome);
                index += 1;
            }
        }));
        let Err(payload) = decoded else { return };
        // It may panic when it is dropped.
        std::mem::forget(payload);
        let source = CodecError::new("the result's `Deserialize` implementation panicked");
        each(Err(undecodable::<T>(index, source)));
        index += 1;
    }
}

fn undecodable<T: Task>(index: usize, source: CodecError) -> Error {
    Error::Decode { task: T::NAME, index, part: Part::Result, source }
}

/// The result of a job of one item.
pub(crate) fn collect_one<T: Task>(job: &Job) -> Result<T::Output> {
    let mut outcome = None;
    match job.take().into_iter().next() {
        Some(delivery) => unpack::<T>(delivery, |result| outcome = Some(result)),
        None => outcome = job.aborted().map(Err),
    }
    outcome.unwrap_or_else(|| unreachable!("a settled job of one item was aborted or has its delivery"))
}

/// The results of a settled job in input order, or the error of the lowest index.
pub(crate) fn collect_all<T: Task>(job: &Job) -> Result<Vec<T::Output>> {
    let delivered = job.take();
    let count = delivered.iter().map(Delivery::count).sum();
    let mut gathered = Gathered::with_room(count);
    let mut order = InOrder::default();
    delivered.into_iter().for_each(|delivery| order.put(delivery));
    while let Some(delivery) = order.next_even_after_a_gap() {
        gathered.add::<T>(delivery);
    }
    gathered.finish(job)
}

/// Values in input order, or the error of the lowest index.
pub(crate) struct Gathered<R> {
    values: Vec<R>,
    error: Option<Error>,
}

impl<R> Gathered<R> {
    /// For so many values, as far as that is known. If there is no memory for all of them, it is made as they come.
    pub(crate) fn with_room(count: usize) -> Self {
        let mut values = Vec::new();
        let _ = values.try_reserve_exact(count);
        Self { values, error: None }
    }

    /// Adds the next delivery in input order.
    pub(crate) fn add<T: Task<Output = R>>(&mut self, delivery: Delivery) {
        // Items that a failing job skipped say nothing about why it failed.
        if matches!(self.error, Some(ref error) if !matches!(error, Error::Cancelled { .. })) {
            return;
        }
        self.values.reserve(delivery.count());
        unpack::<T>(delivery, |result| match result {
            Ok(value) => self.values.push(value),
            Err(error) => match self.error {
                None | Some(Error::Cancelled { .. }) => self.error = Some(error),
                Some(_) => {}
            },
        });
    }

    pub(crate) fn finish(self, job: &Job) -> Result<Vec<R>> {
        match job.aborted().or(self.error) {
            Some(error) => Err(error),
            None => Ok(self.values),
        }
    }
}

/// Deliveries put back into input order.
#[derive(Debug, Default)]
pub(crate) struct InOrder {
    next: usize,
    early: BTreeMap<usize, Delivery>,
    /// The usual case: what comes is what is next.
    due: Option<Delivery>,
}

impl InOrder {
    pub(crate) fn put(&mut self, delivery: Delivery) {
        if delivery.first() == self.next && self.due.is_none() {
            self.due = Some(delivery);
        } else {
            self.early.insert(delivery.first(), delivery);
        }
    }

    /// The delivery of the next item, if it is there.
    pub(crate) fn next(&mut self) -> Option<Delivery> {
        let delivery = self.due.take().or_else(|| self.early.remove(&self.next))?;
        self.next = delivery.first() + delivery.count();
        Some(delivery)
    }

    /// The delivery of the lowest item, for a job that lacks some because it was given up.
    pub(crate) fn next_even_after_a_gap(&mut self) -> Option<Delivery> {
        self.next().or_else(|| self.early.pop_first().map(|(_, delivery)| delivery))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Shape;

    fn delivery(first: usize, count: u32) -> Delivery {
        Delivery::Results { results: Results { first, count, shape: Shape::Entries }, body: (&[][..]).into() }
    }

    #[test]
    fn deliveries_come_out_in_input_order() {
        let mut order = InOrder::default();
        for (first, count) in [(3, 2), (5, 1), (0, 3)] {
            order.put(delivery(first, count));
        }
        let firsts: Vec<_> = std::iter::from_fn(|| order.next()).map(|delivery| delivery.first()).collect();
        assert_eq!(firsts, [0, 3, 5]);
    }

    #[test]
    fn a_missing_delivery_holds_back_the_later_ones() {
        let mut order = InOrder::default();
        order.put(delivery(1, 1));
        assert!(order.next().is_none());
        assert_eq!(order.next_even_after_a_gap().map(|delivery| delivery.first()), Some(1));
    }
}
