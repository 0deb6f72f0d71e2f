//! What parent and worker tell each other once: who they are, and how a worker failed.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use crate::conditions::Unmet;
use crate::error::Error;
use crate::registry::Registry;

/// Changes whenever frames, control messages or the layout of a link change.
pub(crate) const PROTOCOL: u32 = 1;

/// The environment variable by which an executed process learns that it is to serve.
pub(crate) const VARIABLE: &str = "POOL_SERVE";

/// How deep pools may nest: a task of depth 4 that builds a pool gets [`Error::TooDeep`].
pub(crate) const MAX_DEPTH: u32 = 4;

/// Exit codes of a process that did not get to work. A task that calls `exit` with one of them is not confused
/// with it, because only a worker that never was ready is judged by them.
pub(crate) const EXIT_NOT_INVITED: i32 = 120;
pub(crate) const EXIT_NO_PARENT: i32 = 121;
pub(crate) const EXIT_NO_LINK: i32 = 122;
pub(crate) const EXIT_REFUSED: i32 = 123;
/// Of a process that a task forked and that came out of the task.
pub(crate) const EXIT_FORKED: i32 = 124;

/// How deep in pools this process is: 0 in the program itself, 1 in its workers.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Set once, when a process becomes a worker.
pub(crate) fn set_depth(depth: u32) {
    DEPTH.store(depth, Ordering::Relaxed);
}

/// The depth of the workers that this process makes.
///
/// # Errors
///
/// [`Error::TooDeep`] if there can be none.
pub(crate) fn next_depth() -> Result<u32, Error> {
    let depth = DEPTH.load(Ordering::Relaxed);
    if depth >= MAX_DEPTH { Err(Error::TooDeep { depth, limit: MAX_DEPTH }) } else { Ok(depth + 1) }
}

/// What both sides must have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    protocol: u32,
    tasks: u64,
}

impl Identity {
    /// The identity of this program.
    pub(crate) fn own() -> Result<Self, Error> {
        Ok(Self { protocol: PROTOCOL, tasks: Registry::get()?.fingerprint() })
    }
}

/// The value of [`VARIABLE`]: where to report, to whom, and how deep in pools the process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invitation {
    pub(crate) parent: u32,
    pub(crate) depth: u32,
    /// Random; proves to the parent that the caller at its door was sent by it.
    pub(crate) token: u128,
    /// Name of the parent's one-shot server.
    pub(crate) server: String,
}

impl Invitation {
    pub(crate) fn to_text(&self) -> String {
        format!("{} {} {:032x} {}", self.parent, self.depth, self.token, self.server)
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut fields = text.splitn(4, ' ');
        Some(Self {
            parent: fields.next()?.parse().ok()?,
            depth: fields.next()?.parse().ok()?,
            token: u128::from_str_radix(fields.next()?, 16).ok()?,
            server: fields.next()?.to_owned(),
        })
    }
}

/// Why a worker is of no use, before it was given anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// What its initializer said, or what its process did.
    Told(String),
    /// It cannot meet the pool's conditions.
    Unmet(Unmet),
}

impl Complaint {
    /// What the complaint is for who uses the pool, whose initializer this is.
    pub(crate) fn into_error(self, initializer: Option<&'static str>) -> Error {
        match (self, initializer) {
            (Complaint::Unmet(unmet), _) => unmet.into(),
            (Complaint::Told(reason), Some(task)) => Error::Initializer { task, reason },
            (Complaint::Told(reason), None) => Error::spawn("starting it", io::Error::other(reason)),
        }
    }
}

/// A panic as the worker that caught it describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PanicReport {
    pub(crate) message: String,
    pub(crate) location: String,
    pub(crate) backtrace: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_survives_the_environment() {
        let invitation =
            Invitation { parent: 7, depth: 2, token: u128::MAX - 5, server: "/tmp/a b/socket".to_owned() };
        assert_eq!(Invitation::from_text(&invitation.to_text()), Some(invitation));
        assert_eq!(Invitation::from_text(""), None);
        assert_eq!(Invitation::from_text("1 2 zz /tmp/x"), None);
    }
}
