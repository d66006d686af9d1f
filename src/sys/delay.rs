//! Delays between the critical steps of the protocols: random under `--cfg rcu_delays`, else none.
//!
//! Most races show only if a thread stops between two particular steps. That is rare, and common
//! under this cfg. `examples/rcutorture.rs` uses it. `ASYNC_RCU_DELAY_SEED` in the environment is
//! the seed, a number.

pub(crate) use kind::at;

/// The place of a delay, between two steps. Those up to `Published` are on hot paths and run often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Window {
    /// A reader has read the sequence and not yet stored its word.
    Entering,
    /// A reader has stored its word and read nothing yet.
    Entered,
    /// A reader's section is over and its word is not yet 0.
    Leaving,
    /// A reader's word is 0, and the reader has not yet looked for a requested wake.
    Left,
    /// An owned word was found free and is not yet opened.
    Claiming,
    /// A callback is in its slot and not yet published.
    Publishing,
    /// A callback is published, and its thread has not yet looked whether the collector sleeps.
    Published,
    /// The request for a wake was taken away and the sleeper is not yet woken.
    Waking,
    /// A block of owned words was found idle and is not yet marked as skipped.
    Skipping,
    /// A block is marked as not skipped, and no word in it is claimed yet.
    Unskipped,
    /// A grace period has its number and its heavy fence is not done.
    Numbered,
    /// The heavy fence is done and `fenced` is not yet raised.
    Fenced,
    /// A scan has its limit and has not yet read the registry's head.
    Limited,
    /// A scan is between two records.
    Scanning,
    /// The result of a scan is not yet published.
    Scanned,
    /// The search for the section that is to wake the sleeper is between two records.
    Asking,
    /// The thread found nothing to do and has not yet announced its sleep or its end.
    Resting,
    /// The sleep or the end is announced, and the fence is not done.
    Announced,
    /// The thread has looked again at all work and does not sleep yet.
    Sleeping,
    /// The event is armed, and the sleeper is not yet in the system call.
    Armed,
    /// The thread is awake again and has not announced it.
    Awake,
    /// The requests are taken and the queues are not yet collected.
    Taken,
    /// The number of published callbacks was read, and the next ones are not taken out.
    Collecting,
    /// The queues are collected and no grace period is started yet.
    Collected,
    /// Ready callbacks are not yet handed out.
    Ready,
    /// A collection has begun, and no queue is read yet.
    Begun,
    /// A waiter is registered and has not looked again.
    Registered,
    /// The end of a thread is announced, and the fence is not done.
    Stopping,
    /// A stopped thread was taken over and not yet started.
    Starting,
    /// A producer's stock is closed, and the thread that closed it has not looked whether the
    /// producer uses it.
    Closed,
    /// A record's thread ends, and the record is not yet among the orphans.
    Orphaned,
    /// The last handle is gone, and this is not yet announced.
    Ending,
}

/// Random delays: mostly short, sometimes long enough for all other threads.
///
/// Calm and rough times alternate for each thread. A calm time has no delays, since some faults
/// show only if all goes fast, such as a store that is still in its buffer. Each thread has a
/// stream of random numbers, given out in the order in which threads come here. So a seed makes
/// runs similar, not equal.
#[cfg(all(rcu_delays, not(rcu_loom)))]
mod kind {
    use super::Window;
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    /// In a rough time, one window in this many delays the thread: on hot paths, and on others.
    const HOT: u64 = 32;
    const COLD: u64 = 4;

    /// The most windows before the time changes.
    const SPELL: u64 = 2_000;

    /// The most steps of a spin, and the most microseconds of a sleep.
    const SPIN: u64 = 2_000;
    const SLEEP: u64 = 200;

    static STREAMS: AtomicU64 = AtomicU64::new(1);

    thread_local! {
        // Without destructors, so that they work while other thread-locals are dropped.
        /// The state of the xorshift generator. 0 before the first draw.
        static STREAM: Cell<u64> = const { Cell::new(0) };
        /// Windows left until the time changes.
        static LEFT: Cell<u64> = const { Cell::new(0) };
        static ROUGH: Cell<bool> = const { Cell::new(false) };
    }

    fn first() -> u64 {
        static SEED: OnceLock<u64> = OnceLock::new();
        let seed = SEED.get_or_init(|| {
            let seed = std::env::var("ASYNC_RCU_DELAY_SEED").ok();
            seed.and_then(|text| text.parse().ok()).unwrap_or(1)
        });
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        seed.wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1
    }

    fn draw() -> u64 {
        let mut x = match STREAM.get() {
            0 => first(),
            x => x,
        };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        STREAM.set(x);
        x >> 16
    }

    #[inline]
    pub(crate) fn at(window: Window) {
        match LEFT.get() {
            0 => change(),
            left => LEFT.set(left - 1),
        }
        if ROUGH.get() {
            rough(window);
        }
    }

    #[cold]
    fn change() {
        let drawn = draw();
        ROUGH.set(drawn % 2 == 0);
        LEFT.set(drawn / 2 % SPELL);
    }

    fn rough(window: Window) {
        let one_in = if window <= Window::Published { HOT } else { COLD };
        let drawn = draw();
        if drawn % one_in != 0 {
            return;
        }
        let (kind, how_long) = (drawn / one_in % 16, drawn / one_in / 16);
        match kind {
            0 => thread::sleep(Duration::from_micros(how_long % SLEEP)),
            1..=3 => thread::yield_now(),
            _ => (0..how_long % SPIN).for_each(|_| std::hint::spin_loop()),
        }
    }
}

/// No delays: the calls leave no code.
#[cfg(not(all(rcu_delays, not(rcu_loom))))]
mod kind {
    use super::Window;

    #[inline(always)]
    pub(crate) fn at(_window: Window) {}
}
