//! The threads of a run, called seats. A seat does one task at a time, and the run waits for it. So
//! the input decides the order of operations, while guards and queues are those of real threads.

use super::super::ledger::{HANG, Held, Value};
use async_rcu::{
    OwnedReadGuard, Rcu, RcuCell, RcuRef, ReadGuard, cell::OwnedRcuRef, guard::ThreadRegistration,
};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A guard that cannot leave its thread.
pub(super) enum Bound {
    Guard(Pinned<ReadGuard<'static>, Rcu>),
    Ref(Pinned<RcuRef<'static, Value>, Arc<RcuCell<Value>>>),
}

/// A guard with its owner: the value that the guard borrows from.
///
/// # Invariants
/// 1. `guard` borrows from the value in `owner`, which lies in a box and is not touched before the
///    guard is dropped. Fields are dropped in their order.
pub(super) struct Pinned<G, O> {
    pub(super) guard: G,
    _owner: Box<O>,
}

impl Pinned<ReadGuard<'static>, Rcu> {
    pub(super) fn of_handle(rcu: Rcu) -> Self {
        let owner = Box::new(rcu);
        // SAFETY: by invariant 1 the borrow ends before the owner.
        let guard =
            unsafe { std::mem::transmute::<ReadGuard<'_>, ReadGuard<'static>>(owner.read()) };
        Self { guard, _owner: owner }
    }
}

impl Pinned<RcuRef<'static, Value>, Arc<RcuCell<Value>>> {
    pub(super) fn of_cell(cell: Arc<RcuCell<Value>>) -> Self {
        let owner = Box::new(cell);
        let guard = owner.read();
        // SAFETY: by invariant 1 the borrow ends before the owner.
        let guard =
            unsafe { std::mem::transmute::<RcuRef<'_, Value>, RcuRef<'static, Value>>(guard) };
        Self { guard, _owner: owner }
    }
}

/// A guard that may move between threads.
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

/// The items of a seat that cannot leave its thread.
#[derive(Default)]
pub(super) struct Local {
    pub(super) held: Vec<Held<Bound>>,
    pub(super) registrations: Vec<ThreadRegistration>,
}

thread_local! {
    /// The place for guards that the seat drops together with its thread-local values.
    static LEFT: RefCell<Local> = RefCell::new(Local::default());
}

type Task = Box<dyn FnOnce(&mut Local) + Send>;

pub(super) struct Seat {
    tasks: Sender<Task>,
    thread: JoinHandle<()>,
}

impl Seat {
    /// Starts a thread. If `early`, it initialises `LEFT` before the library's own thread-local
    /// values, so that `LEFT` is dropped after them.
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

    /// Runs a task on the seat and waits for it, calling `pump` meanwhile. Passes on a panic of the
    /// task.
    pub(super) fn run<R: Send + 'static>(
        &self,
        pump: &mut dyn FnMut() -> bool,
        task: impl FnOnce(&mut Local) -> R + Send + 'static,
    ) -> R {
        let (answer, answered) = mpsc::channel();
        let task = move |local: &mut Local| {
            let result = catch_unwind(AssertUnwindSafe(|| task(local)));
            // An error means that the run has failed already.
            let _ = answer.send(result);
        };
        self.tasks.send(Box::new(task)).expect("the seat's thread runs");
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
                Err(RecvTimeoutError::Disconnected) => panic!("a seat's thread has ended"),
                Err(RecvTimeoutError::Timeout) => {
                    assert!(began.elapsed() < HANG, "a task has not ended after {HANG:?}");
                }
            }
        }
    }

    /// Ends the thread. Its items are dropped now or, if `leave`, with the thread-local values.
    pub(super) fn end(self, pump: &mut dyn FnMut() -> bool, leave: bool) {
        self.run(pump, move |local| {
            let local = std::mem::take(local);
            if leave {
                LEFT.with_borrow_mut(|left| *left = local);
            }
        });
        drop(self.tasks);
        self.thread.join().expect("the seat's thread ends without a panic");
    }
}
