//! liburcu, called through `c/urcu.c`.
//!
//! # Invariants
//! 1. A [`Flavour`] holds the table of functions that the C file exports. Its field order and types
//!    are those of [`Ops`].
//! 2. A thread calls functions that begin sections only between `thread_begin` and `thread_end`,
//!    inside [`Flavour::on_thread`].

use std::ffi::c_void;
use std::sync::atomic::AtomicBool;

#[repr(C)]
struct Ops {
    thread_begin: unsafe extern "C" fn(),
    thread_end: unsafe extern "C" fn(),
    cell_new: unsafe extern "C" fn() -> *mut c_void,
    cell_free: unsafe extern "C" fn(*mut c_void),
    read_loop: unsafe extern "C" fn(u64, *mut c_void),
    nested_loop: unsafe extern "C" fn(u64),
    load_loop: unsafe extern "C" fn(u64, *mut c_void),
    read_until: unsafe extern "C" fn(*mut c_void, *const bool),
    replace_loop: unsafe extern "C" fn(u64, *mut c_void),
    heads_new: unsafe extern "C" fn(u64) -> *mut c_void,
    heads_free: unsafe extern "C" fn(*mut c_void),
    call_loop: unsafe extern "C" fn(u64, *mut c_void),
    retire_loop: unsafe extern "C" fn(u64),
    call: unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void),
    section_begin: unsafe extern "C" fn(),
    section_end: unsafe extern "C" fn(),
    synchronize: unsafe extern "C" fn(),
    barrier: unsafe extern "C" fn(),
    has_membarrier: unsafe extern "C" fn() -> i32,
    rt_worker_new: unsafe extern "C" fn() -> *mut c_void,
    rt_worker_free: unsafe extern "C" fn(*mut c_void),
}

#[cfg(urcu)]
mod linked {
    use super::{Flavour, Ops};

    unsafe extern "C" {
        static peers_urcu_memb: Ops;
        static peers_urcu_bp: Ops;
    }

    pub(super) fn flavours() -> Vec<Flavour> {
        // SAFETY: constants of the C file (invariant 1).
        let (memb, bp) = unsafe { (&peers_urcu_memb, &peers_urcu_bp) };
        vec![Flavour { name: "liburcu bp", ops: bp }, Flavour { name: "liburcu memb", ops: memb }]
    }
}

#[cfg(not(urcu))]
mod linked {
    pub(super) fn flavours() -> Vec<super::Flavour> {
        Vec::new()
    }
}

/// One of liburcu's implementations.
#[derive(Clone, Copy)]
pub(crate) struct Flavour {
    pub(crate) name: &'static str,
    ops: &'static Ops,
}

/// Returns both flavours, bp first. Returns none if the build did not find liburcu.
pub(crate) fn flavours() -> Vec<Flavour> {
    linked::flavours()
}

/// Returns the flavour that uses `membarrier`.
pub(crate) fn memb() -> Result<Flavour, String> {
    flavours()
        .into_iter()
        .find(|flavour| flavour.name == "liburcu memb")
        .ok_or_else(|| "this build has no liburcu: install it and build again".to_owned())
}

/// Ends the thread's registration when it is dropped, even if the body panics.
struct Registered(&'static Ops);

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: `on_thread` called `thread_begin`.
        unsafe { (self.0.thread_end)() }
    }
}

/// The operations of a registered thread.
pub(crate) struct Thread(Registered);

impl Flavour {
    /// Runs `f` while this thread is registered. Calls must not nest.
    pub(crate) fn on_thread<R>(self, f: impl FnOnce(&Thread) -> R) -> R {
        // SAFETY: invariant 1; the drop of `Registered` calls `thread_end`.
        unsafe { (self.ops.thread_begin)() };
        f(&Thread(Registered(self.ops)))
    }

    pub(crate) fn cell(self) -> Cell {
        // SAFETY: invariant 1.
        let cell = unsafe { (self.ops.cell_new)() };
        Cell { ops: self.ops, cell }
    }

    /// Waits for every callback that was queued before the call.
    pub(crate) fn barrier(self) {
        // SAFETY: invariant 1; no section is open on this thread.
        unsafe { (self.ops.barrier)() }
    }

    pub(crate) fn has_membarrier(self) -> bool {
        // SAFETY: invariant 1.
        unsafe { (self.ops.has_membarrier)() != 0 }
    }

    /// Starts a callback thread that runs without wake-ups from callers. The thread ends when the
    /// result is dropped.
    pub(crate) fn rt_worker(self) -> RtWorker {
        // SAFETY: invariant 1.
        let worker = unsafe { (self.ops.rt_worker_new)() };
        RtWorker { ops: self.ops, worker }
    }
}

