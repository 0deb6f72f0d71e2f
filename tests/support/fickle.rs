//! Types whose `Serialize` or `Deserialize` fail, panic or end the process on demand.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tasks::end_process;

/// What a fickle value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    /// Nothing special.
    Good,
    /// Its implementation returns an error.
    Fails,
    /// Its implementation panics.
    Panics,
    /// Its implementation accesses memory that is not there.
    Crashes,
    /// Its implementation exits with code 3.
    Exits,
}

impl Mood {
    /// The moods that make trouble.
    pub const BAD: [Mood; 2] = [Mood::Fails, Mood::Panics];
    /// The moods that end the process.
    pub const DEADLY: [Mood; 2] = [Mood::Crashes, Mood::Exits];

    fn end_process(self) -> ! {
        end_process(if self == Mood::Exits { "exit" } else { "segv" });
        unreachable!("{self:?} ended the process")
    }
}

/// Hard to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Shy(pub Mood);

impl Serialize for Shy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Mood::Good => self.0.serialize(serializer),
            Mood::Fails => Err(S::Error::custom("too shy")),
            Mood::Panics => panic!("so shy"),
            deadly => deadly.end_process(),
        }
    }
}

/// Hard to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sly(pub Mood);

impl<'de> Deserialize<'de> for Sly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Mood::deserialize(deserializer)? {
            Mood::Good => Ok(Sly(Mood::Good)),
            Mood::Fails => Err(D::Error::custom("too sly")),
            Mood::Panics => panic!("so sly"),
            deadly => deadly.end_process(),
        }
    }
}
