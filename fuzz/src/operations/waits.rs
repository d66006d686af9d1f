//! Operations that wait, and operations that ask whether a wait is over.

use super::super::ledger::{HANG, Section, open_among};
use super::super::panics;
use super::super::plan::choose;
use super::items::{Cookie, MOST, Wait, Waiting};
use super::world::{World, pump};
use async_rcu::{backpressure::Permit, report::ForceNotifier};
use futures::task::ArcWake;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

const DEADLOCK: &str = "deadlock";

/// A waker of the run's own thread, which notes the wake-up.
struct Bell {
    rung: AtomicBool,
    thread: Thread,
}

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        bell.rung.store(true, Ordering::Release);
        bell.thread.unpark();
    }
}

impl World {
    pub(super) fn add_wait(
        &mut self,
        domain: usize,
        wait: Wait,
        holders: Option<Vec<Arc<Section>>>,
    ) {
        if self.waiting.len() == 2 * MOST {
            let dropped = self.waiting.remove(0);
            self.forget(dropped);
        }
        self.waiting.push(Waiting { domain, wait, holders, queued: Vec::new() });
    }

    pub(super) fn begin_wait(&mut self, b: u8, c: u8) {
        let (domain, rcu) = self.domain(b);
        let wait = match c % 4 {
            0 | 1 => Wait::Synchronize(rcu.synchronize()),
            2 => Wait::Drain(rcu.drain()),
            _ => Wait::Shutdown(rcu.shutdown()),
        };
        self.add_wait(domain, wait, None);
    }

    /// Notes which sections are open and which callbacks are queued at the first poll.
    fn begin(&mut self, waiting: &mut Waiting) {
        let domain = &mut self.domains[waiting.domain];
        if waiting.holders.is_none() {
            waiting.holders = Some(domain.open());
            if waiting.wait.needs_callbacks() {
                let queued = domain.queued.iter().map(|queued| &queued.entry);
                waiting.queued = queued.cloned().collect();
            }
        }
    }

    /// Checks the outcome of a poll.
    fn polled(&mut self, waiting: Waiting, outcome: Poll<Option<Permit>>) {
        let holders = waiting.holders.as_deref().unwrap_or_default();
        match outcome {
            Poll::Pending => self.waiting.push(waiting),
            Poll::Ready(Some(permit)) => {
                let domain = &mut self.domains[waiting.domain];
                let sure = domain.surely_pending();
                if let Some(limit) = domain.limit {
                    assert!(sure < limit, "`reserve` gave a permit with {sure} pending of {limit}");
                }
                domain.permits += 1;
                self.permits.push((waiting.domain, permit));
            }
            Poll::Ready(None) => {
                // A drain need not wait for a section if no callback is queued.
                if !waiting.wait.needs_callbacks() {
                    let held = open_among(holders);
                    assert_eq!(held, 0, "sections that were open at the end of a wait");
                }
                for entry in &waiting.queued {
                    assert!(entry.is_done(), "a drain did not wait for {entry:?}");
                }
            }
        }
    }

