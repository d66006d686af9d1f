//! Sleeping until a 32-bit word has changed: the contract, and a module for each way to do it.
//!
//! `Park::wait(word, value, timeout)` returns when the word no longer holds `value`, when the time is over, or for no
//! reason; it never sleeps on if the change came before a `wake` that came before or during the wait.
//! `Park::wake(word)` wakes the one sleeper. Neither orders memory: the word's own operations do.

#[cfg_attr(
    all(
        any(target_os = "linux", target_os = "android"),
        not(any(rcu_loom, rcu_portable))
    ),
    path = "futex.rs"
)]
#[cfg_attr(all(windows, not(any(rcu_loom, rcu_portable))), path = "windows.rs")]
#[cfg_attr(
    all(
        any(
            rcu_portable,
            not(any(target_os = "linux", target_os = "android", windows))
        ),
        not(rcu_loom)
    ),
    path = "condvar.rs"
)]
#[cfg_attr(rcu_loom, path = "loom.rs")]
mod platform;

pub(super) use platform::Park;
