//! A worker's life: set up, take frames, run their items, exit.

use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use crate::codec;
use crate::conditions::Unmet;
use crate::frame::{FrameHeader, Kind, Status};
use crate::handshake;
use crate::id::TaskId;
use crate::registry::{Entry, Registry};
use crate::share::{Memory, kept, sending};
use crate::sys::{barrier, process, signals};
use crate::transport::control::{Setup, Terms};
use crate::transport::outbox::Outbox;
use crate::transport::worker_link::{self, Inbox, Missing};
use crate::worker::chunk::ChunkRun;
use crate::worker::memory::MemoryWatch;
use crate::worker::{conditions, interrupted, panics, run};

/// Serves the parent until it says that it is enough.
pub(crate) fn serve(setup: Setup) -> ! {
    let terms = setup.terms.clone();
    if !process::die_with_parent(terms.parent) {
        process::exit_at_once(handshake::EXIT_NO_PARENT);
    }
    process::name_thread(c"pool-worker");
    signals::set_up_worker();
    handshake::set_depth(terms.depth);
    let (Ok((inbox, outbox, words)), Ok(registry)) = (worker_link::adopt(setup), Registry::get()) else {
        process::exit_at_once(handshake::EXIT_NO_LINK);
    };
    panics::install_hook(words);
    barrier::take_part();
    interrupted::set_source(outbox.interruption());
    // After what the link needs of the system.
    let fitness = conditions::meet(&terms.conditions);
    let memory = terms.conditions.resident.map(MemoryWatch::new);
    let (parent, generation) = (terms.parent, process::fork_generation());
    let worker = Worker {
        inbox,
        outbox,
        registry,
        parent,
        generation,
        fitness,
        memory,
        is_spent: false,
        out: Vec::new(),
    };
    // What it holds goes with the process; a task may have closed descriptors, which dropping would find out.
    let code = ManuallyDrop::new(worker).work();
    exit(terms, code)
}

fn exit(terms: Terms, code: i32) -> ! {
    if terms.is_image {
        let _ = std::io::stdout().flush();
        let _ = std::io::stderr().flush();
        process::exit_at_once(code);
    }
    std::process::exit(code)
}

struct Worker {
    inbox: Inbox,
    outbox: Outbox,
    registry: &'static Registry,
    parent: u32,
    generation: u32,
    fitness: Result<(), Unmet>,
    memory: Option<MemoryWatch>,
    /// It has too much memory, and said so: it begins nothing more.
    is_spent: bool,
    /// Where results are encoded; used again for every item.
    out: Vec<u8>,
}

impl Worker {
    /// Works until told to exit; returns the exit code.
    fn work(&mut self) -> i32 {
        loop {
            let Ok(front) = self.inbox.next() else { return handshake::EXIT_NO_LINK };
            match self.inbox.fetch(&front) {
                Ok(()) => {}
                Err(Missing::NoRoom(reason)) => return self.give_up(&front, &reason),
                Err(Missing::Corrupt) => return handshake::EXIT_NO_LINK,
            }
            match front.header.kind() {
                Some(Kind::Run) => {
                    self.run_chunk(&front);
                    if self.outbox.is_cut_off() {
                        return handshake::EXIT_NO_LINK;
                    }
                }
                Some(Kind::Start) => {
                    let status = match &self.fitness {
                        Ok(()) => self.run_once(&front),
                        Err(unmet) => {
                            self.out.clear();
                            refuse(unmet, &mut self.out)
                        }
                    };
                    let kind = if status == Status::Ok { Kind::Ready } else { Kind::Refused };
                    if status == Status::Ok {
                        self.out.clear();
                    }
                    self.outbox.send(kind, status, &mut self.out);
                    if status != Status::Ok {
                        return handshake::EXIT_REFUSED;
                    }
                    // An initializer that changes the user has the kernel forget about the parent's death.
                    if !process::die_with_parent(self.parent) && process::parent_pid() != self.parent {
                        return handshake::EXIT_NO_PARENT;
                    }
                }
                Some(Kind::Share) => {
                    let id = front.header.chunk;
                    let Ok(file) = self.inbox.take_share(id) else { return handshake::EXIT_NO_LINK };
                    // In a fork of a worker something may have that number already.
                    run::drop_value(kept::keep(id, Memory::map(file.as_fd())));
                    self.outbox.say_kept(id);
                }
                Some(Kind::Forget) => run::drop_value(kept::forget(front.header.chunk)),
                Some(Kind::Exit) => {
                    // Nobody waits for what the finalizer has to say.
                    self.run_once(&front);
                    return 0;
                }
                _ => return handshake::EXIT_NO_LINK,
            }
            self.inbox.release(front);
        }
    }

    /// Answers a frame for whose only item there is no memory. Another worker would fare no better, so it must not go on
    /// to one.
    fn give_up(&mut self, front: &worker_link::Front, reason: &str) -> i32 {
        self.out.clear();
        self.out.extend_from_slice(reason.as_bytes());
        match front.header.kind() {
            Some(Kind::Run) => {
                let chunk = front.header.chunk;
                self.outbox.begin_chunk(chunk, task_of(&front.header));
                let is_revoked = self.inbox.mark(front).load(Ordering::Relaxed) != 0;
                let status = if is_revoked || self.is_spent { Status::Skipped } else { Status::DecodeFailed };
                self.outbox.commit(chunk, 0, status, &mut self.out);
                self.outbox.publish();
            }
            Some(Kind::Start) => self.outbox.send(Kind::Refused, Status::DecodeFailed, &mut self.out),
            _ => {}
        }
        handshake::EXIT_NO_LINK
    }

    fn run_chunk(&mut self, front: &worker_link::Front) {
        let task = task_of(&front.header);
        self.outbox.begin_chunk(front.header.chunk, task);
        let Self { inbox, outbox, registry, memory, is_spent, out, generation, .. } = self;
        let run = registry.find(task).map(Entry::run);
        // Of what earlier tasks tried by themselves.
        drop(sending::complaint());
        ChunkRun::new(front, inbox, outbox, memory, is_spent, out, *generation).run(run);
        self.outbox.publish();
        self.shrink();
    }

    /// Runs the only item of a frame, if there is one: the initializer or the finalizer.
    fn run_once(&mut self, front: &worker_link::Front) -> Status {
        let mut status = Status::Ok;
        self.out.clear();
        if let Some(item) = self.inbox.items(front).next() {
            status = match self.registry.find(task_of(&front.header)) {
                Some(entry) => run::run_once(entry.run(), item, &mut self.out),
                None => Status::UnknownTask,
            };
        }
        status
    }

    /// Keeps no memory of one large result for ever.
    fn shrink(&mut self) {
        const KEEP: usize = 32 << 20;
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
    }
}

/// Appends why this process does not become a worker.
fn refuse(unmet: &Unmet, out: &mut Vec<u8>) -> Status {
    match codec::to_bytes(unmet, out) {
        Ok(()) => Status::Unfit,
        Err(_) => unreachable!("strings and numbers can be encoded"),
    }
}

fn task_of(header: &FrameHeader) -> TaskId {
    TaskId::from_raw(header.task_or_nanos)
}
