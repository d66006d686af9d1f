//! Delays inside the windows that the protocols are about: at random under `--cfg rcu_delays`, none at all otherwise.
//!
//! Most of what can go wrong goes wrong when a thread stops for a moment between two particular steps. It seldom does; under that
//! cfg it does so often. `examples/rcutorture.rs` is what makes use of it. The seed is the environment variable
//! `ASYNC_RCU_DELAY_SEED`, a number.

#[cfg_attr(all(rcu_delays, not(rcu_loom)), path = "random.rs")]
#[cfg_attr(not(all(rcu_delays, not(rcu_loom))), path = "nothing.rs")]
mod kind;

pub(crate) use kind::at;

/// Between which two steps. Those up to `Published` are on hot paths, and pass more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Window {
    /// A reader has read the sequence and not yet stored its word.
    Entering,
    /// It has stored the word and read nothing yet.
    Entered,
    /// Its section is over and the word not yet 0.
    Leaving,
    /// The word is 0, and `asked` not yet looked at.
    Left,
    /// An owned word was found free and is not yet opened.
    Claiming,
    /// A callback is in its slot and not yet published.
    Publishing,
    /// It is published, and whether the collector sleeps not yet looked at.
    Published,
    /// `asked` was taken away and the sleeper is not yet woken.
    Waking,
    /// A block of owned words was found idle and is not yet marked as parked.
    Parking,
    /// A block is marked as not parked, and no word in it is claimed yet.
    Unparked,
    /// A number was taken and its heavy fence is not done.
    Numbered,
    /// The fence is done and `fenced` not yet raised.
    Fenced,
    /// A scan has its limit and has not yet read the registry's head.
    Limited,
    /// A scan is between two records.
    Scanning,
    /// What a scan found is not yet published.
    Scanned,
    /// Between two records, one of which is asked to wake the sleeper.
    Asking,
    /// What there was to do before a sleep, or the thread's end, was looked at, and neither is announced yet.
    Resting,
    /// It is announced, and not fenced.
    Announced,
    /// All was looked at again, and the sleep does not begin yet.
    Sleeping,
    /// The event is armed, and the system does not have its sleeper yet.
    Armed,
    /// Awake again, and that is not yet announced.
    Awake,
    /// The requests are taken and the queues not yet collected.
    Taken,
    /// The number of what is published was read, and nothing taken out.
    Collecting,
    /// The queues are collected and no grace period is started yet.
    Collected,
    /// What is ready is not yet handed out.
    Ready,
    /// A drain is not yet given its number.
    Assigning,
    /// A waiter is registered and has not looked again.
    Registered,
    /// A thread is about to go: that is announced, and not fenced.
    Stopping,
    /// A stopped thread was taken over and not yet started.
    Starting,
    /// A record's thread goes, and the record is not yet among the orphans.
    Orphaned,
    /// The last handle is gone, and that is not yet announced.
    Ending,
}