impl Thread {
    fn ops(&self) -> &'static Ops {
        self.0.0
    }

    pub(crate) fn nested_loop(&self, n: u64) {
        // SAFETY: invariants 1, 2.
        unsafe { (self.ops().nested_loop)(n) }
    }

    /// Queues `n` callbacks that do nothing. No head in `heads` may be queued already.
    pub(crate) fn call_loop(&self, heads: &mut Heads, n: u64) {
        assert!(n <= heads.len);
        // SAFETY: invariants 1, 2; `heads` has at least `n` heads, and the callers wait for a
        // barrier before they queue heads again.
        unsafe { (self.ops().call_loop)(n, heads.heads) }
    }

    /// Allocates a value and queues its release, `n` times.
    pub(crate) fn retire_loop(&self, n: u64) {
        // SAFETY: invariants 1, 2.
        unsafe { (self.ops().retire_loop)(n) }
    }

    /// Runs `f` after a grace period.
    pub(crate) fn call(&self, f: Box<dyn FnOnce() + Send>) {
        unsafe extern "C" fn run(with: *mut c_void) {
            // SAFETY: `call` below made the pointer from a box, and the callback runs once.
            let f = unsafe { Box::from_raw(with.cast::<Box<dyn FnOnce() + Send>>()) };
            f();
        }
        // SAFETY: invariants 1, 2; `run` gets the pointer that it expects.
        unsafe { (self.ops().call)(run, Box::into_raw(Box::new(f)).cast()) }
    }

    pub(crate) fn in_section<R>(&self, f: impl FnOnce() -> R) -> R {
        // SAFETY: invariants 1, 2; a panic in `f` ends the program.
        unsafe { (self.ops().section_begin)() };
        let result = f();
        // SAFETY: `section_begin` was called above.
        unsafe { (self.ops().section_end)() };
        result
    }

    pub(crate) fn synchronize(&self) {
        // SAFETY: invariants 1, 2; the callers are in no section.
        unsafe { (self.ops().synchronize)() }
    }
}

/// A pointer to a value, replaced by exchange and `call_rcu`.
pub(crate) struct Cell {
    ops: &'static Ops,
    cell: *mut c_void,
}

// SAFETY: the C side reads and exchanges the pointer atomically.
unsafe impl Send for Cell {}
// SAFETY: as above.
unsafe impl Sync for Cell {}

impl Cell {
    pub(crate) fn read_loop(&self, _thread: &Thread, n: u64) {
        // SAFETY: invariants 1, 2.
        unsafe { (self.ops.read_loop)(n, self.cell) }
    }

    pub(crate) fn load_loop(&self, _thread: &Thread, n: u64) {
        // SAFETY: invariants 1, 2.
        unsafe { (self.ops.load_loop)(n, self.cell) }
    }

    pub(crate) fn read_until(&self, _thread: &Thread, stop: &AtomicBool) {
        // SAFETY: invariants 1, 2; the flag is read atomically.
        unsafe { (self.ops.read_until)(self.cell, stop.as_ptr()) }
    }

    pub(crate) fn replace_loop(&self, _thread: &Thread, n: u64) {
        // SAFETY: invariants 1, 2; several callers may exchange at once, since the exchange is
        // atomic.
        unsafe { (self.ops.replace_loop)(n, self.cell) }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // SAFETY: no thread has the cell any more, and no callback has its value.
        unsafe { (self.ops.cell_free)(self.cell) }
    }
}

/// `rcu_head`s to queue. A head may be queued again only after a barrier.
pub(crate) struct Heads {
    flavour: Flavour,
    heads: *mut c_void,
    len: u64,
}

// SAFETY: plain memory.
unsafe impl Send for Heads {}

impl Heads {
    pub(crate) fn new(flavour: Flavour, len: u64) -> Self {
        // SAFETY: invariant 1.
        let heads = unsafe { (flavour.ops.heads_new)(len) };
        Self { flavour, heads, len }
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        self.flavour.barrier();
        // SAFETY: after the barrier no head is queued.
        unsafe { (self.flavour.ops.heads_free)(self.heads) }
    }
}

/// See [`Flavour::rt_worker`].
pub(crate) struct RtWorker {
    ops: &'static Ops,
    worker: *mut c_void,
}

impl Drop for RtWorker {
    fn drop(&mut self) {
        // SAFETY: `rt_worker` made the worker, and only this drop frees it.
        unsafe { (self.ops.rt_worker_free)(self.worker) }
    }
}
