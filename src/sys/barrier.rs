//! The asymmetric fence: [`light`] on the side that runs all the time, [`heavy`] on the rare side.
//!
//! # Contract
//! One thread does a store `A`, a `light()`, and a load `B`. Another thread does a store `C`, a
//! `heavy()`, and a load `D`. Then `B` sees `C`, or `D` sees `A`, or both. **Light pairs with heavy
//! only**: two light fences order nothing between each other in the asymmetric mode.
//!
//! # Two modes, chosen once for the process before the first domain exists
//! - *asymmetric*: `light` is a compiler fence. `heavy` asks the operating system to run a full
//!   barrier on every processor that runs a thread of this process (Linux
//!   `membarrier(PRIVATE_EXPEDITED)`, Windows `FlushProcessWriteBuffers`), between two fences.
//! - *fence*: both are `fence(SeqCst)`. The process takes this mode if the system has no such
//!   barrier or refuses it (an old kernel, a seccomp filter), or if the environment variable
//!   `ASYNC_RCU_BARRIER=fence` asks for it.
//!
//! If the system refuses the barrier later, `heavy` cannot fall back: readers already run without
//! fences. It tries again if the system lacks memory. Any other refusal aborts the process.

use super::prim::{compiler_fence, fence};
use super::stderr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The memory barrier that the grace periods of this process use.
///
/// ```
/// use async_rcu::{Rcu, report::MemoryBarrier};
/// match Rcu::global().stats().barrier {
///     MemoryBarrier::Fence => println!("each section pays for two fences"),
///     barrier => println!("readers run without fences, thanks to {barrier}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryBarrier {
    /// Linux: `membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)`. Readers run without fences.
    Membarrier,
    /// Windows: `FlushProcessWriteBuffers`. Readers run without fences.
    FlushProcessWriteBuffers,
    /// A sequentially consistent fence on both sides, for systems without a process-wide barrier.
    Fence,
}

impl std::fmt::Display for MemoryBarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MemoryBarrier::Membarrier => "membarrier",
            MemoryBarrier::FlushProcessWriteBuffers => "FlushProcessWriteBuffers",
            MemoryBarrier::Fence => "fence",
        })
    }
}

/// Whether the mode is asymmetric. `false` until `choose` has chosen, so that no order is lost.
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

static CHOSEN: OnceLock<MemoryBarrier> = OnceLock::new();

/// Chooses the mode at the first call, and returns it. Domains call this before they have readers.
pub(crate) fn choose() -> MemoryBarrier {
    *CHOSEN.get_or_init(|| {
        let wanted = std::env::var_os("ASYNC_RCU_BARRIER");
        if wanted.is_some_and(|w| w == "fence") {
            return MemoryBarrier::Fence;
        }
        let chosen = platform::register();
        ASYMMETRIC.store(chosen != MemoryBarrier::Fence, Ordering::Release);
        chosen
    })
}

/// Registers again in the child of a fork, which may not inherit the registration.
pub(crate) fn after_fork() {
    if asymmetric() && platform::register() == MemoryBarrier::Fence {
        stderr::tell(format_args!(
            "the system refuses the forked child the memory barrier that its parent uses; \
             no grace period could be trusted; aborting"
        ));
        std::process::abort();
    }
}

/// Returns whether readers may run without fences.
#[inline(always)]
pub(crate) fn asymmetric() -> bool {
    platform::EXISTS && ASYMMETRIC.load(Ordering::Relaxed)
}

/// The side that runs all the time. Pairs with [`heavy`], never with itself.
#[inline(always)]
pub(crate) fn light() {
    if asymmetric() {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The side that runs rarely. Pairs with every [`light`] of the process, and with itself.
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    if asymmetric() {
        platform::barrier();
    }
    fence(Ordering::SeqCst);
}

/// Linux: `membarrier(2)`, private and expedited.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(rcu_loom, rcu_portable))))]
mod platform {
    use super::MemoryBarrier;
    use crate::sys::stderr;
    use rustix::io::Errno;
    use rustix::thread::{MembarrierCommand, membarrier};

    pub(super) const EXISTS: bool = true;

    /// Registers the process for the expedited command, and tries the command once.
    pub(super) fn register() -> MemoryBarrier {
        let registered = membarrier(MembarrierCommand::RegisterPrivateExpedited)
            .and_then(|()| membarrier(MembarrierCommand::PrivateExpedited));
        match registered {
            Ok(()) => MemoryBarrier::Membarrier,
            Err(_) => MemoryBarrier::Fence,
        }
    }

    pub(super) fn barrier() {
        loop {
            match membarrier(MembarrierCommand::PrivateExpedited) {
                Ok(()) => return,
                // The kernel lacks memory for a processor mask.
                Err(Errno::NOMEM) => std::thread::yield_now(),
                Err(error) => {
                    stderr::tell(format_args!(
                        "membarrier, granted at start, now fails ({error}); readers run without \
                         fences, so no grace period could be trusted; aborting"
                    ));
                    std::process::abort();
                }
            }
        }
    }
}

/// Windows: `FlushProcessWriteBuffers`, which cannot fail.
#[cfg(all(windows, not(any(rcu_loom, rcu_portable))))]
mod platform {
    use super::MemoryBarrier;
    use windows_sys::Win32::System::Threading::FlushProcessWriteBuffers;

    pub(super) const EXISTS: bool = true;

    pub(super) fn register() -> MemoryBarrier {
        MemoryBarrier::FlushProcessWriteBuffers
    }

    pub(super) fn barrier() {
        // SAFETY: the call has no precondition.
        unsafe { FlushProcessWriteBuffers() }
    }
}

/// Elsewhere, and under loom: no process-wide barrier, so both sides fence.
#[cfg(any(rcu_loom, rcu_portable, not(any(target_os = "linux", target_os = "android", windows))))]
mod platform {
    use super::MemoryBarrier;

    pub(super) const EXISTS: bool = false;

    pub(super) fn register() -> MemoryBarrier {
        MemoryBarrier::Fence
    }

    pub(super) fn barrier() {}
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_made_once_and_heavy_follows_it() {
        let first = choose();
        assert_eq!(first, choose());
        assert_eq!(asymmetric(), first != MemoryBarrier::Fence);
        heavy();
        light();
    }

    #[test]
    fn the_environment_can_ask_for_fences() {
        if std::env::var_os("ASYNC_RCU_BARRIER").is_some_and(|w| w == "fence") {
            assert_eq!(choose(), MemoryBarrier::Fence);
        }
    }
}
