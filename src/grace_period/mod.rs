//! Grace periods: their numbers, how one is started, and the scan that finds which have elapsed.
//! The floors above decide which thread calls this, and when.
//!
//! # State
//! Three numbers that only grow, equal and at least 1 at the beginning:
//! - `sequence`: the newest grace period that was started,
//! - `fenced`: the newest one whose heavy fence is done,
//! - `elapsed`: all up to this one have elapsed.
//!
//! `elapsed <= fenced <= sequence`.
//!
//! - *start* (any thread): take `g = sequence + 1`, and publish it to readers; heavy fence; raise
//!   `fenced` to `g`.
//! - *scan* (any thread): load `fenced` as the limit, **then** the registry's head, **then** the
//!   words; raise `elapsed` to the least of the limit and all words that are not 0.
//!
//! # Why it is right
//! Writer W unlinks, and then grace period `g` is started. Reader R stores its word, then loads the
//! pointer.
//! - R's store comes before the heavy fence of `g` on R's processor. Then every scan with a limit
//!   of `g` or more sees the store. If the word is below `g`, the scan stays below `g`. If not, R
//!   loaded `g` or later (Acquire) from the chain of read-modify-writes on `sequence`, which comes
//!   after the unlink: R loads the new pointer.
//! - R's store comes after the heavy fence. Then so does R's load of the pointer, which sees the
//!   unlink. The word may be old, if R loaded the sequence and then stalled. Then later scans wait
//!   longer, and none ends a grace period too early.
//!
//! R's last access comes before the free: the scan reads (Acquire) the 0 that R stored (Release),
//! or a later number in that word, stored by a thread that read the 0.
//!
//! The limit is `fenced`, and neither `sequence` nor the scanner's own number: a number that is not
//! yet fenced proves nothing about readers. The limit is read first. So a record that the scan does
//! not find was registered after the fence of the limit.
//!
//! A section with word `w` holds up grace periods `w + 1` and later, and no others. So grace
//! periods overlap: a new one starts while older ones wait, and one scan ends all that can end.

use crate::reader::record::Record;
use crate::reader::registry::Registry;
use crate::reader::sequence::{Mark, Seq};
use crate::reader::word::Word;
use crate::sys::barrier;
use crate::sys::clock::Instant;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicUsize, Mutex, MutexGuard, Ordering, spin_loop};
use crossbeam_utils::CachePadded;
use std::ptr;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Engine {
    registry: &'static Registry,
    first: Seq,
    fenced: CachePadded<Mark>,
    elapsed: CachePadded<Mark>,
    /// The number of words that the last scan looked at.
    words: AtomicUsize,
    /// How many scans have seen far more idle words than held ones.
    idle_scans: AtomicUsize,
    /// Locked by a caller that starts and scans for itself. Others join the next grace period.
    caller: Mutex<Caller>,
    /// The last tasks that wanted to start and scan for themselves at their first poll: the
    /// addresses of the data of their wakers, the newest first. Written under the lock.
    regulars: [AtomicUsize; REGULARS],
}

#[derive(Debug)]
struct Caller {
    /// When a new task last came.
    at: Option<Instant>,
}

/// So many tasks may each have grace periods of their own, if they wait again and again.
const REGULARS: usize = 4;

/// A caller looks at no more words than this. More are left to the grace-period thread.
const OWN_WORDS: usize = 4096;

/// A scan that sees more idle owned words than held ones, by this number, counts as one that could
/// do with fewer. After so many of them, idle blocks of owned words are skipped.
const IDLE_WORDS: usize = 256;
const IDLE_SCANS: usize = 64;

crate::sys::prim::model_const! {
    /// The least time between two tasks that each start a grace period of their own at their first
    /// poll. A task that follows another one sooner shares the next grace period.
    const APART: Duration = Duration::from_micros(50), loom Duration::ZERO;
    /// How long a thread scans again and again before it sleeps: most sections are short.
    const SPIN: Duration = Duration::from_micros(5), loom Duration::ZERO;
    /// How long a task that waits again and again tries to be the caller, while another one is.
    const QUEUE: Duration = Duration::from_micros(3), loom Duration::ZERO;
}

