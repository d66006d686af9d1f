//! Starting grace periods, and finding out which have elapsed.
//!
//! # State
//! Three numbers that only grow, equal and at least 1 at the beginning: `sequence` (newest started), `fenced` (newest whose
//! heavy fence is done), `elapsed` (all up to it have elapsed). `elapsed <= fenced <= sequence`.
//!
//! - *start* (anyone): take `g = sequence + 1`; heavy fence; raise `fenced` to `g`.
//! - *scan* (anyone): load `fenced` as the limit, **then** the registry's head, **then** the words; raise `elapsed` to the
//!   least of the limit and all words that are not 0.
//!
//! # Why it is right
//! Writer W unlinks and then has GP `g` started. Reader R stores its word, then loads the pointer.
//! - R's store is before the heavy fence of `g` on R's processor: every scan with a limit of `g` or more sees it. If it is
//!   below `g`, the scan stays below `g`. If not, R loaded `g` or later (Acquire) from the chain of read-modify-writes
//!   on `sequence`, which comes after the unlink: R loads the new pointer.
//! - R's store is after it: so is R's load of the pointer, which sees the unlink. The word may be old (R loaded the sequence,
//!   then stalled); that makes later scans wait longer, and none end too early.
//! - R's last access comes before the free: the scan reads (Acquire) the 0 that R stored (Release), or what R's word
//!   got later, by somebody who read that 0.
//!
//! The limit is `fenced` and not `sequence`, nor the scanner's own number: a number that somebody has taken but not yet
//! fenced proves nothing about readers. It is read first, so that a record which the scan does not find was registered
//! after the fence that the limit stands for.
//!
//! A section with word `w` holds up GPs `w + 1` and later and no others. So grace periods overlap: a new one starts while
//! older ones wait, and one scan ends all that can end.

use crate::reader::record::Reader;
use crate::reader::registry::{Core, Local};
use crate::reader::sequence::{Mark, Seq};
use crate::reader::word::Word;
use crate::sys::barrier;
use crate::sys::clock::Instant;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicUsize, Mutex, Ordering, spin_loop};
use crossbeam_utils::CachePadded;
use std::ptr;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Engine<L: Local> {
    core: &'static Core<L>,
    first: Seq,
    fenced: CachePadded<Mark>,
    elapsed: CachePadded<Mark>,
    /// Words that the last scan looked at.
    words: AtomicUsize,
    /// Held by a caller that starts and scans for itself: one at a time, the others join.
    caller: Mutex<Caller>,
}

/// The last one that wanted to start and scan for itself at its first poll.
#[derive(Debug)]
struct Caller {
    /// Its waker, as an address.
    who: usize,
    at: Option<Instant>,
}

/// Words that a caller looks at by itself at the most; more are left to the grace-period thread.
const OWN_WORDS: usize = 4096;

crate::sys::prim::model_const! {
    /// The time between two tasks that each start a grace period of their own at their first poll.
    /// A task that follows another one sooner shares the next grace period.
    const APART: Duration = Duration::from_micros(50), loom Duration::ZERO;
    /// How long a waiter looks at a grace period before it sleeps. Most sections are short.
    const SPIN: Duration = Duration::from_micros(5), loom Duration::ZERO;
}

/// What a scan before a sleep found.
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) elapsed: Seq,
    /// Sections hold the grace period up, and none of them will wake the sleeper.
    pub(crate) unasked: bool,
}

impl<L: Local> Engine<L> {
    /// An engine for a core in which no section is open and nothing is queued.
    pub(crate) fn new(core: &'static Core<L>) -> Self {
        let first = core.hub.sequence.newest();
        Self {
            core,
            first,
            fenced: CachePadded::new(Mark::at(first)),
            elapsed: CachePadded::new(Mark::at(first)),
            words: AtomicUsize::new(0),
            caller: Mutex::new(Caller { who: 0, at: None }),
        }
    }

    /// Starts a grace period: it covers whatever was unlinked before the call.
    pub(crate) fn start(&self) -> Seq {
        let seq = self.core.hub.sequence.take();
        delay::at(Window::Numbered);
        barrier::heavy();
        delay::at(Window::Fenced);
        self.fenced.raise(seq);
        seq
    }

