//! One large argument, one way or there and back.

use std::time::Instant;

use pool::Pool;

use super::super::stats::sorted_middle;
use super::super::work::{Payload, payloads};
use crate::tasks::{echo_bytes, echo_numbers, echo_records, echo_strings, last_byte, last_number};

/// The median of single calls, so that what the first one finds cold does not count for all; for a MiB, if it has that much.
pub(super) fn run(pool: &Pool, what: Payload, kibibytes: usize, items: usize) -> pool::Result<Vec<f64>> {
    let samples = match what {
        Payload::Bytes => {
            let data = payloads::bytes(kibibytes);
            each(items, &data, |data| Ok(pool.apply(echo_bytes, (data,))?.len() == data.len()))
        }
        Payload::BytesIn => {
            let data = payloads::bytes(kibibytes);
            each(items, &data, |data| Ok(pool.apply(last_byte, (data,))? == 1))
        }
        Payload::Numbers => {
            let data = payloads::numbers(kibibytes);
            each(items, &data, |data| Ok(pool.apply(echo_numbers, (data,))?.len() == data.len()))
        }
        Payload::NumbersIn => {
            let data = payloads::numbers(kibibytes);
            each(items, &data, |data| Ok(pool.apply(last_number, (data,))? == 1.0))
        }
        Payload::Strings => {
            let data = payloads::strings(kibibytes);
            let len = data.len();
            each_owned(items, &data, |data| Ok(pool.apply(echo_strings, (data,))?.len() == len))
        }
        Payload::Nested => {
            let data = payloads::records(kibibytes);
            let len = data.len();
            each_owned(items, &data, |data| Ok(pool.apply(echo_records, (data,))?.len() == len))
        }
    }?;
    Ok(vec![sorted_middle(samples) / (kibibytes >> 10).max(1) as f64])
}

/// Times calls that borrow the data and say whether they went well.
fn each<T: ?Sized>(
    items: usize,
    data: &T,
    call: impl Fn(&T) -> pool::Result<bool>,
) -> pool::Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(items);
    for _ in 0..items {
        let start = Instant::now();
        assert!(call(data)?, "what came back is what was sent");
        samples.push(start.elapsed().as_secs_f64());
    }
    Ok(samples)
}

/// The same for calls that take the data.
fn each_owned<T: Clone>(
    items: usize,
    data: &T,
    call: impl Fn(T) -> pool::Result<bool>,
) -> pool::Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(items);
    for _ in 0..items {
        let data = data.clone();
        let start = Instant::now();
        assert!(call(data)?, "what came back is what was sent");
        samples.push(start.elapsed().as_secs_f64());
    }
    Ok(samples)
}
