//! Processes: making, watching and ending them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};

use crate::exit::{Ended, Exit, ExitReport};
use crate::sys::event;

/// How long a process may take to end that was killed, and is not what is waited for.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// A child process that cannot be confused with another, however often its id is used again.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    handle: OwnedFd,
    /// Its id, and its group's, may belong to others from now on.
    is_collected: AtomicBool,
    /// Peak memory that the kernel says was its own and was another's.
    inherited_peak: u64,
}

impl Process {
    /// Takes charge of a child that was just made and is not yet waited for. If that fails, the child is ended.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let id = to_pid(pid)?;
        match pidfd_open(id, PidfdFlags::empty()) {
            Ok(handle) => Ok(Self { pid, handle, is_collected: AtomicBool::new(false), inherited_peak: 0 }),
            Err(error) => {
                // Nobody else waits for it, so the id is still its own.
                let _ = kill_process(id, Signal::KILL);
                let _ = waitid(WaitId::Pid(id), WaitIdOptions::EXITED);
                Err(error.into())
            }
        }
    }

    /// Takes charge of a child that executed a program. The kernel counts the memory that it left by doing so, which was
    /// this process's, as its own.
    pub(crate) fn open_executed(pid: u32) -> io::Result<Self> {
        let inherited_peak = own_peak_memory().unwrap_or(u64::MAX);
        Ok(Self { inherited_peak, ..Self::open(pid)? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Becomes readable when the process ended.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Collects the process if it ended, and with it what is left of its group, which it kills.
    pub(crate) fn collect(&self) -> Option<Ended> {
        let exit = self.wait_for(WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)?;
        if exit == Exit::Unknown {
            // Somebody else collected it, so that its id may be another's by now.
            self.is_collected.store(true, Ordering::Relaxed);
            return Some(exit.into());
        }
        // Before it is collected, and with it what the kernel counted.
        let report = self.resources();
        self.kill_family();
        Some(Ended { exit, report })
    }

    /// What the process used, which has ended and is not collected yet.
    fn resources(&self) -> ExitReport {
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let nobody = std::ptr::null_mut::<libc::siginfo_t>();
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the kernel writes nothing but one `rusage`, to where its last argument points; `nobody` says that the other
        // thing it could write is not wanted. No library has a call for this form of waiting.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PIDFD,
                self.handle.as_raw_fd(),
                nobody,
                options,
                usage.as_mut_ptr(),
            )
        };
        if outcome != 0 {
            return ExitReport::default();
        }
        // SAFETY: a `rusage` is made of numbers, for which zeroes are values as well.
        let usage = unsafe { usage.assume_init() };
        let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024);
        ExitReport {
            peak_memory: (peak > self.inherited_peak).then_some(peak),
            cpu_time: Some(duration(usage.ru_utime) + duration(usage.ru_stime)),
            ..ExitReport::default()
        }
    }

    /// Makes the process the leader of a group of its own; it must be a child that has not executed anything.
    pub(crate) fn move_to_own_group(&self) {
        // It fails only if the process is gone.
        if let Ok(pid) = to_pid(self.pid) {
            let _ = rustix::process::setpgid(Some(pid), Some(pid));
        }
    }

    /// Kills and collects the process and every child of this one that is still in its group, unless it was collected.
    pub(crate) fn kill_family(&self) {
        if self.is_collected.load(Ordering::Relaxed) {
            return;
        }
        self.kill();
        while self.wait_for(WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_none() {}
        self.collect_group();
        // If it never led its group, it is not collected yet.
        self.wait_for(WaitIdOptions::EXITED);
        self.is_collected.store(true, Ordering::Relaxed);
    }

    /// Collects the children of this process in the group. A program that adopts orphans may have some that it may not kill: those
    /// are left to themselves.
    fn collect_group(&self) {
        let Ok(pid) = to_pid(self.pid) else { return };
        let deadline = Instant::now() + LAST_BREATH;
        loop {
            match waitid(WaitId::Pgid(Some(pid)), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
    }

    /// Collects the process within that time; false if it did not end.
    pub(crate) fn collect_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if self.collect().is_some() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            event::sleep_on(&[self.as_fd()], Some(left));
        }
    }

    fn wait_for(&self, options: WaitIdOptions) -> Option<Exit> {
        match waitid(WaitId::PidFd(self.handle.as_fd()), options) {
            Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            }),
            Ok(None) | Err(rustix::io::Errno::INTR) => None,
            // The program ignores SIGCHLD or collected the process itself.
            Err(_) => Some(Exit::Unknown),
        }
    }

    /// Asks the process and its group to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the process and its group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The process may be gone, which is what the signal was for. The group exists only once the worker made
        // it, and its id is not used again before the process is collected.
        let _ = pidfd_send_signal(&self.handle, signal);
        self.signal_group(signal);
    }

    fn signal_group(&self, signal: Signal) {
        if self.is_collected.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(pid) = to_pid(self.pid) {
            let _ = kill_process_group(pid, signal);
        }
    }
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn duration(time: libc::timeval) -> Duration {
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}

/// The most memory that this process had resident at a time since it executed its program.
fn own_peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    field.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Tells whether this process is the same as when its [`fork_generation`] was asked.
#[inline]
pub(crate) fn is_generation(generation: u32) -> bool {
    FORKS.load(Ordering::Relaxed) == generation
}

/// The id of this process.
pub(crate) fn own_pid() -> u32 {
    rustix::process::getpid().as_raw_pid().unsigned_abs()
}

