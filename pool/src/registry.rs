//! The table from task id to the code that runs it, built by the linker.
//!
//! Every `#[pool_task]` adds an [`Entry`] to a distributed slice; nothing runs at start-up, so the table
//! is complete even before `main`. Both sides read it: the caller to refuse duplicates before
//! anything is sent, the worker to find the function. The handshake compares [`Registry::fingerprint`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use crate::codec::{CodecError, Reader, Room, Writer};
use crate::error::Error;
use crate::id::{FNV_OFFSET, TaskId, fnv1a};

/// One registered task.
#[derive(Clone, Copy)]
pub struct Entry {
    name: &'static str,
    signature: &'static str,
    run: Run,
}

/// Decodes the arguments of one item, calls the function, encodes its result.
pub type Run = fn(&mut Call<'_, '_>) -> Result<(), CodecError>;

impl Entry {
    /// Describes a task; `signature` is compared between caller and worker, never parsed.
    pub const fn new(name: &'static str, signature: &'static str, run: Run) -> Self {
        Self { name, signature, run }
    }

    pub(crate) fn run(&self) -> Run {
        self.run
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} {})", self.name, self.signature)
    }
}

/// How far a call has come: whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Decoding,
    Running,
    Encoding,
    Dropping,
}

/// One call in a worker, as generated code sees it.
#[derive(Debug)]
pub struct Call<'f, 'w> {
    input: Reader<'f>,
    output: Writer<'w>,
    stage: &'w mut Stage,
    /// Where it goes if the function returned `Err`; only asked for where nobody reads the result.
    complaint: Option<&'w mut Option<String>>,
}

impl<'f, 'w> Call<'f, 'w> {
    #[inline]
    pub(crate) fn new(
        item: &'f [u8],
        out: &'w mut Vec<u8>,
        room: Option<&'w mut dyn Room>,
        stage: &'w mut Stage,
        complaint: Option<&'w mut Option<String>>,
    ) -> Self {
        let output = match room {
            Some(room) => Writer::with_room(out, room),
            None => Writer::new(out),
        };
        Self { input: Reader::new(item), output, stage, complaint }
    }

    /// Says that it is over.
    #[inline]
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        self.output.finish()
    }

    /// The encoded arguments.
    #[inline]
    pub fn input(&mut self) -> &mut Reader<'f> {
        &mut self.input
    }

    /// Says that all arguments are decoded and the function is entered next.
    #[inline]
    pub fn begin(&mut self) {
        *self.stage = Stage::Running;
    }

    /// Says that the function returned, and where its result goes.
    #[inline]
    pub fn end(&mut self) -> &mut Writer<'w> {
        *self.stage = Stage::Encoding;
        &mut self.output
    }

    /// Says that the result is encoded, and that only drops are left; `complain` tells what is wrong with a result
    /// that is an `Err`.
    #[inline]
    pub fn drop_rest(&mut self, complain: impl FnOnce() -> Option<String>) {
        *self.stage = Stage::Dropping;
        if let Some(complaint) = &mut self.complaint {
            **complaint = complain();
        }
    }
}

/// A result, to be asked whether it is an `Err`. Generated code asks `(&&&Outcome(&result)).complaint()`, and
/// method lookup finds the first of the four traits below that fits the type.
#[derive(Debug)]
pub struct Outcome<'r, R>(pub &'r R);

/// An `Err` that can be displayed.
pub trait DisplayedComplaint {
    /// The error's text.
    fn complaint(&self) -> Option<String>;
}

impl<T, E: fmt::Display> DisplayedComplaint for &&&Outcome<'_, Result<T, E>> {
    fn complaint(&self) -> Option<String> {
        self.0.as_ref().err().map(|error| format!("it returned an error: {error}"))
    }
}

/// An `Err` that can be shown to a programmer.
pub trait DebuggedComplaint {
    /// The error's text.
    fn complaint(&self) -> Option<String>;
}

