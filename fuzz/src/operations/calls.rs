//! Operations that queue callbacks.

use super::super::ledger::{Board, Entry};
use super::super::panics;
use super::super::plan::choose;
use super::items::Wait;
use super::world::World;
use async_rcu::Rcu;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

const DEADLOCK: &str = "deadlock";

/// A future that finishes its entry after some polls.
struct Slow {
    entry: Arc<Entry>,
    polls: u8,
}

impl Future for Slow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.polls == 0 {
            self.entry.finish();
            return Poll::Ready(());
        }
        self.polls -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Returns a callback of the given kind.
fn callback(
    kind: u8,
    entry: Arc<Entry>,
    rcu: Rcu,
    board: Arc<Board>,
) -> Box<dyn FnOnce() + Send + 'static> {
    match kind % 8 {
        0 => Box::new(move || {
            entry.finish();
            panics::planned();
        }),
        // The callback queues another one. The drain that runs this one need not wait for the
        // other.
        1 => {
            let inner = board.entry("nested callback");
            Box::new(move || {
                inner.release(Vec::new());
                rcu.call(move || inner.finish());
                entry.finish();
            })
        }
        2 => Box::new(move || {
            let guard = rcu.read();
            let owned = rcu.read_owned();
            drop(guard);
            drop(owned);
            entry.finish();
        }),
        3 => Box::new(move || {
            panics::expect(DEADLOCK, || rcu.blocking_drain());
            panics::expect(DEADLOCK, || rcu.blocking_synchronize());
            panics::expect(DEADLOCK, || rcu.blocking_shutdown());
            entry.finish();
        }),
        // The callback queues an async one.
        4 => {
            let inner = board.entry("nested async callback");
            Box::new(move || {
                inner.release(Vec::new());
                rcu.call_async(Slow { entry: inner, polls: 1 });
                entry.finish();
            })
        }
        5 => Box::new(move || {
            rcu.force();
            let _ = rcu.stats();
            entry.finish();
        }),
        _ => Box::new(move || entry.finish()),
    }
}

impl World {
    /// Makes an entry for a callback that is queued next.
    fn queue(&mut self, domain: usize, what: &'static str) -> Arc<Entry> {
        let entry = self.board.entry(what);
        let domain = &mut self.domains[domain];
        entry.release(domain.open());
        domain.queue(&entry);
        entry
    }

    pub(super) fn call(&mut self, a: u8, b: u8, c: u8) {
        let (seat, (domain, rcu)) = (Self::seat_of(a), self.domain(b));
        let entry = self.queue(domain, "callback");
        self.domains[domain].to_panic += u64::from(c % 8 == 0);
        if matches!(c % 8, 1 | 4) {
            self.domains[domain].last_nests();
        }
        let boxed = callback(c, Arc::clone(&entry), rcu.clone(), Arc::clone(&self.board));
        // The closure is boxed, or too large for a place in the queue, or nested.
        let ballast = [u64::from(c); 9];
        let board = Arc::clone(&self.board);
        self.on(seat, move |_| match c % 3 {
            0 => rcu.call(boxed),
            1 => rcu.call(move || {
                if ballast != [u64::from(c); 9] {
                    board.violate(format!("the captured values of {entry:?} have changed"));
                }
                boxed();
            }),
            _ => {
                let later = rcu.clone();
                later.call(boxed);
            }
        });
    }

    pub(super) fn call_async(&mut self, a: u8, b: u8, c: u8) {
        let (domain, rcu) = self.domain(b);
        let entry = self.queue(domain, "async callback");
        let future = Slow { entry, polls: c % 4 };
        self.on(Self::seat_of(a), move |_| {
            // On a thread with a runtime context, or without one.
            let _in = (c >= 128).then(|| super::domain::runtime().enter());
            rcu.call_async(future);
        });
    }

