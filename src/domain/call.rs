//! Queuing callbacks (Linux's and QEMU's `call_rcu`): the hot path of a writer.
//!
//! A call pushes the callback onto the queue of the thread's record, passes a light fence, and
//! looks whether the grace-period thread is awake. The light fence pairs with the heavy fence that
//! the grace-period thread passes before it looks at the queues a last time and sleeps.

use super::rcu::Rcu;
use crate::callback::Callback;
use crate::dispatch::job::{Context, RunOn};
use crate::dispatch::runtime::Runtime;
use crate::reader::local;
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use std::any::Any;
use std::future::Future;

impl Rcu {
    /// Runs `f` after a grace period, on the domain's executor.
    ///
    /// Never blocks and never fails. `f` runs exactly once, unless the process ends before. A panic
    /// in `f` is caught, counted and reported. The captures of `f` are dropped where `f` runs, and
    /// need no allocation up to three words.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.call(|| println!("every section that existed has ended"));
    /// # rcu.blocking_drain();
    /// ```
    #[inline]
    pub fn call(&self, f: impl FnOnce() + Send + 'static) {
        self.enqueue(move |_| f());
    }

    #[inline]
    pub(super) fn enqueue(&self, f: impl FnOnce(&mut dyn Any) + Send + 'static) {
        if self.is_limited() {
            self.count();
        }
        self.enqueue_counted(f);
    }

    #[inline]
    pub(super) fn enqueue_counted(&self, f: impl FnOnce(&mut dyn Any) + Send + 'static) {
        let callback = Callback::new(f);
        match local::cached(self.registry) {
            // SAFETY: the record is the current thread's.
            Some(record) => unsafe { record.queue.push(callback) },
            None => self.enqueue_first(callback),
        }
        barrier::light();
        delay::at(Window::Published);
        if !self.registry.signals.sleep_state.is_awake() {
            self.domain().rouse();
        }
    }

    #[cold]
    #[inline(never)]
    fn enqueue_first(&self, callback: Callback) {
        let found = local::find(self.registry);
        // SAFETY: the record is the current thread's. A temporary record is given up with it.
        unsafe { found.record.queue.push(callback) };
    }

    /// Polls `f` to its end after a grace period: an async callback.
    ///
    /// `f` runs on the tokio runtime that is current at this call, or on the domain's executor if
    /// there is none. Async callbacks run concurrently with each other and hold no global lock.
    /// [`drain`](Self::drain) waits for them. A runtime that shuts down before `f` has ended drops
    /// `f`, which [`Stats::cancelled`](crate::Stats::cancelled) counts.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// # async fn close() {}
    /// rcu.call_async(async { close().await });
    /// rcu.drain().await;
    /// # });
    /// ```
    pub fn call_async(&self, f: impl Future<Output = ()> + Send + 'static) {
        if self.is_limited() {
            self.count();
        }
        self.enqueue_async(f);
    }

    pub(super) fn enqueue_async(&self, f: impl Future<Output = ()> + Send + 'static) {
        let run_on = Runtime::current().map_or(RunOn::Executor, RunOn::Runtime);
        let future = Box::pin(f);
        self.enqueue_counted(move |context| Context::of(context).spawn(run_on, future));
    }

    /// Drops `value` after a grace period, on the domain's executor. Linux calls this `kfree_rcu`.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.retire(Box::new([0u8; 4096]));
    /// # rcu.blocking_drain();
    /// ```
    #[inline]
    pub fn retire<T: ?Sized + Send + 'static>(&self, value: Box<T>) {
        self.call(move || drop(value));
    }
}