impl<T, E: fmt::Debug> DebuggedComplaint for &&Outcome<'_, Result<T, E>> {
    fn complaint(&self) -> Option<String> {
        self.0.as_ref().err().map(|error| format!("it returned an error: {error:?}"))
    }
}

/// An `Err` that cannot be shown.
pub trait MuteComplaint {
    /// That there is one.
    fn complaint(&self) -> Option<String>;
}

impl<T, E> MuteComplaint for &Outcome<'_, Result<T, E>> {
    fn complaint(&self) -> Option<String> {
        self.0.is_err().then(|| "it returned an error that cannot be shown".to_owned())
    }
}

/// Any other result.
pub trait NoComplaint {
    /// Nothing.
    fn complaint(&self) -> Option<String>;
}

impl<R> NoComplaint for Outcome<'_, R> {
    fn complaint(&self) -> Option<String> {
        None
    }
}

/// The linker collects all tasks of the program here.
#[linkme::distributed_slice]
pub static TASKS: [Entry];

/// Not empty in a program whose `main` is marked with `#[pool::main]`: the modules of such functions.
#[linkme::distributed_slice]
pub static MAINS: [&'static str];

/// The tasks of this program by id.
#[derive(Debug)]
pub(crate) struct Registry {
    by_id: BTreeMap<TaskId, &'static Entry>,
    fingerprint: u64,
}

impl Registry {
    /// Returns the table of this program; the first call builds it.
    pub(crate) fn get() -> Result<&'static Registry, Error> {
        static REGISTRY: OnceLock<Result<Registry, Error>> = OnceLock::new();
        REGISTRY.get_or_init(|| Registry::build(&TASKS)).as_ref().map_err(Error::clone)
    }

    fn build(entries: &'static [Entry]) -> Result<Registry, Error> {
        let mut by_id: BTreeMap<TaskId, &'static Entry> = BTreeMap::new();
        for entry in entries {
            if let Some(other) = by_id.insert(TaskId::of(entry.name), entry) {
                return Err(Error::DuplicateTask { first: other.name, second: entry.name });
            }
        }
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_unstable_by_key(|entry| entry.name);
        let fingerprint = sorted.iter().fold(FNV_OFFSET, |hash, entry| {
            fnv1a(fnv1a(fnv1a(hash, entry.name.as_bytes()), &[0]), entry.signature.as_bytes())
        });
        Ok(Registry { by_id, fingerprint })
    }

    /// Finds a task.
    pub(crate) fn find(&self, id: TaskId) -> Option<&'static Entry> {
        self.by_id.get(&id).copied()
    }

    /// A hash over all names and signatures, independent of link order.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &mut Call<'_, '_>) -> Result<(), CodecError> {
        Ok(())
    }

    #[test]
    fn two_tasks_of_one_name_are_refused_with_both_names() {
        static TWICE: [Entry; 2] =
            [Entry::new("a::f", "fn()", nothing), Entry::new("a::f", "fn(u8)", nothing)];
        let error = Registry::build(&TWICE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two tasks are registered as `a::f`; give one of them another `name = \"..\"`"
        );
    }

    #[test]
    fn fingerprint_does_not_depend_on_link_order_but_on_signatures() {
        static AB: [Entry; 2] = [Entry::new("a", "fn()", nothing), Entry::new("b", "fn()", nothing)];
        static BA: [Entry; 2] = [Entry::new("b", "fn()", nothing), Entry::new("a", "fn()", nothing)];
        static CHANGED: [Entry; 2] = [Entry::new("b", "fn(u8)", nothing), Entry::new("a", "fn()", nothing)];
        let fingerprint = |entries| Registry::build(entries).unwrap().fingerprint();
        assert_eq!(fingerprint(&AB), fingerprint(&BA));
        assert_ne!(fingerprint(&AB), fingerprint(&CHANGED));
    }
}
