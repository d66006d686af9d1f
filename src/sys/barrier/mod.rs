//! The asymmetric fence: [`light`] on the side that is passed all the time, [`heavy`] on the side that is passed rarely.
//!
//! # Contract
//! For a store `A` before a `light()` before a load `B` on one thread, and a store `C` before a `heavy()` before a load
//! `D` on another: `B` sees `C`, or `D` sees `A` (or both). **Light pairs with heavy only**: two lights order nothing
//! between each other where the heavy one is a system call.
//!
//! # Two modes, chosen once for the process before the first domain exists
//! - *asymmetric*: `light` is a compiler fence; `heavy` asks the operating system to run a full barrier on every
//!   processor that runs a thread of this process (Linux `membarrier(PRIVATE_EXPEDITED)`, Windows
//!   `FlushProcessWriteBuffers`), between two fences of its own.
//! - *fence*: both are `fence(SeqCst)`. Taken where the system has nothing to offer, where it refuses (an old kernel, a
//!   seccomp filter), or where the environment variable `ASYNC_RCU_BARRIER=fence` asks for it.
//!
//! A barrier that the system granted at start and refuses later cannot be replaced: readers already run without
//! fences. Want of memory is retried; anything else aborts the process.

use super::prim::{AtomicU8, Ordering, compiler_fence, fence};
use super::stderr;
use std::sync::OnceLock;

#[cfg_attr(
    all(
        any(target_os = "linux", target_os = "android"),
        not(any(rcu_loom, rcu_portable))
    ),
    path = "membarrier.rs"
)]
#[cfg_attr(all(windows, not(any(rcu_loom, rcu_portable))), path = "windows.rs")]
#[cfg_attr(
    any(
        rcu_loom,
        rcu_portable,
        not(any(target_os = "linux", target_os = "android", windows))
    ),
    path = "none.rs"
)]
mod platform;

/// How grace periods make every processor agree: which barrier the process uses.
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
    /// A sequentially consistent fence on both sides: where there is no process-wide barrier.
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

/// The mode as the hot paths see it. `FENCE` is also the value before the choice, so that no order can be lost by it.
#[cfg(not(rcu_loom))]
static MODE: AtomicU8 = AtomicU8::new(FENCE);
const FENCE: u8 = 0;
const ASYMMETRIC: u8 = 1;

static CHOSEN: OnceLock<MemoryBarrier> = OnceLock::new();

/// Chooses the mode at the first call and tells it. Every domain calls it before it hands anything to a reader.
pub(crate) fn choose() -> MemoryBarrier {
    *CHOSEN.get_or_init(|| {
        let wanted = std::env::var_os("ASYNC_RCU_BARRIER");
        if wanted.is_some_and(|w| w == "fence") {
            return MemoryBarrier::Fence;
        }
        let chosen = platform::register();
        if chosen != MemoryBarrier::Fence {
            set_asymmetric();
        }
        chosen
    })
}

#[cfg(not(rcu_loom))]
fn set_asymmetric() {
    MODE.store(ASYMMETRIC, Ordering::Release);
}

#[cfg(rcu_loom)]
fn set_asymmetric() {}

/// In the child of a fork: the registration may not have been inherited.
pub(crate) fn after_fork() {
    if asymmetric() && platform::register() == MemoryBarrier::Fence {
        stderr::tell(format_args!(
            "the child of a fork is refused the barrier that its parent has: no grace period could be trusted; aborting"
        ));
        std::process::abort();
    }
}

/// Whether readers may run without fences.
#[cfg(not(rcu_loom))]
#[inline(always)]
pub(crate) fn asymmetric() -> bool {
    MODE.load(Ordering::Relaxed) == ASYMMETRIC
}

#[cfg(rcu_loom)]
pub(crate) fn asymmetric() -> bool {
    let _ = (FENCE, ASYMMETRIC, AtomicU8::new(FENCE));
    false
}

/// The side that is passed all the time. Pairs with [`heavy`], never with itself.
#[inline(always)]
pub(crate) fn light() {
    if asymmetric() {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The side that is passed rarely. Pairs with every [`light`] of the process, and with itself.
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    if asymmetric() {
        platform::barrier();
    }
    fence(Ordering::SeqCst);
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
