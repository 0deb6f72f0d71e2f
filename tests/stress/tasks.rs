//! What workers are given to do, and how their answers are checked.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pool::pool_task;
use serde::{Deserialize, Serialize};

use crate::ledger::{Count, Ledger};

/// What a task does beside answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Nothing,
    /// Microseconds.
    Spin(u32),
    /// Microseconds.
    Sleep(u32),
    /// Until `pool::interrupted()` says so.
    UntilTold,
    /// For ever.
    Hang,
    /// Falls each of the first so many times.
    Flaky(Fall, u32),
    Print,
    Panic,
    /// Panics with a message of this many bytes.
    PanicAtLength(u32),
    Exit(i32),
    Abort,
    /// Sends itself this signal.
    Kill(i32),
}

/// How an item falls that does better later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fall {
    Panic,
    Abort,
    Hang,
}

/// An item as the program plans it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) id: u64,
    pub(crate) act: Act,
    /// Bytes of its argument and of its answer.
    pub(crate) sends: u32,
    pub(crate) wants: u32,
}

impl Item {
    /// The bytes that it sends.
    pub(crate) fn body(&self) -> &'static [u8] {
        let all = pattern();
        let start = (self.id as usize * 61) & 0xFF8;
        &all[start..start + self.sends as usize]
    }
}

pub(crate) const LARGEST: usize = 3 << 20;

fn pattern() -> &'static [u8] {
    static PATTERN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut random = crate::random::Random::new(1);
        (0..(LARGEST + 4096) / 8).flat_map(|_| random.next().to_le_bytes()).collect()
    })
}

/// Makes the pattern, before anybody measures memory or copies the process.
pub(crate) fn prepare() {
    pattern();
}

fn sum(bytes: &[u8]) -> u64 {
    let mut sum = bytes.len() as u64;
    let chunks = bytes.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        let word = u64::from_le_bytes([
            chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
        ]);
        sum = (sum.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
    rest.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte))
}

fn reply(id: u64, len: u32) -> Vec<u8> {
    let word = id.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    word.iter().copied().cycle().take(len as usize).collect()
}

/// The argument of [`work`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    ledger: u64,
    id: u64,
    act: Act,
    wants: u32,
    body: Vec<u8>,
}

impl Order {
    pub(crate) fn new(ledger: u64, item: &Item) -> Self {
        Self { ledger, id: item.id, act: item.act, wants: item.wants, body: item.body().to_vec() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    id: u64,
    sum: u64,
    /// It was interrupted when it began.
    was_told: bool,
    body: Vec<u8>,
}

/// An answer that tells which item it is of, and can be checked.
pub(crate) trait Checked {
    fn id(&self) -> u64;
    fn is_right(&self, item: &Item) -> bool;
    fn was_told(&self) -> bool {
        false
    }
}

impl Checked for Answer {
    fn id(&self) -> u64 {
        self.id
    }
    fn is_right(&self, item: &Item) -> bool {
        self.id == item.id && self.sum == sum(item.body()) && self.body == reply(item.id, item.wants)
    }
    fn was_told(&self) -> bool {
        self.was_told
    }
}

const SECRET: u64 = 0x00C0_FFEE;

impl Checked for u64 {
    fn id(&self) -> u64 {
        self ^ SECRET
    }
    fn is_right(&self, item: &Item) -> bool {
        self ^ SECRET == item.id
    }
}

impl Checked for Vec<u64> {
    fn id(&self) -> u64 {
        self.first().copied().unwrap_or(u64::MAX)
    }
    fn is_right(&self, item: &Item) -> bool {
        let sent = numbers_of(item);
        self.len() == sent.len() + 1
            && self[0] == item.id
            && self[1..].iter().zip(&sent).all(|(got, sent)| *got == sent.wrapping_add(item.id))
    }
}

pub(crate) fn numbers_of(item: &Item) -> Vec<u64> {
    (0..u64::from(item.sends / 8)).map(|n| n.wrapping_mul(item.id | 1)).collect()
}

/// Begun `begun` times, this one included.
fn act(act: Act, begun: u8) {
    match act {
        Act::UntilTold => {
            while !pool::interrupted() {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        Act::Hang => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        Act::Flaky(_, times) if u32::from(begun) > times => {}
        Act::Flaky(Fall::Panic, _) => panic!("on purpose"),
        Act::Flaky(Fall::Abort, _) => std::process::abort(),
        Act::Flaky(Fall::Hang, _) => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        Act::Nothing => {}
        Act::Spin(micros) => {
            let end = Instant::now() + Duration::from_micros(micros.into());
            while Instant::now() < end {
                std::hint::spin_loop();
            }
        }
        Act::Sleep(micros) => std::thread::sleep(Duration::from_micros(micros.into())),
        Act::Print => println!("printed by a task"),
        Act::Panic => panic!("on purpose"),
        Act::PanicAtLength(len) => std::panic::panic_any("p".repeat(len as usize)),
        Act::Exit(code) => std::process::exit(code),
        Act::Abort => std::process::abort(),
        Act::Kill(signal) => {
            // Rust's handler for stack overflows expects a fault that comes again, which this one does not.
            // SAFETY: neither has preconditions.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            // SAFETY: as above.
            unsafe { libc::raise(signal) };
            // Delivered before `raise` returns, unless it is ignored.
            unreachable!("signal {signal} does not end the process");
        }
    }
}

fn answer(ledger: u64, id: u64, does: Act, wants: u32, body: &[u8]) -> Answer {
    let ledger = Ledger::of_worker(ledger);
    let begun = ledger.begin(id);
    let was_told = pool::interrupted();
    act(does, begun);
    let answer = Answer { id, sum: sum(body), was_told, body: reply(id, wants) };
    ledger.finish(id);
    answer
}

#[pool_task]
pub(crate) fn work(order: Order) -> Answer {
    answer(order.ledger, order.id, order.act, order.wants, &order.body)
}

#[pool_task]
pub(crate) fn star(ledger: u64, id: u64, act: Act, wants: u32, body: &[u8]) -> Answer {
    answer(ledger, id, act, wants, body)
}

/// Nothing but a mark: as many of them as the pool can move.
#[pool_task]
pub(crate) fn quick(item: (u64, u64)) -> u64 {
    let ledger = Ledger::of_worker(item.0);
    ledger.begin(item.1);
    ledger.finish(item.1);
    item.1 ^ SECRET
}

#[pool_task]
pub(crate) fn numbers(ledger: u64, id: u64, does: Act, numbers: &[u64]) -> Vec<u64> {
    let ledger = Ledger::of_worker(ledger);
    let begun = ledger.begin(id);
    act(does, begun);
    let mut answer = vec![id];
    answer.extend(numbers.iter().map(|number| number.wrapping_add(id)));
    ledger.finish(id);
    answer
}

/// The initializer.
#[pool_task]
pub(crate) fn hello(ledger: u64) {
    let ledger = Ledger::of_worker(ledger);
    ledger.count(Count::Initialized).fetch_add(1, Ordering::Relaxed);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64 - 1);
    ledger.count(Count::MostDescriptors).fetch_max(open, Ordering::Relaxed);
}

/// The finalizer.
#[pool_task]
pub(crate) fn bye(ledger: u64) {
    Ledger::of_worker(ledger).count(Count::Finalized).fetch_add(1, Ordering::Relaxed);
}
