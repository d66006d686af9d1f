//! Keeps a fork from happening while another thread holds one of our locks: in the child nobody would ever let it go.
//!
//! # Protocol
//! Every lock is taken inside a *pass*: a thread counts itself in before it locks, if it has not done so already, and out after
//! it has unlocked. A fork *closes* the gate, waits until nobody else is inside, and opens the gate again in both processes.
//! Who counts itself in and then finds the gate closed counts itself out again and waits until it is open. Both sides change
//! their own before they look at the other's, and all four accesses are SeqCst: one of them gives way.
//!
//! Who is inside already may enter again: it is waited for. Nobody waits inside for anything but locks, whose
//! holders are inside too; so the wait is short. The counts are spread over several cache lines.
//!
//! What a thread leaves somewhere for others may carry its [`Origin`], which tells after a fork whether that thread came along.
//!
//! On systems without fork all of it is nothing.

#[cfg_attr(all(unix, not(rcu_loom)), path = "unix.rs")]
#[cfg_attr(not(all(unix, not(rcu_loom))), path = "none.rs")]
mod platform;

pub(crate) use platform::{Origin, Pass, is_child, on_fork};