static FORKS: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between this process and the one that asked first: not the same number in a process and in
/// its forked child, once it was asked. A load, where asking for the process id is a system call.
pub(crate) fn fork_generation() -> u32 {
    static WATCH: Once = Once::new();
    extern "C" fn count() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    WATCH.call_once(|| {
        // SAFETY: the handler only adds to an atomic, which is allowed after any fork.
        unsafe { libc::pthread_atfork(None, None, Some(count)) };
    });
    FORKS.load(Ordering::Relaxed)
}

/// The id of the process that this one is a child of; 0 if that is out of sight.
pub(crate) fn parent_pid() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_pid().unsigned_abs())
}

/// Asks the kernel to kill this process when the thread that is its parent ends.
///
/// The kernel does not look back, so this looks at the parent afterwards; false if it is gone already.
pub(crate) fn die_with_parent(parent: u32) -> bool {
    let armed = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
    armed && parent_pid() == parent
}

/// Makes this process the leader of its own group, so that what it leaves behind can be ended with it.
pub(crate) fn lead_own_group() {
    let _ = rustix::process::setpgid(None, None);
}

/// Sets the name that `ps` and `top` show for the calling thread.
pub(crate) fn name_thread(name: &std::ffi::CStr) {
    let _ = rustix::thread::set_name(name);
}

/// Number of threads of this process, as the kernel counts them.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Tells whether this program has rights that its user lacks: from the kernel (set-user-ID and the like), or because it took
/// another user's for a while. What it executes is told so, too.
pub(crate) fn has_raised_rights() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    // SAFETY: `getauxval` reads a table that the kernel made and has no preconditions.
    let is_told = unsafe { libc::getauxval(libc::AT_SECURE) != 0 };
    is_told || geteuid() != getuid() || getegid() != getgid()
}

/// Ends this process without running handlers that were registered in another one.
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Who continues after a fork.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    Parent(u32),
    Child,
}

/// Forks the calling process, with the handlers that libraries registered for it.
///
/// # Safety
///
/// The process has no other thread, so that no lock is held by a thread that the child lacks.
pub(crate) unsafe fn fork() -> io::Result<Forked> {
    // SAFETY: the caller promises that this process is single-threaded.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid.unsigned_abs())),
    }
}

/// Forks the calling process such that the new one is its sibling: a child of *its* parent.
///
/// So a zygote makes workers that belong to the program itself, which can wait for them, learns how
/// they ended from the kernel, and keeps them when the zygote dies. The C library's `fork` cannot ask for
/// that; like it, this tells the kernel where the C library keeps the thread's id, so that
/// threads and `abort` work in the child, and its list of robust mutexes, so that they are free when it dies.
///
/// # Safety
///
/// The process has no other thread.
pub(crate) unsafe fn fork_sibling() -> io::Result<Forked> {
    let mut tid_address: *mut libc::c_int = std::ptr::null_mut();
    // SAFETY: PR_GET_TID_ADDRESS stores one pointer to where its argument points.
    let found = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut tid_address) } == 0;
    let mut flags = libc::CLONE_PARENT | libc::SIGCHLD;
    if found {
        flags |= libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    }
    let robust = robust_list();
    // SAFETY: without CLONE_VM the child gets its own copy of the memory and, with no stack given, goes on on its
    // copy of this one. `tid_address` is where the C library itself asked for the id. The caller promises
    // that no other thread holds anything.
    let pid = unsafe { raw_clone(flags, tid_address) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            if let Some((head, length)) = robust {
                // SAFETY: this is where the C library has the list of this thread, whose memory was just copied.
                unsafe { libc::syscall(libc::SYS_set_robust_list, head, length) };
            }
            Ok(Forked::Child)
        }
        pid => Ok(Forked::Parent(pid.unsigned_abs() as u32)),
    }
}

/// Where the C library has its list of the robust mutexes that the calling thread holds, and the length of its head.
fn robust_list() -> Option<(*mut libc::c_void, usize)> {
    let (mut head, mut length) = (std::ptr::null_mut::<libc::c_void>(), 0usize);
    // SAFETY: for the calling thread, 0, it stores a pointer and a length to where the arguments point.
    let outcome = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut length) };
    (outcome == 0 && !head.is_null()).then_some((head, length))
}

/// # Safety
///
/// As for clone(2) without a stack of its own.
unsafe fn raw_clone(flags: libc::c_int, child_tid: *mut libc::c_int) -> libc::c_long {
    let flags = flags as libc::c_ulong;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise. The order of the last two arguments differs between machines.
    unsafe {
        libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, child_tid, 0usize)
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise. The order of the last two arguments differs between machines.
    unsafe {
        libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, child_tid)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;

    fn sleeps_in_group(group: i32) -> Child {
        Command::new("sleep").arg("600").process_group(group).spawn().unwrap()
    }

    #[test]
    fn a_child_in_the_group_that_does_not_end_is_not_waited_for() {
        let mut first = sleeps_in_group(0);
        let mut other = sleeps_in_group(first.id() as i32);
        let process = Process::open(first.id()).unwrap();
        first.kill().unwrap();
        process.collect_group();
        assert!(other.try_wait().unwrap().is_none(), "it was neither killed nor collected");
        assert_eq!(process.collect().map(|ended| ended.exit), Some(Exit::Unknown), "this one was");
        other.kill().unwrap();
        other.wait().unwrap();
        let _ = first.wait();
    }
}
