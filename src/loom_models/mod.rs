//! Models that loom runs through every interleaving: `ci/loom.sh`.
//!
//! They run the crate's own code on loom's atomics, with small constants. loom knows fences and not system calls: what is
//! shown here is the fence mode. The asymmetric mode rests on the contract in `sys::barrier`, and on
//! `tests/explorer.rs`, not on these models; in particular they cannot tell a light fence from a heavy one.
//!
//! A value that must not be used after it was freed is a loom `UnsafeCell`: readers look with `with`, the one who frees
//! writes with `with_mut`, and loom fails if the two are not ordered.

mod holdout;
mod list;
mod map;
mod owned;
mod queue;
mod restart;
mod section;
mod vec;
mod waiters;

use crate::gp::engine::Engine;
use crate::reader::registry::{Core, Record};
use crate::reader::sequence::Seq;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};

/// Two versions behind an index that a writer moves from the first to the second.
pub(super) struct Cell {
    current: AtomicUsize,
    versions: [UnsafeCell<u32>; 2],
}

// SAFETY: `versions` is what loom watches: it fails where two threads touch one unordered.
unsafe impl Sync for Cell {}
// SAFETY: as above.
unsafe impl Send for Cell {}

pub(super) const ALIVE: u32 = 7;

impl Cell {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Cell {
            current: AtomicUsize::new(0),
            versions: [UnsafeCell::new(ALIVE), UnsafeCell::new(ALIVE)],
        })
    }

    /// A reader, inside a section: loads the pointer and looks at what it points to.
    pub(super) fn look(&self) {
        let version = self.current.load(Ordering::Acquire);
        // SAFETY: shared access; loom checks that nobody writes at the same time.
        self.versions[version].with(|value| assert_eq!(unsafe { *value }, ALIVE));
    }

    /// The writer: readers that load from now on see the second version.
    pub(super) fn unlink(&self) {
        self.current.store(1, Ordering::Release);
    }

    /// The writer, after a grace period: the first version is freed.
    pub(super) fn free(&self) {
        // SAFETY: loom checks that nobody reads at the same time.
        self.versions[0].with_mut(|value| unsafe { *value = 0 });
    }
}

pub(super) type ModelCore = &'static Core<()>;

pub(super) fn engine() -> (ModelCore, Arc<Engine<()>>) {
    let core = Core::leak(Seq::FIRST);
    (core, Arc::new(Engine::new(core)))
}

/// Scans until `seq` has elapsed.
pub(super) fn scan_until(engine: &Engine<()>, seq: Seq) {
    while !engine.has_elapsed(seq) {
        engine.scan();
        loom::thread::yield_now();
    }
}

/// A thread that reads in one section of this record, which it alone uses.
pub(super) fn reads(record: &'static Record<()>, cell: &Arc<Cell>) -> JoinHandle<()> {
    let cell = cell.clone();
    thread::spawn(move || {
        // SAFETY: handed to this thread, which alone uses it, paired.
        unsafe { record.reader.enter(record.hub()) };
        cell.look();
        // SAFETY: its pair.
        unsafe { record.reader.leave() };
    })
}

/// The writer: unlinks, waits for a grace period of its own, and frees.
pub(super) fn replace(engine: &Engine<()>, cell: &Cell) {
    cell.unlink();
    let seq = engine.start();
    scan_until(engine, seq);
    cell.free();
}
