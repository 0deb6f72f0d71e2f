//! What a map of numbers costs without processes.

use std::hint::black_box;
use std::time::Instant;

/// The least that a map of numbers does if its two sides are one thread and its memory is warm.
pub(super) fn encode_copy_decode(items: usize) -> f64 {
    const BLOCK: usize = 2_000;
    let mut outgoing = vec![0; BLOCK * 10];
    let mut between = vec![0; BLOCK * 10];
    let mut incoming = vec![0; BLOCK * 10];
    let mut squares = vec![0; items];
    let start = Instant::now();
    for (block, results) in squares.chunks_mut(BLOCK).enumerate() {
        let inputs = (block * BLOCK) as u64..;
        let len = encode(inputs.take(results.len()), &mut outgoing);
        between[..len].copy_from_slice(&outgoing[..len]);
        let len = encode(decode(&between[..len]).map(|x| x.wrapping_mul(x)), &mut outgoing);
        incoming[..len].copy_from_slice(&outgoing[..len]);
        results.iter_mut().zip(decode(&incoming[..len])).for_each(|(result, x)| *result = x);
    }
    black_box(&squares);
    start.elapsed().as_secs_f64() / items as f64
}

fn encode(numbers: impl Iterator<Item = u64>, out: &mut [u8]) -> usize {
    let mut len = 0;
    for number in numbers {
        len += postcard::to_slice(&number, &mut out[len..]).expect("there is room for the longest").len();
    }
    len
}

fn decode(mut bytes: &[u8]) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let (number, rest) = postcard::take_from_bytes(bytes).ok()?;
        bytes = rest;
        Some(number)
    })
}