/// What a scan before a sleep found.
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) elapsed: Seq,
    /// Sections hold the grace period up, and none of them is to wake the sleeper.
    pub(crate) without_wake: bool,
}

impl Engine {
    /// Makes an engine for a registry in which no section is open and nothing is queued.
    pub(crate) fn new(registry: &'static Registry) -> Self {
        let first = registry.signals.sequence.newest();
        Self {
            registry,
            first,
            fenced: CachePadded::new(Mark::at(first)),
            elapsed: CachePadded::new(Mark::at(first)),
            words: AtomicUsize::new(0),
            idle_scans: AtomicUsize::new(0),
            caller: Mutex::new(Caller { at: None }),
            regulars: std::array::from_fn(|_| AtomicUsize::new(0)),
        }
    }

    /// Starts a grace period, which covers all that was unlinked before the call.
    pub(crate) fn start(&self) -> Seq {
        let seq = self.registry.signals.sequence.take();
        delay::at(Window::Numbered);
        barrier::heavy();
        delay::at(Window::Fenced);
        self.fenced.raise(seq);
        seq
    }

    /// Looks at every reader word, ends all grace periods that can end, and returns the newest
    /// elapsed one.
    pub(crate) fn scan(&self) -> Seq {
        let limit = self.fenced.get();
        delay::at(Window::Limited);
        let mut oldest = limit;
        let (mut words, mut held, mut own) = (0, 0, 0);
        for group in self.registry.groups() {
            for record in group {
                delay::at(Window::Scanning);
                own += 1;
                record.for_each_word(|word| {
                    words += 1;
                    if let Some(seen) = word.holds() {
                        held += 1;
                        oldest = oldest.min(seen);
                    }
                });
            }
        }
        self.words.store(words, Ordering::Relaxed);
        if words - own > 2 * held + IDLE_WORDS {
            self.skip_idle();
        }
        delay::at(Window::Scanned);
        self.elapsed.raise(oldest)
    }

    /// Takes idle owned words out of later scans, if many scans have seen more idle words than held
    /// ones. So a past peak does not slow scans down for long, and guards that come and go are left
    /// alone.
    #[cold]
    fn skip_idle(&self) {
        if self.idle_scans.fetch_add(1, Ordering::Relaxed) % IDLE_SCANS == IDLE_SCANS - 1 {
            self.registry.groups().flatten().for_each(Record::skip_idle);
        }
    }

    /// Requests that the oldest section that holds up `next` wakes the sleeper. A heavy fence and
    /// [`scan_before_sleep`](Self::scan_before_sleep) must follow.
    ///
    /// One section is enough: neither `next` nor a later grace period ends before it.
    pub(crate) fn request_wake(&self, next: Seq) {
        let mut oldest: Option<(Seq, &Record, *const Word)> = None;
        for record in self.registry.groups().flatten() {
            delay::at(Window::Asking);
            record.for_each_word(|word| {
                if let Some(seen) = word.holds().filter(|&seen| seen < next) {
                    // Of equal words, the last: a thread's own word comes first, and its section
                    // is mostly shorter than those of owned words.
                    if oldest.is_none_or(|(least, ..)| seen <= least) {
                        oldest = Some((seen, record, ptr::from_ref(word)));
                    }
                }
            });
        }
        if let Some((_, record, word)) = oldest {
            record.request_wake(word);
        }
    }

    /// Scans after the heavy fence that followed [`request_wake`](Self::request_wake).
    ///
    /// The scan loads each word once, and then looks whether a request names the word. If a
    /// requested word still holds up `next`, its leaver's store comes after the fence. So its
    /// leaver sees the request, or another leaver took the request away and sets the event. If no
    /// word that holds up `next` is requested, the sleeper may never be woken, and must begin again
    /// at its reset.
    pub(crate) fn scan_before_sleep(&self, next: Seq) -> Outlook {
        let limit = self.fenced.get();
        delay::at(Window::Limited);
        let mut oldest = limit;
        let mut held = false;
        let mut requested = false;
        for record in self.registry.groups().flatten() {
            delay::at(Window::Scanning);
            record.for_each_word(|word| {
                if let Some(seen) = word.holds() {
                    oldest = oldest.min(seen);
                    if seen < next {
                        held = true;
                        requested |= record.will_wake(word);
                    }
                }
            });
        }
        Outlook { elapsed: self.elapsed.raise(oldest), without_wake: held && !requested }
    }

