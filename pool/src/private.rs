//! All that generated code may touch. Not public API: it changes without notice.

pub use linkme;
pub use serde;

pub use crate::codec::{CodecError, Reader, Slice, Writer};
pub use crate::crossing::{
    AsBytes, Crosses, Crossing, GoesAsBytes, GoesInBulk, GoesInFormat, InBulk, InFormat, Lends,
};
pub use crate::id::TaskId;
pub use crate::registry::{
    Call, DebuggedComplaint, DisplayedComplaint, Entry, MAINS, MuteComplaint, NoComplaint, Outcome, Run,
    TASKS,
};
pub use crate::task::{Lend, Sendable, Task};
pub use crate::worker::enter_main;
