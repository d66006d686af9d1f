//! Sections that a test holds open, and grace periods that a test steps through.

use super::{receive, until};
use async_rcu::{GracePeriod, OwnedReadGuard, Rcu};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

/// A read-side section that a test holds open.
pub(crate) struct Section {
    ended: Arc<AtomicBool>,
    end: Box<dyn FnOnce() + Send>,
}

impl Section {
    /// Opens a section by a `ReadGuard` on another thread.
    pub(crate) fn on_a_thread(rcu: &Rcu) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (entered, has_entered) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel();
        let reader = thread::spawn({
            let (rcu, ended) = (rcu.clone(), Arc::clone(&ended));
            move || {
                let guard = rcu.read();
                entered.send(()).expect("the test waits for the reader");
                // An error says that the test has failed and dropped its end.
                let _ = may_leave.recv();
                ended.store(true, Ordering::Relaxed);
                drop(guard);
            }
        });
        receive(&has_entered);
        let end = Box::new(move || {
            leave.send(()).expect("the reader waits for the test");
            reader.join().expect("the reader");
        });
        Self { ended, end }
    }

    /// Opens a section by an `OwnedReadGuard` that this thread takes and another thread drops.
    pub(crate) fn owned(rcu: &Rcu) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (guard, flag) = (rcu.read_owned(), Arc::clone(&ended));
        let end = Box::new(move || {
            let dropper = thread::spawn(move || {
                flag.store(true, Ordering::Relaxed);
                drop(guard);
            });
            dropper.join().expect("the dropper");
        });
        Self { ended, end }
    }

    /// Returns the flag that becomes true just before the section ends.
    pub(crate) fn ended(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ended)
    }

    /// Ends the section.
    pub(crate) fn end(self) {
        (self.end)();
    }
}

/// Waits until a new domain has started its first grace period. Sections that begin after this do
/// not block that grace period.
pub(crate) fn first_grace_period_has_started(rcu: &Rcu) {
    until("the first grace period", || rcu.stats().grace_periods >= 1);
}

/// Requests a grace period and waits until it has started. The call forces the grace period, since
/// an ordinary one waits for its turn after unfinished ones.
#[track_caller]
pub(crate) fn started(rcu: &Rcu) -> GracePeriod {
    let gp = rcu.start_grace_period();
    rcu.force();
    until("the start of a grace period", || rcu.grace_period() > gp);
    gp
}

/// Waits until a requested grace period has elapsed. The calling thread may be in a section.
#[track_caller]
pub(crate) fn elapses(rcu: &Rcu, gp: GracePeriod) {
    until("the end of a grace period", || rcu.has_elapsed(gp));
}

/// A check that a section blocks grace periods, if the section began after the probe. The check
/// does not wait for an event that must not come.
///
/// The probe opens a section of its own and starts a first grace period, which only that section
/// blocks. Later the probe starts a second grace period and ends its section. When the first grace
/// period has elapsed, the scan has looked at every reader since the second one started. So the
/// second has elapsed too, unless a section younger than the first grace period blocks it.
#[derive(Debug)]
pub(crate) struct Probe {
    rcu: Rcu,
    section: OwnedReadGuard,
    first: GracePeriod,
}

impl Probe {
    /// Starts a probe. The domain must have no open section, except sections that `refresh` moves
    /// before the check.
    #[track_caller]
    pub(crate) fn new(rcu: &Rcu) -> Self {
        Self { rcu: rcu.clone(), section: rcu.read_owned(), first: started(rcu) }
    }

    /// Checks that a section made since [`new`](Self::new) is open. Returns the grace period that
    /// the section blocks.
    #[track_caller]
    pub(crate) fn held_up(self) -> GracePeriod {
        let Self { rcu, section, first } = self;
        let second = started(&rcu);
        drop(section);
        elapses(&rcu, first);
        assert!(!rcu.has_elapsed(second), "no section blocks the grace period");
        second
    }
}

/// Checks that new threads get records of their own, in which no other thread has an open section.
#[track_caller]
pub(crate) fn newcomers_find_free_places(rcu: &Rcu) {
    let all_there = Barrier::new(4);
    thread::scope(|scope| {
        let newcomers = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut guard = rcu.read();
                all_there.wait();
                let outermost = guard.refresh();
                drop(guard);
                drop(rcu.read_owned());
                outermost
            })
        });
        let alone = newcomers.map(|newcomer| newcomer.join().unwrap());
        assert_eq!(alone, [true; 4], "two threads share a record");
    });
}