    /// Starts a grace period, scans once, and returns the number. Returns `None` if another caller
    /// does so now, or two grace periods are unfinished. Then the caller joins the next one.
    pub(crate) fn try_start_and_scan(&self) -> Option<Seq> {
        let _one = self.caller.try_lock()?;
        self.start_and_scan()
    }

    /// Does the same for a task at its first poll, known by its waker. Returns `None` also if the
    /// task is new and another new one came just before. So a few tasks that wait again and again
    /// have grace periods of their own each time, and a thousand tasks that come one after another
    /// share few.
    pub(crate) fn try_start_and_scan_for(&self, waker: usize) -> Option<Seq> {
        if self.words.load(Ordering::Relaxed) > OWN_WORDS {
            return None;
        }
        if self.is_regular(waker) {
            let _one = self.lock_caller()?;
            return self.start_and_scan();
        }
        let mut last = self.caller.try_lock()?;
        for at in (1..REGULARS).rev() {
            let newer = self.regulars[at - 1].load(Ordering::Relaxed);
            self.regulars[at].store(newer, Ordering::Relaxed);
        }
        self.regulars[0].store(waker, Ordering::Relaxed);
        let now = Instant::now();
        let soon = |at| now.saturating_duration_since(at) < APART;
        if last.at.replace(now).is_some_and(soon) {
            return None;
        }
        self.start_and_scan()
    }

    fn is_regular(&self, waker: usize) -> bool {
        self.regulars.iter().any(|regular| regular.load(Ordering::Relaxed) == waker)
    }

    /// Returns whether a task may start and scan for itself while so many others wait.
    pub(crate) fn may_start_for(&self, waker: usize, waiters: usize) -> bool {
        waiters == 0 || waiters < REGULARS && self.is_regular(waker)
    }

