//! Puts this process under the conditions that its pool sets for workers, before any code of the user's runs.

use std::io;
use std::path::Path;

use crate::conditions::{Conditions, Step, Unmet};
use crate::exit::Bytes;
use crate::sys::limits;

/// The system's error number for "cannot allocate memory", the same on every Linux machine.
const ENOMEM: i32 = 12;
/// Address space that a worker needs beyond what it has taken, to be of any use.
const LEAST_SPACE: u64 = 1 << 20;

/// # Errors
///
/// The first one that cannot be met.
pub(crate) fn meet(conditions: &Conditions) -> Result<(), Unmet> {
    for (name, value) in &conditions.variables {
        match value {
            // SAFETY: this runs before a worker's first item, in a process that was executed as a worker or forked from one
            // with a single thread; no other thread reads the environment.
            Some(value) => unsafe { std::env::set_var(name, value) },
            // SAFETY: as above.
            None => unsafe { std::env::remove_var(name) },
        }
    }
    if let Some(directory) = &conditions.directory {
        let outcome = std::env::set_current_dir(directory);
        unless(Step::Directory, outcome, || Path::new(directory).display().to_string())?;
    }
    if let Some(value) = conditions.nice {
        unless(Step::Nice, limits::set_nice(value), || value.to_string())?;
    }
    if !conditions.cpus.is_empty() {
        unless(Step::Cpus, limits::pin_to(&conditions.cpus), || format!("{:?}", conditions.cpus))?;
    }
    if let Some(seconds) = conditions.cpu_seconds {
        unless(Step::CpuTime, limits::limit_cpu_time(seconds), || format!("{seconds} s"))?;
    }
    // Last, so that nothing above is refused memory.
    if let Some(bytes) = conditions.address_space {
        limit_address_space(bytes)?;
    }
    Ok(())
}

/// The kernel would grant a limit below what is taken already, and then nothing more.
fn limit_address_space(bytes: u64) -> Result<(), Unmet> {
    let taken = limits::address_space().unwrap_or(0);
    let outcome = if taken + LEAST_SPACE > bytes {
        Err(io::Error::from_raw_os_error(ENOMEM))
    } else {
        limits::limit_address_space(bytes)
    };
    unless(Step::AddressSpace, outcome, || {
        format!("{}, and it takes {} before it runs anything", Bytes(bytes), Bytes(taken))
    })
}

fn unless(step: Step, outcome: io::Result<()>, detail: impl FnOnce() -> String) -> Result<(), Unmet> {
    outcome.map_err(|error| Unmet { step, detail: detail(), errno: error.raw_os_error().unwrap_or_default() })
}
