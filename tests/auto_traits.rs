//! The auto traits of the public types, as the compiler checks them. A broken promise does not
//! compile. Each test says which promise its assertions check.
#![cfg(feature = "rt")]

use async_rcu::{
    Batch, Builder, Executor, GlobalLock, GracePeriod, Guard, OwnedReadGuard, Rcu, RcuCell,
    RcuList, RcuMap, RcuPtr, RcuRef, RcuVec, ReadGuard, Retired, Stats,
    backpressure::{Permit, Reserve},
    cell::{Changed, OwnedRcuRef, Reclaim, ReclaimAll, RetireOnDrop, Watcher},
    collections::{ListIter, ListWriter, MapIter, MapKeys, MapValues, VecIter, VecView, VecWriter},
    error::{BuildError, CompareExchangeError, Full, InstallError, Timeout},
    executor::{Batches, ChannelExecutor, InlineExecutor, WorkerThread},
    global_lock::{DrainUnlocked, GlobalLockGuard, Lock, SynchronizeUnlocked},
    guard::{ReleaseRequested, ThreadRegistration},
    report::{
        ForceEvent, ForceNotifier, HeldSection, Latency, PanicReport, StallKind, StallReport,
    },
    wait::{Drain, Shutdown, Synchronize},
};
use futures::Stream;
use static_assertions::{assert_impl_all, assert_not_impl_any, assert_obj_safe};
use std::cell::Cell;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::iter::FusedIterator;
use std::ops::{Deref, DerefMut, Index};
use std::sync::Arc;

fn is_future<F: Future<Output = T> + Send + Unpin + Debug + 'static, T>() {}
fn is_static<T: 'static>() {}
fn is_executor<E: Executor + ?Sized>() {}

/// A type that implements nothing.
struct Elsewhere;

/// A value that is `Send` and not `Sync`, which a global lock may guard.
type Single = Cell<u32>;