    /// Becomes the caller, or gives up after a moment.
    fn lock_caller(&self) -> Option<MutexGuard<'_, Caller>> {
        if let Some(caller) = self.caller.try_lock() {
            return Some(caller);
        }
        let start = Instant::now();
        loop {
            spin_loop();
            if let Some(caller) = self.caller.try_lock() {
                return Some(caller);
            }
            if start.elapsed() >= QUEUE {
                return None;
            }
        }
    }

    fn start_and_scan(&self) -> Option<Seq> {
        if self.unfinished() >= 2 {
            return None;
        }
        let seq = self.start();
        self.scan();
        Some(seq)
    }

    /// Scans again and again for a moment, and returns whether `seq` has elapsed.
    pub(crate) fn spin(&self, seq: Seq) -> bool {
        let start = Instant::now();
        loop {
            spin_loop();
            if self.scan() >= seq {
                return true;
            }
            if self.words.load(Ordering::Relaxed) > OWN_WORDS || start.elapsed() >= SPIN {
                return false;
            }
        }
    }

    /// Returns the next number, for a caller that does not start its grace period.
    pub(crate) fn next(&self) -> Seq {
        self.registry.signals.sequence.next()
    }

    pub(crate) fn fenced(&self) -> Seq {
        self.fenced.get()
    }

    pub(crate) fn elapsed(&self) -> Seq {
        self.elapsed.get()
    }

    /// Returns whether `seq` has elapsed. Acquire: the sections that held it up end before this.
    pub(crate) fn has_elapsed(&self, seq: Seq) -> bool {
        self.elapsed() >= seq
    }

    /// Returns how many grace periods are fenced and have not elapsed.
    pub(crate) fn unfinished(&self) -> u64 {
        self.fenced().since(self.elapsed())
    }

    pub(crate) fn started(&self) -> u64 {
        self.registry.signals.sequence.newest().since(self.first)
    }

    /// Returns what the oldest open section saw when it began.
    pub(crate) fn oldest_section(&self) -> Option<Seq> {
        let mut oldest: Option<Seq> = None;
        for record in self.registry.groups().flatten() {
            record.for_each_word(|word| {
                if let Some(seen) = word.holds() {
                    oldest = Some(oldest.map_or(seen, |o| o.min(seen)));
                }
            });
        }
        oldest
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    fn engine_at(first: u64) -> (&'static Registry, Engine) {
        crate::sys::barrier::choose();
        let registry = Registry::leak(Seq::from_raw(first));
        (registry, Engine::new(registry))
    }

    #[test]
    fn a_section_holds_up_later_grace_periods_and_no_others() {
        // Also around the number at which a 32-bit counter would wrap.
        for first in [1, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 40] {
            let (registry, engine) = engine_at(first);
            let (a, b) = (registry.acquire(), registry.acquire());
            let before = engine.start();
            // SAFETY: this thread acquired both records and pairs the calls.
            unsafe {
                a.enter(a.signals());
                let first_held = engine.start();
                b.enter(b.signals());
                let second_held = engine.start();
                engine.scan();
                assert!(engine.has_elapsed(before));
                assert!(!engine.has_elapsed(first_held));
                assert_eq!(engine.unfinished(), 2);
                a.leave();
                engine.scan();
                assert!(engine.has_elapsed(first_held));
                assert!(!engine.has_elapsed(second_held));
                b.leave();
                assert_eq!(engine.scan(), second_held);
                assert_eq!(engine.started(), 3);
            }
        }
    }

    #[test]
    fn a_caller_ends_its_own_grace_period_if_no_section_is_open() {
        let (_, engine) = engine_at(1);
        let seq = engine.try_start_and_scan().unwrap();
        assert!(engine.has_elapsed(seq));
        assert_eq!(engine.next().since(seq), 1);
    }

    #[test]
    fn a_sleeper_sees_whether_it_would_be_woken() {
        let (registry, engine) = engine_at(1);
        let (a, b) = (registry.acquire(), registry.acquire());
        let woken = || registry.signals.event.wait(Some(Duration::ZERO));
        // SAFETY: this thread acquired both records and pairs the calls.
        unsafe {
            a.enter(a.signals());
            b.enter(b.signals());
            let next = engine.start();
            assert!(engine.scan_before_sleep(next).without_wake);
            engine.request_wake(next);
            assert!(!engine.scan_before_sleep(next).without_wake);
            a.leave();
            assert!(!woken(), "the other one is requested");
            b.leave();
            assert!(woken());
            let outlook = engine.scan_before_sleep(next);
            assert!(!outlook.without_wake && outlook.elapsed == next);
        }
    }

    /// One section is requested to wake the sleeper. Others begin and end on the same record.
    #[test]
    fn only_the_requested_section_wakes_the_sleeper() {
        let (registry, engine) = engine_at(1);
        let record = registry.acquire();
        let woken = || {
            let woken = registry.signals.event.wait(Some(Duration::ZERO));
            registry.signals.event.reset();
            woken
        };
        // SAFETY: this thread acquired the record and pairs the calls.
        unsafe {
            let (early, long) = (record.claim(record.signals()), record.claim(record.signals()));
            let next = engine.start();
            let late = record.claim(record.signals());
            let last = engine.start();
            record.request_wake(late);
            assert!(engine.scan_before_sleep(next).without_wake, "`late` does not hold up `next`");
            engine.request_wake(next);
            record.enter(record.signals());
            record.leave();
            record.leave_owned(late);
            record.leave_owned(early);
            assert!(!woken());
            assert!(!engine.scan_before_sleep(next).without_wake);
            record.refresh_owned(long);
            assert!(woken());
            assert_eq!(engine.scan_before_sleep(next).elapsed, last);
            record.leave_owned(long);
            assert!(!woken(), "a request is taken once");
        }
    }
}
