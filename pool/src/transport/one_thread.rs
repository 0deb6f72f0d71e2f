//! A ring's memory in one thread, for tests and for fuzzing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::ring::Memory;

/// Bytes of a ring that is small enough to come round often.
pub(crate) const CAPACITY: usize = 256;

/// Both ends of a ring see what either does to it.
#[derive(Clone)]
pub(crate) struct OneThread(Rc<Contents>);

struct Contents {
    head: Cell<u64>,
    tail: Cell<u64>,
    bytes: RefCell<[u8; CAPACITY]>,
}

impl OneThread {
    pub(crate) fn new() -> Self {
        let (head, tail) = (Cell::new(0), Cell::new(0));
        Self(Rc::new(Contents { head, tail, bytes: RefCell::new([0xEE; CAPACITY]) }))
    }
}

impl Memory for OneThread {
    fn capacity(&self) -> usize {
        CAPACITY
    }
    fn head(&self) -> u64 {
        self.0.head.get()
    }
    fn set_head(&self, head: u64) {
        self.0.head.set(head);
    }
    fn tail(&self) -> u64 {
        self.0.tail.get()
    }
    fn set_tail(&self, tail: u64) {
        self.0.tail.set(tail);
    }
    fn write(&self, offset: usize, bytes: &[u8]) {
        self.0.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    fn read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.bytes.borrow()[offset..offset + bytes.len()]);
    }
}
