//! The one place that calls user code in a worker.

use crate::codec;
use crate::frame::Status;
use crate::handshake::{self, PanicReport};
use crate::registry::{Call, Run, Stage};
use crate::sys::process;
use crate::worker::panics;

/// Runs one item. Afterwards `out` holds the bytes that go with the status, behind what it held before.
pub(crate) fn run_item(run: Run, item: &[u8], out: &mut Vec<u8>) -> Status {
    call(run, item, out, None)
}

/// Runs the initializer or the finalizer; that it returns `Err` is a failure here.
pub(crate) fn run_once(run: Run, item: &[u8], out: &mut Vec<u8>) -> Status {
    let start = out.len();
    let mut complaint = None;
    let status = call(run, item, out, Some(&mut complaint));
    match complaint {
        Some(complaint) if status == Status::Ok => {
            out.truncate(start);
            out.extend_from_slice(complaint.as_bytes());
            Status::ReturnedError
        }
        _ => status,
    }
}

#[inline]
fn call(run: Run, item: &[u8], out: &mut Vec<u8>, complaint: Option<&mut Option<String>>) -> Status {
    let start = out.len();
    let mut stage = Stage::Decoding;
    let generation = process::fork_generation();
    let outcome = panics::catch(|| {
        let mut call = Call::new(item, out, &mut stage, complaint);
        run(&mut call)
    });
    if process::fork_generation() != generation {
        // A child that the task forked and did not end: it shares the link, which has one worker.
        process::exit_at_once(handshake::EXIT_FORKED);
    }
    match outcome {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(error)) => fail(stage, &error.to_string(), out, start),
        Err(report) if matches!(stage, Stage::Running | Stage::Dropping) => panicked(&report, out, start),
        Err(report) => {
            fail(stage, &format!("it panicked at {}: {}", report.location, report.message), out, start)
        }
    }
}

fn fail(stage: Stage, reason: &str, out: &mut Vec<u8>, start: usize) -> Status {
    out.truncate(start);
    out.extend_from_slice(reason.as_bytes());
    if stage == Stage::Decoding { Status::DecodeFailed } else { Status::EncodeFailed }
}

fn panicked(report: &PanicReport, out: &mut Vec<u8>, start: usize) -> Status {
    out.truncate(start);
    match codec::to_bytes(report, out) {
        Ok(()) => Status::Panicked,
        Err(error) => fail(Stage::Encoding, &error.to_string(), out, start),
    }
}
