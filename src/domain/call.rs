//! Queuing callbacks (Linux's and QEMU's `call_rcu`): the hot path of a writer.
//!
//! A call pushes the callback onto the queue of the thread's record, passes a light fence, and
//! looks whether the grace-period thread is awake. The light fence pairs with the heavy fence that
//! the grace-period thread passes before it looks at the queues a last time and sleeps.

use super::rcu::Rcu;
use crate::callback::boxes::BoxLayout;
use crate::callback::{Callback, fits};
use crate::dispatch::job::{Context, RunOn};
use crate::dispatch::runtime::Runtime;
use crate::reader::local;
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use std::alloc::Layout;
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
        self.before_call();
        self.enqueue_counted(f);
    }

    #[inline]
    pub(super) fn enqueue_counted<F>(&self, f: F)
    where
        F: FnOnce(&mut dyn Any) + Send + 'static,
    {
        let is_kept = !fits::<F>() && self.kept_layout(Layout::new::<F>()).is_some();
        self.queue(match is_kept {
            false => Callback::new(f),
            true => Callback::leaving_box(self.boxed(f)),
        });
    }

    #[inline(always)]
    fn queue(&self, callback: Callback) {
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
        self.before_call();
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
        self.before_call();
        self.retire_counted(value);
    }

    #[inline]
    pub(super) fn retire_counted<T: ?Sized + Send + 'static>(&self, value: Box<T>) {
        let is_thin = size_of::<*mut T>() == size_of::<usize>();
        let layout = match is_thin {
            true => self.kept_layout(Layout::for_value(&*value)),
            false => None,
        };
        match layout {
            None => self.enqueue_counted(move |_| drop(value)),
            Some(layout) => {
                // SAFETY: from a box of this layout, which is given away. The value is `Send`.
                self.queue(unsafe { Callback::emptying_of(Box::into_raw(value), layout) });
            }
        }
    }

    /// Queues a callback that drops a value, and leaves its box empty or frees it.
    ///
    /// # Safety
    /// `value` came from [`Box::into_raw`], may be dropped on any thread after a grace period that
    /// starts later, and is given away here.
    #[inline]
    pub(crate) unsafe fn retire_value<T: 'static>(&self, value: *mut T) {
        if self.kept_layout(Layout::new::<T>()).is_none() {
            // SAFETY: passed on.
            return unsafe { self.call_unchecked(move || drop(Box::from_raw(value))) };
        }
        self.before_call();
        // SAFETY: passed on.
        self.queue(unsafe { Callback::emptying(value) });
    }

    /// Returns the layout if empty boxes of this layout are kept.
    #[inline(always)]
    fn kept_layout(&self, layout: Layout) -> Option<BoxLayout> {
        match self.keeps_memory() {
            true => BoxLayout::of(layout),
            false => None,
        }
    }

    /// Puts a value into a box. Takes the memory of a value of the same layout that this thread has
    /// retired in this domain, if there is some, and allocates otherwise.
    ///
    /// The values of [`RcuCell`](crate::RcuCell), and the nodes and entries of the collections, are
    /// put into boxes in this way. For a [`RcuPtr`](crate::RcuPtr), and for structures of your own.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let leader = RcuPtr::from(Box::new(1));
    /// for n in 2..1000 {
    ///     leader.store(Some(leader.rcu().boxed(n)));
    /// }
    /// assert_eq!(leader.load(&Rcu::global().read()), Some(&999));
    /// ```
    #[inline]
    pub fn boxed<T>(&self, value: T) -> Box<T> {
        let layout = Layout::new::<T>();
        if self.kept_layout(layout).is_some() {
            if let Some(record) = local::cached(self.registry) {
                // SAFETY: the record is the current thread's.
                if let Some(at) = unsafe { record.queue.stock.take_box(layout) } {
                    let at = at.cast::<T>().as_ptr();
                    // SAFETY: the memory of a box of the same layout, which nothing else has.
                    return unsafe {
                        at.write(value);
                        Box::from_raw(at)
                    };
                }
            }
        }
        Box::new(value)
    }
}