    /// Looks at every reader word and ends what can end.
    pub(crate) fn scan(&self) -> Seq {
        let limit = self.fenced.get();
        delay::at(Window::Limited);
        let mut oldest = limit;
        let mut words = 0;
        self.core.records().for_each(|record| {
            delay::at(Window::Scanning);
            record.reader.for_each_word(|word| {
                words += 1;
                if let Some(seen) = word.holds() {
                    oldest = oldest.min(seen);
                }
            });
        });
        self.words.store(words, Ordering::Relaxed);
        delay::at(Window::Scanned);
        self.elapsed.raise(oldest)
    }

    /// Asks the oldest section that holds up `next` to wake the sleeper. A heavy fence, then [`scan_asked`](Self::scan_asked).
    ///
    /// One is enough: `next` does not end before it, nor does any later grace period.
    pub(crate) fn ask_holdout(&self, next: Seq) {
        let mut oldest: Option<(Seq, &Reader, *const Word)> = None;
        for record in self.core.records() {
            delay::at(Window::Asking);
            record.reader.for_each_word(|word| {
                if let Some(seen) = word.holds().filter(|&seen| seen < next) {
                    // The last of several: a thread's own word comes first, and its section is mostly the shorter one.
                    if oldest.is_none_or(|(least, ..)| seen <= least) {
                        oldest = Some((seen, &record.reader, ptr::from_ref(word)));
                    }
                }
            });
        }
        if let Some((_, reader, word)) = oldest {
            reader.ask(word);
        }
    }

    /// A scan behind the heavy fence that followed [`ask_holdout`](Self::ask_holdout).
    ///
    /// Each word is loaded once, and whether it is asked after it. A word that still holds up `next`: its leaver's store is
    /// not before the fence, so its leaver sees what was asked before the fence, or another leaver took that away and
    /// sets the event. Where no word that holds it up is asked, nobody may wake the sleeper: it must begin again at its
    /// reset.
    pub(crate) fn scan_asked(&self, next: Seq) -> Outlook {
        let limit = self.fenced.get();
        delay::at(Window::Limited);
        let mut oldest = limit;
        let mut held = false;
        let mut asked = false;
        for record in self.core.records() {
            delay::at(Window::Scanning);
            record.reader.for_each_word(|word| {
                if let Some(seen) = word.holds() {
                    oldest = oldest.min(seen);
                    if seen < next {
                        held = true;
                        asked |= record.reader.will_wake(word);
                    }
                }
            });
        }
        Outlook {
            elapsed: self.elapsed.raise(oldest),
            unasked: held && !asked,
        }
    }

    /// One start and one scan on the caller's thread: the number started. `None` where another caller is at it, or two
    /// are unfinished already: then the caller joins the next.
    pub(crate) fn try_start_and_scan(&self) -> Option<Seq> {
        let _one = self.caller.try_lock()?;
        self.start_and_scan()
    }

    /// The same for a task at its first poll, known by its waker: as long as other tasks did not do so just before. A task
    /// that waits again and again has a grace period of its own each time; a thousand tasks that come one after another
    /// share few.
    pub(crate) fn try_start_and_scan_for(&self, who: usize) -> Option<Seq> {
        if self.words.load(Ordering::Relaxed) > OWN_WORDS {
            return None;
        }
        let mut last = self.caller.try_lock()?;
        if last.who != who {
            let now = Instant::now();
            let soon = |at| now.saturating_duration_since(at) < APART;
            let follows = last.at.is_some_and(soon);
            *last = Caller { who, at: Some(now) };
            if follows {
                return None;
            }
        }
        self.start_and_scan()
    }

    fn start_and_scan(&self) -> Option<Seq> {
        if self.unfinished() >= 2 {
            return None;
        }
        let seq = self.start();
        self.scan();
        Some(seq)
    }

    /// Looks again and again for a moment: whether `seq` has elapsed then.
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

    /// The number of the next grace period, for one who waits for it and does not start it.
    pub(crate) fn next(&self) -> Seq {
        self.core.hub.sequence.next()
    }

    pub(crate) fn fenced(&self) -> Seq {
        self.fenced.get()
    }

    pub(crate) fn elapsed(&self) -> Seq {
        self.elapsed.get()
    }

