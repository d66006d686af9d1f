//! Readers: sections, the words that sections write, and the records of threads. Nothing here
//! starts a grace period or waits for one.
//!
//! A read goes from [`local`], which finds the current thread's [`record`], to its [`word`], and
//! returns a [`guard`].
//!
//! # The protocol of a section
//! Every section owns one [`Word`](word::Word): 0 while idle, else the sequence number that the
//! section saw when it began. A thread has one word for its [`ReadGuard`](guard::ReadGuard)s, which
//! nest: only the outermost writes the word. It has any number of words for its
//! [`OwnedReadGuard`](guard::OwnedReadGuard)s, one for each.
//!
//! - *enter*: load the sequence (Acquire), store it in the word (Release), light fence. Then the
//!   section may load pointers.
//! - *leave*: store 0 (Release), light fence, read the record's `wake_requested`. If it is this
//!   word, take the request away by a swap **first**, then set the event. In the other order the
//!   swap could take away the next request, which the woken thread makes.
//!
//! A grace period ends when the last of the sections that hold it up has ended. So the grace-period
//! thread requests a wake-up from one of them, and when it is woken, from the next. There are as
//! many wake-ups as requests, not as sections. Later sections get no request.
//!
//! # What may be touched by which thread
//! | part | written by | read by |
//! |---|---|---|
//! | a thread's word | its thread | scanners |
//! | `inner`, the nesting count | its thread, while the word is not 0 | the same |
//! | an owned word, while 0 | its record's thread, which claims it | scanners, its thread |
//! | an owned word, while not 0 | the holder of the guard, on any thread: stores 0, or a newer sequence | scanners |
//! | `skipped` of a block of owned words | its record's thread | scanners |
//! | `wake_requested` | the sleeper puts a word there, a leaver takes away its own word or a later one | both |
//! | the registry's list | a thread that registers, under the lock, at the head only | scanners, without the lock |

pub(crate) mod guard;
#[cfg_attr(rcu_loom, allow(dead_code))]
pub(crate) mod local;
#[cfg_attr(rcu_loom, allow(dead_code))]
pub(crate) mod location;
pub(crate) mod owned;
pub(crate) mod record;
pub(crate) mod registry;
#[cfg_attr(rcu_loom, allow(dead_code))]
pub(crate) mod release;
pub(crate) mod sequence;
pub(crate) mod signals;
pub(crate) mod word;
