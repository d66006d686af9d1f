//! Floor 1: who is reading. No policy: nothing here starts a grace period or waits for one.
//!
//! # The protocol of a section
//! Every section owns one [`Word`](word::Word): 0 while idle, else the sequence that the section saw when it began.
//! A thread has one word for its [`ReadGuard`]s (they nest: only the outermost touches the word) and any number of words
//! for its [`OwnedReadGuard`]s (each has its own).
//!
//! - *enter*: load the sequence (Acquire), store it in the word (Release), light fence; then the section may load
//!   pointers.
//! - *leave*: store 0 (Release), light fence, look at the record's `asked`; if that is this word, take it away by a swap
//!   **first**, then set the event. (The other order takes away what is asked of the next one, once the sleeper is awake.)
//!
//! A grace period ends when the last of the sections that hold it up has ended: until one of them has, all the others may
//! leave unheard. So the sleeper asks one, and when it is woken the next: as many wake-ups as it asks, and not as many as
//! leave. Sections that began later, which are not in its way, are never asked.
//!
//! # Who may touch what
//! | part | written by | read by |
//! |---|---|---|
//! | a thread's word | its thread | scanners |
//! | inner nesting count | its thread, while the word is not 0 | the same |
//! | an owned word, while 0 | its record's thread, which claims it | scanners, its thread |
//! | an owned word, while not 0 | the holder of the guard, wherever that runs: stores 0, or a newer sequence | scanners |
//! | `parked` of a block of owned words | its record's thread | scanners |
//! | `asked` | the sleeper puts a word there, a leaver takes it away: of that word, or of one that was there before | both |
//! | the registry's list | whoever registers, under the slots' lock, at the head only | scanners, without the lock |
//!
//! # What lives how long
//! Records and hubs are never freed, only used again: a leaver looks at `asked` after its word is 0, when the domain
//! may be gone. A record belongs to one core for ever. It is free for another thread once it is *orphaned* (its thread
//! gave it up) and *idle* (all words 0, nothing queued). A core is free for another domain once its own has ended and all
//! its records are free.

pub(crate) mod guard;
pub(crate) mod hub;
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
pub(crate) mod waiters;
pub(crate) mod word;