#[test]
fn a_section_of_a_thread_stays_there() {
    assert_not_impl_any!(ReadGuard<'static>: Send, Sync, Clone);
    assert_not_impl_any!(RcuRef<'static, u32>: Send);
    assert_not_impl_any!(RcuRef<'static, str>: Send);
    assert_not_impl_any!(ThreadRegistration: Send);
    assert_impl_all!(ReadGuard<'static>: Debug, Guard, Unpin);
    assert_impl_all!(RcuRef<'static, u32>: Debug, Deref<Target = u32>, Unpin);
    assert_impl_all!(ThreadRegistration: Debug);
}

#[test]
fn an_owned_section_goes_anywhere() {
    assert_impl_all!(OwnedReadGuard: Send, Sync, Unpin, Debug, Guard);
    assert_not_impl_any!(OwnedReadGuard: Clone);
    is_static::<OwnedReadGuard>();
    assert_impl_all!(OwnedRcuRef<u32>: Send, Unpin, Debug, Deref<Target = u32>);
    is_static::<OwnedRcuRef<u32>>();
}

#[test]
fn handles_and_cells_are_shared() {
    assert_impl_all!(Rcu: Clone, Send, Sync, Debug, Unpin);
    is_static::<Rcu>();
    assert_impl_all!(RcuCell<u32>: Send, Sync, Debug, Default, From<u32>);
    assert_impl_all!(RcuCell<Option<Arc<str>>>: Send, Sync);
    assert_impl_all!(Retired<u32>: Send, Sync, Unpin, Debug, Deref<Target = u32>);
    assert_impl_all!(RetireOnDrop<u32>: Send, Sync, Debug, Deref<Target = u32>);
    assert_not_impl_any!(RcuCell<u32>: Clone, Deref);
    assert_not_impl_any!(Retired<u32>: Clone, DerefMut);
    assert_not_impl_any!(RetireOnDrop<u32>: Clone, DerefMut);
}

#[test]
fn collections_are_shared() {
    assert_impl_all!(RcuPtr<u32>: Send, Sync, Unpin, Debug, Default, From<Box<u32>>);
    assert_impl_all!(RcuList<u32>: Send, Sync, Unpin, Debug, Default);
    assert_impl_all!(RcuList<u32>: FromIterator<u32>, Extend<u32>);
    assert_impl_all!(RcuVec<u32>: Send, Sync, Unpin, Debug, Default);
    assert_impl_all!(RcuVec<u32>: FromIterator<u32>, Extend<u32>);
    assert_impl_all!(&'static RcuList<u32>: Extend<u32>);
    assert_impl_all!(&'static RcuVec<u32>: Extend<u32>);
    assert_not_impl_any!(RcuPtr<u32>: Clone, Deref);
    assert_not_impl_any!(RcuList<u32>: Clone, Deref, IntoIterator);
    assert_not_impl_any!(RcuVec<u32>: Clone, Deref, IntoIterator);
}

#[test]
fn what_is_read_goes_where_references_go() {
    assert_impl_all!(ListIter<'static, u32>: Send, Sync, Unpin, Clone, Debug, FusedIterator);
    assert_impl_all!(VecIter<'static, u32>: Send, Sync, Unpin, Clone, Debug, FusedIterator);
    assert_impl_all!(VecIter<'static, u32>: DoubleEndedIterator, ExactSizeIterator);
    assert_impl_all!(VecView<'static, u32>: Send, Sync, Unpin, Copy, Debug, Index<usize>);
    assert_impl_all!(VecView<'static, u32>: IntoIterator<Item = &'static u32>);
    assert_impl_all!(CompareExchangeError<'static, u32>: Error, Send, Sync);
    // These types borrow from a guard, and are not guards themselves.
    assert_not_impl_any!(ListIter<'static, u32>: Guard);
}

#[test]
fn a_writers_turn_stays_on_its_thread() {
    assert_impl_all!(ListWriter<'static, u32>: Debug);
    assert_impl_all!(VecWriter<'static, u32>: Debug);
    assert_not_impl_any!(ListWriter<'static, u32>: Send, Sync, Clone, Deref);
    assert_not_impl_any!(VecWriter<'static, u32>: Send, Sync, Clone, Deref);
}

#[test]
fn a_map_is_shared_and_its_iterators_are_lent() {
    assert_impl_all!(RcuMap<String, u32>: Send, Sync, Unpin, Debug, Default, Extend<(String, u32)>);
    assert_impl_all!(RcuMap<String, u32>: FromIterator<(String, u32)>, From<[(String, u32); 2]>);
    assert_not_impl_any!(RcuMap<String, u32>: Clone, Deref);
    assert_not_impl_any!(RcuMap<u32, u32, Single>: Sync);
    assert_impl_all!(MapIter<'static, u32, u32>: Iterator<Item = (&'static u32, &'static u32)>);
    assert_impl_all!(MapKeys<'static, u32, u8>: Iterator<Item = &'static u32>);
    assert_impl_all!(MapValues<'static, u32, u8>: Iterator<Item = &'static u8>);
    assert_impl_all!(MapIter<'static, u32, u32>: Clone, FusedIterator, Debug, Send, Sync, Unpin);
    assert_impl_all!(MapKeys<'static, u32, u32>: Clone, FusedIterator, Debug, Send, Sync, Unpin);
    assert_impl_all!(MapValues<'static, u32, u32>: Clone, FusedIterator, Debug, Send, Sync, Unpin);
}

#[test]
fn futures_are_sent_pinned_nowhere_and_borrow_nothing() {
    is_future::<Synchronize, ()>();
    is_future::<Drain, ()>();
    is_future::<Shutdown, ()>();
    is_future::<Reclaim<u32>, Box<u32>>();
    is_future::<ReclaimAll<u32>, Vec<Box<u32>>>();
    is_future::<Lock<Single>, GlobalLockGuard<Single>>();
    is_future::<DrainUnlocked<Single>, GlobalLockGuard<Single>>();
    is_future::<SynchronizeUnlocked<Single>, GlobalLockGuard<Single>>();
    is_future::<Batch, ()>();
    is_future::<Reserve, Permit>();
    is_future::<ReleaseRequested, ()>();
    // The future borrows its watcher.
    is_future::<Changed<'static, u32>, Option<OwnedRcuRef<u32>>>();
    assert_impl_all!(Watcher<u32>: Stream<Item = OwnedRcuRef<u32>>, Send, Sync, Unpin, Debug);
    is_static::<Watcher<u32>>();
    assert_impl_all!(Permit: Send, Sync, Debug, Unpin);
    assert_impl_all!(ForceNotifier: Send, Sync, Debug, Unpin);
    is_static::<ForceNotifier>();
}

#[test]
fn a_global_lock_needs_no_sync() {
    assert_impl_all!(GlobalLock<Single>: Clone, Send, Sync, Debug);
    assert_impl_all!(GlobalLock<Single>: From<Arc<tokio::sync::Mutex<Single>>>);
    assert_impl_all!(GlobalLockGuard<Single>: Send, Debug, Deref<Target = Single>, DerefMut);
    is_static::<GlobalLockGuard<Single>>();
}

#[test]
fn executors_are_these_and_may_be_objects() {
    assert_obj_safe!(Executor);
    is_executor::<WorkerThread>();
    is_executor::<InlineExecutor>();
    is_executor::<ChannelExecutor>();
    is_executor::<tokio::runtime::Handle>();
    is_executor::<Arc<WorkerThread>>();
    is_executor::<Arc<dyn Executor>>();
    is_executor::<fn(Batch)>();
    is_executor::<fn(Batch) -> u32>();
    assert_impl_all!(WorkerThread: Default, Debug);
    assert_impl_all!(InlineExecutor: Default, Debug);
    assert_impl_all!(ChannelExecutor: Send, Sync, Debug);
    assert_impl_all!(Batches: Stream<Item = Batch>, Send, Unpin, Debug);
    is_static::<Batches>();
    assert_impl_all!(Builder: Debug);
}

#[test]
fn cookies_are_plain_values() {
    assert_impl_all!(GracePeriod: Copy, Eq, Hash, Debug, PartialOrd, Send, Sync);
    assert_not_impl_any!(GracePeriod: Ord);
}

#[test]
fn errors_are_small_and_travel() {
    assert_impl_all!(BuildError: Error, Send, Sync);
    assert_impl_all!(InstallError: Error, Send, Sync);
    assert_impl_all!(Timeout: Error, Send, Sync);
    assert_impl_all!(Full<fn()>: Error, Send, Sync);
    assert_impl_all!(Full<Elsewhere>: Error);
    for size in [size_of::<BuildError>(), size_of::<InstallError>(), size_of::<Timeout>()] {
        assert!(size <= 4 * size_of::<usize>());
    }
}

#[test]
fn reports_and_figures_can_be_shown_and_sent() {
    assert_impl_all!(PanicReport: Debug, Display);
    assert_impl_all!(StallReport: Debug, Display, Clone, Send, Sync);
    assert_impl_all!(ForceEvent: Debug, Display, Clone, Send, Sync);
    assert_impl_all!(HeldSection: Debug, Display, Clone, Send, Sync);
    assert_impl_all!(StallKind: Debug, Copy, Eq, Hash, Send, Sync);
    assert_impl_all!(Latency: Debug, Copy, Eq, Default, Send, Sync);
    assert_impl_all!(Stats: Debug, Send, Sync);
    assert_impl_all!(async_rcu::report::MemoryBarrier: Debug, Copy, Eq, Send, Sync);
}

#[test]
fn a_held_guard_costs_no_more_than_it_must() {
    // An owned guard has the size of two pointers: its word and its domain.
    assert!(size_of::<OwnedReadGuard>() <= 2 * size_of::<usize>());
    assert_eq!(size_of::<Option<OwnedReadGuard>>(), size_of::<OwnedReadGuard>());
    assert_eq!(size_of::<Option<ReadGuard<'_>>>(), size_of::<usize>());
}
