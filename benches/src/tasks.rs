//! The tasks that are measured; `python/tasks.py` has the same ones.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pool::{Shared, pool_task};

use crate::rivals::work::payloads::Record;
use crate::rivals::work::prefixes::Prefixes;
use crate::rivals::work::{durations, image};

/// The smallest task there is: what remains is what a call costs.
#[pool_task]
pub fn square(x: u64) -> u64 {
    x.wrapping_mul(x)
}

/// Sends a number back.
#[pool_task]
pub fn identity(x: u64) -> u64 {
    x
}

/// Sends bytes back.
#[pool_task]
pub fn echo_bytes(data: &[u8]) -> Vec<u8> {
    data.to_vec()
}

/// Sends numbers back.
#[pool_task]
pub fn echo_numbers(data: &[f64]) -> Vec<f64> {
    data.to_vec()
}

/// Sends strings back.
#[pool_task]
pub fn echo_strings(data: Vec<String>) -> Vec<String> {
    data
}

/// Sends nested structs back.
#[pool_task]
pub fn echo_records(data: Vec<Record>) -> Vec<Record> {
    data
}

/// Takes numbers and sends next to nothing back.
#[pool_task]
pub fn last_number(data: &[f64]) -> f64 {
    data.last().copied().unwrap_or(0.0)
}

/// Takes bytes and sends next to nothing back.
#[pool_task]
pub fn last_byte(data: &[u8]) -> u8 {
    data.last().copied().unwrap_or(0)
}

/// Tells which worker ran it.
#[pool_task]
pub fn own_pid() -> u32 {
    std::process::id()
}

/// Does nothing for a while, without a CPU.
#[pool_task]
pub fn sleep_millis(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// Does nothing for a while, with a CPU.
#[pool_task]
pub fn work_for(seconds: f64) {
    durations::work_for(seconds);
}

/// Convolves the image, which is shared, with a filter.
#[pool_task]
pub fn convolve(image: &Shared<[f64]>, filter: &[f64]) -> Vec<f64> {
    image::convolve(image, filter)
}

/// Uses one of many numbers, which are shared.
#[pool_task]
pub fn pick(numbers: &Shared<[f64]>, at: usize) -> f64 {
    numbers[at % numbers.len()]
}

static PREFIXES: Mutex<Option<Prefixes>> = Mutex::new(None);

/// Counts the beginnings of the words of a document.
#[pool_task]
pub fn add_document(document: &[u8]) {
    let mut prefixes = PREFIXES.lock().unwrap_or_else(PoisonError::into_inner);
    prefixes.get_or_insert_default().add(document);
}

/// Writes down which beginnings came up often, in a file of this worker's own.
#[pool_task]
pub fn save_popular(folder: &str) {
    let prefixes = PREFIXES.lock().unwrap_or_else(PoisonError::into_inner).take();
    let popular = postcard::to_allocvec(&prefixes.unwrap_or_default().popular());
    let popular = popular.expect("a set of bytes can be encoded");
    fs::write(format!("{folder}/{}", std::process::id()), popular).expect("the folder is there");
}