    pub(super) fn retire(&mut self, a: u8, b: u8) {
        let (domain, rcu) = self.domain(b);
        let value = self.board.value();
        value.entry().release(self.domains[domain].open());
        self.domains[domain].queue(value.entry());
        self.on(Self::seat_of(a), move |_| match b % 4 {
            0 | 1 => rcu.retire(Box::new(value)),
            // The type has no static size.
            2 => rcu.retire::<[super::super::ledger::Value]>(Box::new([value])),
            _ => rcu.retire::<dyn Send>(Box::new(value)),
        });
    }

    pub(super) fn try_call(&mut self, a: u8, b: u8) {
        let (index, rcu) = self.domain(b);
        let entry = self.board.entry("callback, if there is room");
        let domain = &mut self.domains[index];
        entry.release(domain.open());
        let (limit, sure) = (domain.limit, domain.surely_pending());
        let maybe = domain.maybe_pending(&rcu);
        let queued = Arc::clone(&entry);
        let refused = self.on(Self::seat_of(a), move |_| {
            let own = Arc::clone(&queued);
            let refused = rcu.try_call(move || queued.finish()).err();
            // The library gave the closure back: run it here.
            let run = refused.map(|full| {
                own.release(Vec::new());
                full.into_inner()();
            });
            run.is_some()
        });
        match (limit, refused) {
            (None, refused) => assert!(!refused, "a callback was refused without a limit"),
            (Some(limit), true) => {
                assert!(maybe >= limit, "a callback was refused with {maybe} pending of {limit}");
            }
            (Some(limit), false) => {
                assert!(sure < limit, "a callback was taken with {sure} pending of {limit}");
            }
        }
        match refused {
            false => self.domains[index].queue(&entry),
            true => assert!(entry.is_done(), "the returned closure has not run"),
        }
    }

    /// Asks for a permit, or uses a permit, or drops one.
    pub(super) fn use_permit(&mut self, a: u8, b: u8, c: u8) {
        let Some(index) = choose(b, self.permits.len()) else {
            let (domain, rcu) = self.domain(b);
            return self.add_wait(domain, Wait::Reserve(rcu.reserve()), None);
        };
        let (domain, permit) = self.permits.swap_remove(index);
        self.domains[domain].permits -= 1;
        let seat = Self::seat_of(a);
        match c % 4 {
            0 => self.on(seat, move |_| drop(permit)),
            1 => {
                let entry = self.queue(domain, "async callback with a permit");
                self.on(seat, move |_| permit.call_async(Slow { entry, polls: 1 }));
            }
            2 => {
                let value = self.board.value();
                value.entry().release(self.domains[domain].open());
                self.domains[domain].queue(value.entry());
                self.on(seat, move |_| permit.retire(Box::new(value)));
            }
            _ => {
                let entry = self.queue(domain, "callback with a permit");
                self.on(seat, move |_| permit.call(move || entry.finish()));
            }
        }
    }

    /// Queues a callback under the global lock. The domain may have this lock or not.
    pub(super) fn call_locked(&mut self, a: u8, b: u8) {
        let (domain, rcu) = self.domain(b);
        let entry = self.queue(domain, "callback under the lock");
        self.lock_calls += 1;
        let lock = self.lock.clone();
        self.on(Self::seat_of(a), move |_| {
            lock.call(&rcu, move |count| {
                *count += 1;
                entry.finish();
            });
        });
    }

    /// Takes the global lock if it is free, or releases it: at once, or by a drain of its holder.
    pub(super) fn lock_or_unlock(&mut self, a: u8, b: u8) {
        let (index, rcu) = self.domain(b);
        let seat = Self::blocking_seat(a);
        let Some(guard) = self.lock_held.take() else {
            self.lock_held = self.lock.try_lock();
            return;
        };
        if b % 4 == 3 && !self.is_reading(seat, index) && self.may_drain(index) {
            let of = self.domains[index].queued.len();
            // The seat drops the lock at once: meanwhile this thread may pump, and wait for the
            // lock in a batch.
            self.on(seat, move |_| drop(guard.blocking_drain(&rcu)));
            self.domains[index].drained(of);
        } else {
            self.on(seat, move |_| drop(guard));
        }
    }
}