    /// Acquire: where it is `true`, every section that held it up has ended before.
    pub(crate) fn has_elapsed(&self, seq: Seq) -> bool {
        self.elapsed() >= seq
    }

    /// Grace periods fenced and not elapsed.
    pub(crate) fn unfinished(&self) -> u64 {
        self.fenced().since(self.elapsed())
    }

    /// Grace periods started so far.
    pub(crate) fn started(&self) -> u64 {
        self.core.hub.sequence.newest().since(self.first)
    }

    /// What the oldest open section saw when it began.
    pub(crate) fn oldest_section(&self) -> Option<Seq> {
        let mut oldest: Option<Seq> = None;
        for record in self.core.records() {
            record.reader.for_each_word(|word| {
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

    fn engine_at(first: u64) -> (&'static Core<()>, Engine<()>) {
        crate::sys::barrier::choose();
        let core = Core::leak(Seq::from_raw(first));
        (core, Engine::new(core))
    }

    #[test]
    fn a_section_holds_up_later_grace_periods_and_no_others() {
        // Around the edge at which a 32-bit counter would have wrapped.
        for first in [1, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 40] {
            let (core, engine) = engine_at(first);
            let (a, b) = (core.acquire(), core.acquire());
            let before = engine.start();
            // SAFETY: this thread acquired both records and pairs the calls.
            unsafe {
                a.reader.enter(a.hub());
                let first_held = engine.start();
                b.reader.enter(b.hub());
                let second_held = engine.start();
                engine.scan();
                assert!(engine.has_elapsed(before));
                assert!(!engine.has_elapsed(first_held));
                assert_eq!(engine.unfinished(), 2);
                a.reader.leave();
                engine.scan();
                assert!(engine.has_elapsed(first_held));
                assert!(!engine.has_elapsed(second_held));
                b.reader.leave();
                assert_eq!(engine.scan(), second_held);
                assert_eq!(engine.started(), 3);
            }
        }
    }

    #[test]
    fn a_caller_ends_its_own_grace_period_where_nobody_reads() {
        let (_, engine) = engine_at(1);
        let seq = engine.try_start_and_scan().unwrap();
        assert!(engine.has_elapsed(seq));
        assert_eq!(engine.next().since(seq), 1);
    }

    #[test]
    fn a_sleeper_sees_whether_it_would_be_woken() {
        let (core, engine) = engine_at(1);
        let (a, b) = (core.acquire(), core.acquire());
        let woken = || core.hub.event.wait(Some(Duration::ZERO));
        // SAFETY: this thread acquired both records and pairs the calls.
        unsafe {
            a.reader.enter(a.hub());
            b.reader.enter(b.hub());
            let next = engine.start();
            assert!(engine.scan_asked(next).unasked);
            engine.ask_holdout(next);
            assert!(!engine.scan_asked(next).unasked);
            a.reader.leave();
            assert!(!woken(), "the other was asked");
            b.reader.leave();
            assert!(woken());
            let outlook = engine.scan_asked(next);
            assert!(!outlook.unasked && outlook.elapsed == next);
        }
    }

    /// A section that is asked for long, and others that begin and end on the same record meanwhile.
    #[test]
    fn only_the_asked_section_wakes_the_sleeper() {
        let (core, engine) = engine_at(1);
        let record = core.acquire();
        let woken = || {
            let woken = core.hub.event.wait(Some(Duration::ZERO));
            core.hub.event.reset();
            woken
        };
        // SAFETY: this thread acquired the record and pairs the calls.
        unsafe {
            let (early, long) = (
                record.reader.claim(record.hub()),
                record.reader.claim(record.hub()),
            );
            let next = engine.start();
            let late = record.reader.claim(record.hub());
            let last = engine.start();
            record.reader.ask(late);
            assert!(
                engine.scan_asked(next).unasked,
                "it is not late that we wait for"
            );
            engine.ask_holdout(next);
            record.reader.enter(record.hub());
            record.reader.leave();
            record.reader.leave_owned(late);
            record.reader.leave_owned(early);
            assert!(!woken());
            assert!(!engine.scan_asked(next).unasked);
            record.reader.refresh_owned(long);
            assert!(woken());
            assert_eq!(engine.scan_asked(next).elapsed, last);
            record.reader.leave_owned(long);
            assert!(!woken(), "nobody is asked twice");
        }
    }
}