    pub(super) fn poll_wait(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.waiting.len()) else {
            return;
        };
        let mut waiting = self.waiting.swap_remove(index);
        self.begin(&mut waiting);
        let (waiting, outcome) = self.on(Self::seat_of(a), move |_| {
            let outcome = waiting.wait.poll(&mut Context::from_waker(Waker::noop()));
            (waiting, outcome)
        });
        self.polled(waiting, outcome);
    }

    /// Waits for a future on the run's own thread; only its waker wakes the thread.
    pub(super) fn finish_wait(&mut self, mut waiting: Waiting) {
        self.begin(&mut waiting);
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), thread: thread::current() });
        let waker = futures::task::waker(Arc::clone(&bell));
        let began = Instant::now();
        loop {
            if bell.rung.swap(false, Ordering::AcqRel) {
                let outcome = waiting.wait.poll(&mut Context::from_waker(&waker));
                if outcome.is_ready() {
                    return self.polled(waiting, outcome);
                }
            }
            assert!(began.elapsed() < HANG, "a wait has not ended after {HANG:?}");
            let pause = match pump(&mut self.domains, self.lock_held.is_some()) {
                true => Duration::from_micros(200),
                false => HANG,
            };
            thread::park_timeout(pause);
        }
    }

    pub(super) fn drop_wait(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.waiting.len()) else {
            return;
        };
        let waiting = self.waiting.swap_remove(index);
        self.queue_entries(&waiting);
        self.on(Self::seat_of(a), move |_| drop(waiting));
    }

    /// Drops a wait on this thread.
    pub(super) fn forget(&mut self, waiting: Waiting) {
        self.queue_entries(&waiting);
    }

    fn queue_entries(&mut self, waiting: &Waiting) {
        for entry in waiting.wait.entries() {
            self.domains[waiting.domain].queue(entry);
        }
    }

    pub(super) fn cookie(&mut self, a: u8, b: u8, c: u8) {
        let (domain, rcu) = self.domain(b);
        let holders = self.domains[domain].open();
        let gp = self.on(Self::seat_of(a), move |_| match c % 2 {
            0 => rcu.grace_period(),
            _ => rcu.start_grace_period(),
        });
        for older in &self.cookies {
            let order = (older.domain == domain).then_some(older.gp <= gp);
            assert_ne!(order, Some(false), "a cookie is before an older one");
            assert_eq!(older.gp.partial_cmp(&gp).is_some(), order.is_some());
        }
        if self.cookies.len() == MOST {
            self.cookies.remove(0);
        }
        self.cookies.push(Cookie { domain, gp, holders, before_start: None, elapsed: false });
    }

    /// Asks a domain about a cookie: the cookie's domain, or another one.
    pub(super) fn look_at_cookie(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.cookies.len()) else {
            return;
        };
        let cookie = &self.cookies[index];
        let (domain, gp) = (cookie.domain, cookie.gp);
        let Some(rcu) = self.domains[domain].rcu.clone() else {
            let (_, other) = self.domain(b);
            panics::expect("another Rcu", || {
                other.has_elapsed(gp);
            });
            return;
        };
        let (elapsed, started) =
            self.on(Self::seat_of(a), move |_| (rcu.has_elapsed(gp), rcu.grace_period() > gp));
        let open = self.domains[domain].open();
        let cookie = &mut self.cookies[index];
        if elapsed {
            let held = open_among(&cookie.holders);
            assert_eq!(held, 0, "sections that are open after their grace period");
            assert!(started, "a grace period elapsed before it started");
        } else {
            assert!(!cookie.elapsed, "an elapsed cookie became pending again");
        }
        cookie.elapsed = elapsed;
        if started {
            cookie.before_start.get_or_insert(open);
        }
    }

    /// Waits for a cookie's grace period if no section can block it; later sections may be open.
    pub(super) fn wait_for_cookie(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.cookies.len()) else {
            return;
        };
        let cookie = &self.cookies[index];
        let domain = cookie.domain;
        let before = cookie.before_start.as_ref();
        let only_later = before.is_some_and(|before| open_among(before) == 0);
        let (gp, holders) = (cookie.gp, cookie.holders.clone());
        let Some(rcu) = self.domains[domain].rcu.clone() else {
            return;
        };
        let stuck = self.domains[domain].waits_for_lock && self.lock_held.is_some();
        let wait = Wait::Synchronize(rcu.wait_for(gp));
        if stuck || !(only_later || self.may_wait(domain)) {
            return self.add_wait(domain, wait, Some(holders));
        }
        if let Wait::Synchronize(wait) = wait {
            self.on(Self::blocking_seat(a), move |_| futures::executor::block_on(wait));
        }
        assert!(rcu.has_elapsed(gp), "a cookie has not elapsed after the wait for it");
        self.cookies[index].elapsed = true;
    }

    /// Notes that a whole grace period has elapsed.
    fn synchronized(&mut self, domain: usize) {
        for old in self.retired.iter_mut().filter(|old| old.domain == domain) {
            old.elapsed = true;
        }
        let cookies = self.cookies.iter_mut();
        for cookie in cookies.filter(|cookie| cookie.domain == domain) {
            cookie.elapsed = true;
        }
    }

    pub(super) fn synchronize(&mut self, a: u8, b: u8) {
        let (seat, (domain, rcu)) = (Self::blocking_seat(a), self.domain(b));
        if self.is_reading(seat, domain) {
            self.on(seat, move |_| {
                panics::expect(DEADLOCK, || rcu.blocking_synchronize());
            });
        } else if self.may_wait(domain) {
            self.on(seat, move |_| rcu.blocking_synchronize());
            self.synchronized(domain);
        }
    }

    /// Drains or shuts down a domain. If that might never end, drains with a time limit.
    pub(super) fn drain(&mut self, a: u8, b: u8, c: u8) {
        let (seat, (index, rcu)) = (Self::blocking_seat(a), self.domain(b));
        let shut = c % 4 == 0;
        if self.is_reading(seat, index) {
            self.on(seat, move |_| {
                panics::expect(DEADLOCK, || rcu.blocking_drain());
                panics::expect(DEADLOCK, || {
                    let _ = rcu.blocking_drain_timeout(Duration::ZERO);
                });
            });
            return;
        }
        let may_drain = self.may_drain(index);
        let domain = &self.domains[index];
        let (of, before) = (domain.queued.len(), rcu.stats().queued);
        let held = domain.queued.iter().any(|queued| queued.entry.is_held());
        let over = self.on(seat, move |_| match (may_drain, shut) {
            (true, true) => {
                rcu.blocking_shutdown();
                true
            }
            (true, false) => {
                rcu.blocking_drain();
                true
            }
            (false, _) => {
                let limit = Duration::from_micros(300);
                rcu.blocking_drain_timeout(limit).is_ok()
            }
        });
        if over {
            assert!(!held, "a drain was over while sections blocked its callbacks");
            let domain = &mut self.domains[index];
            domain.drained(of);
            domain.settled = before;
        }
    }

    /// Forces a grace period, with a notifier or without.
    pub(super) fn force(&mut self, a: u8, b: u8, c: u8) {
        let (_, rcu) = self.domain(b);
        let board = Arc::clone(&self.board);
        self.on(Self::seat_of(a), move |_| {
            let notifier: Option<ForceNotifier> = (c % 2 == 0).then(|| {
                rcu.on_force(move |event| {
                    if event.holders_total == 0 {
                        board.violate("a notifier was called without a holder".to_owned());
                    }
                })
            });
            rcu.force();
            drop(notifier);
        });
    }

    pub(super) fn look_at_stats(&mut self, a: u8, b: u8) {
        let (index, rcu) = self.domain(b);
        let open = self.domains[index].open().len();
        let domain = &self.domains[index];
        let idle = domain.queued.iter().all(|queued| queued.entry.is_done());
        let owned = domain.owned;
        let stats = self.on(Self::seat_of(a), move |_| rcu.stats());
        // Running callbacks may hold guards of their own.
        assert!(stats.owned_guards >= owned, "the run holds {owned} owned guards: {stats:?}");
        assert!(
            !idle || stats.owned_guards == owned,
            "the run holds {owned} owned guards: {stats:?}"
        );
        assert!(open == 0 || stats.oldest_section.is_some(), "{stats:?}");
        assert!(stats.finished <= stats.queued, "{stats:?}");
        assert!(stats.panicked <= self.domains[index].to_panic, "{stats:?}");
        assert_eq!(stats.cancelled, 0);
    }
}
