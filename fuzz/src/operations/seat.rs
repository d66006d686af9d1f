//! The threads of a run, called seats: each does what it is told, one thing at a time, and the run waits for it. So the
//! order of operations is the input's, while guards and queues are those of real threads.

use super::super::ledger::{HANG, Section, Seen, Value};
use async_rcu::{OwnedRcuRef, OwnedReadGuard, Rcu, RcuCell, RcuRef, ReadGuard, Registration};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A guard of either kind, the section that it is part of, and what was read under it.
///
/// # Invariants
/// 1. What is in `seen` was read under `guard`, and is dropped or cleared before the guard is dropped or refreshed.
pub(super) struct Held<G> {
    pub(super) seen: Vec<Seen>,
    pub(super) section: Arc<Section>,
    pub(super) guard: G,
}

impl<G> Held<G> {
    pub(super) fn check(&self) {
        self.seen.iter().for_each(Seen::check);
    }

    /// Another section in the place of this one, which `refresh` ends.
    pub(super) fn renew(&mut self, refresh: impl FnOnce(&mut G), next: Arc<Section>) {
        self.check();
        self.seen.clear();
        self.section.leave();
        refresh(&mut self.guard);
        self.section = next;
    }
}

impl<G> Drop for Held<G> {
    fn drop(&mut self) {
        // The section is open until its guard is dropped, right behind this.
        self.check();
        self.seen.clear();
        self.section.leave();
    }
}

/// A guard that is bound to its seat.
pub(super) enum Bound {
    Guard(Pinned<ReadGuard<'static>, Rcu>),
    Ref(Pinned<RcuRef<'static, Value>, Arc<RcuCell<Value>>>),
}

/// A guard, and what it was borrowed from.
///
/// # Invariants
/// 1. `guard` borrows from what is in `owner`, which lies in a box and is not touched before the guard is dropped: fields
///    are dropped in their order.
pub(super) struct Pinned<G, O> {
    pub(super) guard: G,
    _owner: Box<O>,
}

impl Pinned<ReadGuard<'static>, Rcu> {
    pub(super) fn of_handle(rcu: Rcu) -> Self {
        let owner = Box::new(rcu);
        // SAFETY: invariant 1 makes the borrow last as long as the guard.
        let guard =
            unsafe { std::mem::transmute::<ReadGuard<'_>, ReadGuard<'static>>(owner.read()) };
        Self {
            guard,
            _owner: owner,
        }
    }
}

impl Pinned<RcuRef<'static, Value>, Arc<RcuCell<Value>>> {
    pub(super) fn of_cell(cell: Arc<RcuCell<Value>>) -> Self {
        let owner = Box::new(cell);
        let guard = owner.read();
        // SAFETY: invariant 1 makes the borrow last as long as the guard.
        let guard =
            unsafe { std::mem::transmute::<RcuRef<'_, Value>, RcuRef<'static, Value>>(guard) };
        Self {
            guard,
            _owner: owner,
        }
    }
}

/// A guard that may be moved from seat to seat.
pub(super) enum Free {
    Guard(OwnedReadGuard),
    Ref(OwnedRcuRef<Value>),
    Part(OwnedRcuRef<u64>),
}

impl Free {
    pub(super) fn guard(&self) -> &OwnedReadGuard {
        match self {
            Free::Guard(guard) => guard,
            Free::Ref(value) => OwnedRcuRef::guard(value),
            Free::Part(part) => OwnedRcuRef::guard(part),
        }
    }
}

/// What a seat has that cannot leave it.
#[derive(Default)]
pub(super) struct Local {
    pub(super) held: Vec<Held<Bound>>,
    pub(super) registrations: Vec<Registration>,
}

thread_local! {
    /// Where a seat leaves its guards if they are to be dropped with the thread's variables.
    static LEFT: RefCell<Local> = RefCell::new(Local::default());
}

type Task = Box<dyn FnOnce(&mut Local) + Send>;

pub(super) struct Seat {
    tasks: Sender<Task>,
    thread: JoinHandle<()>,
}

impl Seat {
    /// `early`: the place for left guards comes before the library's own thread-local variables, and so is dropped after them.
    pub(super) fn new(early: bool) -> Self {
        let (tasks, given) = mpsc::channel::<Task>();
        let thread = thread::spawn(move || {
            if early {
                LEFT.with_borrow(|_| ());
            }
            let mut local = Local::default();
            for task in given {
                task(&mut local);
            }
        });
        Self { tasks, thread }
    }

    /// Has the seat do something, and waits for it; calls `pump` meanwhile. A panic goes on here.
    pub(super) fn run<R: Send + 'static>(
        &self,
        pump: &mut dyn FnMut() -> bool,
        task: impl FnOnce(&mut Local) -> R + Send + 'static,
    ) -> R {
        let (answer, answered) = mpsc::channel();
        let task = move |local: &mut Local| {
            let result = catch_unwind(AssertUnwindSafe(|| task(local)));
            // An error is the end of a run that has failed.
            let _ = answer.send(result);
        };
        self.tasks.send(Box::new(task)).expect("the seat is there");
        let began = Instant::now();
        loop {
            let pumped = pump();
            let pause = match pumped {
                true => Duration::from_micros(200),
                false => HANG,
            };
            match answered.recv_timeout(pause) {
                Ok(Ok(result)) => return result,
                Ok(Err(panic)) => resume_unwind(panic),
                Err(RecvTimeoutError::Disconnected) => panic!("the seat is gone"),
                Err(RecvTimeoutError::Timeout) => {
                    assert!(began.elapsed() < HANG, "it hangs");
                }
            }
        }
    }

    /// Ends the thread, with what it holds: now, or when the thread's variables are dropped.
    pub(super) fn end(self, pump: &mut dyn FnMut() -> bool, leave: bool) {
        self.run(pump, move |local| {
            let local = std::mem::take(local);
            if leave {
                LEFT.with_borrow_mut(|left| *left = local);
            }
        });
        drop(self.tasks);
        self.thread.join().expect("the seat ends well");
    }
}
