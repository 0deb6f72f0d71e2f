//! The one place that calls user code in a worker.

use crate::codec::{self, CodecError, Room};
use crate::frame::Status;
use crate::handshake::{self, PanicReport};
use crate::registry::{Call, Run, Stage};
use crate::share::sending;
use crate::sys::process;
use crate::worker::panics;

/// Runs an item under the guard of [`panics::catch`]. Afterwards `out` holds the bytes that go with the status, but of a
/// large result, which is in `room`. If it panics, `stage` says how far it came, for [`panicked`].
#[inline]
pub(crate) fn run_item(
    run: Run,
    item: &[u8],
    out: &mut Vec<u8>,
    room: &mut dyn Room,
    stage: &mut Stage,
    generation: u32,
) -> Status {
    panics::forget();
    *stage = Stage::Decoding;
    out.clear();
    let mut call = Call::new(item, out, Some(room), stage, None);
    let outcome = run(&mut call).and_then(|()| call.finish());
    end_child(generation);
    match outcome {
        Ok(()) => Status::Ok,
        Err(error) => fail(*stage, &reason_of(&error), out),
    }
}

/// Runs the initializer or the finalizer; that it returns `Err` is a failure here.
pub(crate) fn run_once(run: Run, item: &[u8], out: &mut Vec<u8>) -> Status {
    let mut complaint = None;
    let mut stage = Stage::Decoding;
    let generation = process::fork_generation();
    out.clear();
    let outcome = panics::catch(|| run(&mut Call::new(item, out, None, &mut stage, Some(&mut complaint))));
    end_child(generation);
    match outcome {
        Err(report) => panicked(stage, &report, out),
        Ok(Err(error)) => fail(stage, &reason_of(&error), out),
        Ok(Ok(())) => match complaint {
            None => Status::Ok,
            Some(complaint) => {
                out.clear();
                out.extend_from_slice(complaint.as_bytes());
                Status::ReturnedError
            }
        },
    }
}

/// Drops what holds a value of the user's.
#[cold]
pub(crate) fn drop_value<T>(value: T) {
    // What its `drop` panics with concerns no item.
    let _ = panics::catch(|| drop(value));
}

/// Ends a child that a task forked and did not end: it shares the link, which has one worker.
#[inline]
pub(crate) fn end_child(generation: u32) {
    if !process::is_generation(generation) {
        process::exit_at_once(handshake::EXIT_FORKED);
    }
}

/// Why something could not be decoded or encoded.
#[cold]
fn reason_of(error: &CodecError) -> String {
    sending::complaint().unwrap_or_else(|| error.to_string())
}

#[cold]
fn fail(stage: Stage, reason: &str, out: &mut Vec<u8>) -> Status {
    out.clear();
    out.extend_from_slice(reason.as_bytes());
    if stage == Stage::Decoding { Status::DecodeFailed } else { Status::EncodeFailed }
}

/// What a panic in this stage of an item means for it.
pub(crate) fn panicked(stage: Stage, report: &PanicReport, out: &mut Vec<u8>) -> Status {
    if !matches!(stage, Stage::Running | Stage::Dropping) {
        return fail(stage, &format!("it panicked at {}: {}", report.location, report.message), out);
    }
    out.clear();
    match codec::to_bytes(report, out) {
        Ok(()) => Status::Panicked,
        Err(error) => fail(Stage::Encoding, &error.to_string(), out),
    }
}
