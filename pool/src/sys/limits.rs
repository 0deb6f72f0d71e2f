//! What the kernel can be told to deny this process, and which CPUs it runs on.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Bytes of address space that this process may be limited to at the most; `None`: any number.
pub(crate) fn address_space_ceiling() -> Option<u64> {
    getrlimit(Resource::As).maximum
}

/// Seconds of CPU time that this process may be limited to at the most; `None`: any number.
pub(crate) fn cpu_time_ceiling() -> Option<u64> {
    getrlimit(Resource::Cpu).maximum
}

/// Limits the address space of this process, for good.
pub(crate) fn limit_address_space(bytes: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
}

/// Limits the CPU time of this process, for good: SIGXCPU after that, SIGKILL a second later.
pub(crate) fn limit_cpu_time(seconds: u64) -> io::Result<()> {
    let last = (seconds + 1).min(cpu_time_ceiling().unwrap_or(u64::MAX));
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(last) })?)
}

/// Sets the nice value of the calling thread, and of those that it starts from now on.
pub(crate) fn set_nice(value: i32) -> io::Result<()> {
    Ok(rustix::process::setpriority_process(None, value)?)
}

/// The CPUs that the calling thread may run on.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Has the calling thread, and those that it starts from now on, run on these CPUs only.
pub(crate) fn pin_to(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU).for_each(|cpu| set.set(*cpu));
    Ok(sched_setaffinity(None, &set)?)
}

/// Bytes of address space that this process has taken.
pub(crate) fn address_space() -> io::Result<u64> {
    pages(0)
}

/// Bytes of memory that this process has resident, shared ones included.
pub(crate) fn resident_memory() -> io::Result<u64> {
    pages(1)
}

/// A field of `/proc/self/statm`, in bytes.
fn pages(field: usize) -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').nth(field).and_then(|number| number.parse::<u64>().ok());
    let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages * rustix::param::page_size() as u64)
}
