//! Executes this program again.
//!
//! The standard library can do that, but not have the kernel kill the new process with this one from its first moment without
//! copying the page tables of a large program for it. Like `posix_spawn`, this shares the memory until the program is
//! executed, and the calling thread waits for that.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Pid, WaitOptions};

use crate::sys::process::{self, Process};
use crate::sys::signals;

/// The program itself, wherever it came from and whatever happened to its file since.
const OWN_PROGRAM: &std::ffi::CStr = c"/proc/self/exe";
/// Words of stack for the few calls between clone and execve: 64 KiB.
const STACK: usize = 4096;

/// What the new process reads of this one's memory before it has its own.
struct Plan {
    /// Both end with a null pointer.
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    parent: u32,
    stdin: RawFd,
    inherited: RawFd,
    /// Why it could not be executed.
    errno: AtomicI32,
}

/// Executes this program again with one more environment variable, stdin at its end, and one more descriptor, in a group of its
/// own, because Ctrl-C goes to this one's. The new process is killed when the calling thread ends.
pub(crate) fn own_program(name: &str, value: &str, inherited: BorrowedFd<'_>) -> io::Result<Process> {
    let stdin = File::open("/dev/null")?;
    let argument =
        std::env::args_os().next().unwrap_or_else(|| OsStr::from_bytes(OWN_PROGRAM.to_bytes()).into());
    let argument = CString::new(argument.into_vec())?;
    let variables = std::env::vars_os().filter(|(other, _)| other != name);
    let variables = variables.chain([(OsString::from(name), OsString::from(value))]);
    let environment =
        variables.map(|(name, value)| assignment(name, &value)).collect::<io::Result<Vec<_>>>()?;
    let plan = Plan {
        arguments: vec![argument.as_ptr(), ptr::null()],
        environment: environment.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect(),
        parent: process::own_pid(),
        stdin: stdin.as_raw_fd(),
        inherited: inherited.as_raw_fd(),
        errno: AtomicI32::new(0),
    };
    let mut stack = Vec::<u128>::new();
    stack.try_reserve_exact(STACK).map_err(|_| io::ErrorKind::OutOfMemory)?;
    // The program's handlers would run on this memory.
    let blocked = signals::Blocked::new();
    // SAFETY: one past the end of the stack is where one that grows downwards begins; it is aligned as 16 bytes are.
    let top = unsafe { stack.as_mut_ptr().add(STACK) };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: `become_program` does only what may be done in shared memory, and this thread goes on, and drops what that reads,
    // only when it has executed the program or exited.
    let pid =
        unsafe { libc::clone(become_program, top.cast(), flags, ptr::from_ref(&plan).cast_mut().cast()) };
    let error = io::Error::last_os_error();
    drop(blocked);
    let Ok(pid @ 1..) = u32::try_from(pid) else { return Err(error) };
    match plan.errno.load(Ordering::Relaxed) {
        0 => Process::open_executed(pid),
        errno => {
            // It has ended, or is about to. If it is nobody's to collect, this fails.
            let _ = rustix::process::waitpid(Pid::from_raw(pid as i32), WaitOptions::empty());
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

fn assignment(mut name: OsString, value: &OsStr) -> io::Result<CString> {
    name.push("=");
    name.push(value);
    Ok(CString::new(name.into_vec())?)
}

/// The new process's first steps, in the memory of the old one: no allocation, no lock, no panic.
extern "C" fn become_program(plan: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it points to the plan of the thread that waits meanwhile, and nobody changes that but for its atomic.
    let plan = unsafe { &*plan.cast::<Plan>() };
    process::lead_own_group();
    let mut errno = libc::ESRCH;
    if process::die_with_parent(plan.parent) {
        // SAFETY: both are descriptors, and this process's table of them is its own.
        unsafe { libc::dup2(plan.stdin, libc::STDIN_FILENO) };
        for descriptor in [libc::STDIN_FILENO, plan.inherited] {
            // SAFETY: this sets a flag of a descriptor: none, so that it stays.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
        }
        signals::forget_handlers();
        let (arguments, environment) = (plan.arguments.as_ptr(), plan.environment.as_ptr());
        // SAFETY: both lists end with a null pointer, and so do their strings, which live as long as the plan.
        unsafe { libc::execve(OWN_PROGRAM.as_ptr(), arguments, environment) };
        errno = io::Error::last_os_error().raw_os_error().unwrap_or(errno);
    }
    plan.errno.store(errno, Ordering::Relaxed);
    process::exit_at_once(127)
}
