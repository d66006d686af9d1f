//! Elapsed callbacks that wait for the thread that queued them to come by.
//!
//! The floor that runs callbacks puts *work* of its own type in. The thread takes the first work
//! out, runs a part, and puts the rest back in front. The grace-period thread takes all of it when
//! the thread has not come by for a while. Whoever takes work out has it alone.

use crate::sys::prim::{AtomicBool, Mutex, Ordering};
use std::any::Any;
use std::collections::VecDeque;
use std::mem;

type Work = Box<dyn Any + Send>;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// There is work. Read by the thread without the lock: a call that misses it leaves the work
    /// to the next call.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    work: VecDeque<Work>,
    /// The grace-period thread will look here.
    listed: bool,
}

impl Inbox {
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Puts work in, behind the other or in front of it. Returns whether the caller must have the
    /// grace-period thread look here.
    pub(crate) fn put(&self, work: Work, in_front: bool) -> bool {
        let mut state = self.state.lock();
        match in_front {
            true => state.work.push_front(work),
            false => state.work.push_back(work),
        }
        self.any.store(true, Ordering::Relaxed);
        !mem::replace(&mut state.listed, true)
    }

    pub(crate) fn take_first(&self) -> Option<Work> {
        let mut state = self.state.lock();
        let first = state.work.pop_front();
        self.any.store(!state.work.is_empty(), Ordering::Relaxed);
        first
    }

    /// Takes all work. By the grace-period thread, which looks here again only if it is asked to.
    pub(crate) fn take_all(&self) -> VecDeque<Work> {
        let mut state = self.state.lock();
        state.listed = false;
        self.any.store(false, Ordering::Relaxed);
        mem::take(&mut state.work)
    }
}
