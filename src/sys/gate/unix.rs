//! Unix: by `pthread_atfork`.

use crate::sys::stderr::tell;
use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::yield_now;

const STRIPES: usize = 16;

/// How many threads are inside.
static INSIDE: [CachePadded<AtomicUsize>; STRIPES] =
    [const { CachePadded::new(AtomicUsize::new(0)) }; STRIPES];
static CLOSED: AtomicBool = AtomicBool::new(false);
/// One thread forks at a time.
static FORKING: AtomicBool = AtomicBool::new(false);
static IN_CHILD: OnceLock<fn()> = OnceLock::new();
static IS_CHILD: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicUsize = AtomicUsize::new(1);
/// How many forks lie between this process and the one that was no child; and the thread that made the last.
static GENERATION: AtomicUsize = AtomicUsize::new(0);
static SURVIVOR: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// 0: none yet.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The current thread's, and no other's ever.
fn number() -> usize {
    let mut mine = NUMBER.get();
    if mine == 0 {
        mine = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(mine);
    }
    mine
}

/// The current thread's count.
fn stripe() -> &'static AtomicUsize {
    &INSIDE[number() % STRIPES]
}

/// Which thread something is of, of which process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    thread: usize,
    generation: usize,
}

impl Origin {
    /// The current thread.
    pub(crate) fn here() -> Self {
        Self {
            thread: number(),
            generation: GENERATION.load(Ordering::Relaxed),
        }
    }

    /// Whether a fork has left that thread behind.
    pub(crate) fn has_vanished(self) -> bool {
        self.generation != GENERATION.load(Ordering::Relaxed)
            && self.thread != SURVIVOR.load(Ordering::Relaxed)
    }
}

/// The current thread is inside, until this is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Belongs to its thread.
    _not_send: std::marker::PhantomData<*mut ()>,
}

impl Pass {
    #[inline]
    pub(crate) fn enter() -> Self {
        let depth = DEPTH.get();
        if depth == 0 {
            let inside = stripe();
            inside.fetch_add(1, Ordering::SeqCst);
            // Pairs with `prepare`, which closes and then counts.
            while CLOSED.load(Ordering::SeqCst) {
                wait_outside(inside);
            }
        }
        DEPTH.set(depth + 1);
        Self {
            _not_send: std::marker::PhantomData,
        }
    }
}

#[cold]
fn wait_outside(inside: &AtomicUsize) {
    inside.fetch_sub(1, Ordering::SeqCst);
    while CLOSED.load(Ordering::SeqCst) {
        yield_now();
    }
    inside.fetch_add(1, Ordering::SeqCst);
}

impl Drop for Pass {
    #[inline]
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            stripe().fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Has `in_child` run in the child of every fork from now on, when every lock is free. The first one given stays.
pub(crate) fn on_fork(in_child: fn()) {
    if IN_CHILD.set(in_child).is_err() {
        return;
    }
    // SAFETY: the three are functions of this program, which stay as long as it runs.
    let error = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    if error != 0 {
        tell(format_args!(
            "pthread_atfork fails with error {error}: RCU domains will not work in the children of forks"
        ));
    }
}

/// Whether this process is the child of a fork of one that had threads of ours.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Whether the forking thread is inside itself.
fn own() -> usize {
    usize::from(DEPTH.get() != 0)
}

extern "C" fn prepare() {
    while FORKING.swap(true, Ordering::SeqCst) {
        yield_now();
    }
    CLOSED.store(true, Ordering::SeqCst);
    // Pairs with `Pass::enter`.
    while INSIDE
        .iter()
        .map(|n| n.load(Ordering::SeqCst))
        .sum::<usize>()
        > own()
    {
        yield_now();
    }
}

fn open() {
    CLOSED.store(false, Ordering::SeqCst);
    FORKING.store(false, Ordering::SeqCst);
}

extern "C" fn parent() {
    open();
}

extern "C" fn child() {
    // Some counted themselves in, found the gate closed, and were left behind before they counted themselves out.
    for inside in &INSIDE {
        inside.store(0, Ordering::SeqCst);
    }
    stripe().store(own(), Ordering::SeqCst);
    IS_CHILD.store(true, Ordering::SeqCst);
    SURVIVOR.store(number(), Ordering::SeqCst);
    GENERATION.fetch_add(1, Ordering::SeqCst);
    open();
    if let Some(in_child) = IN_CHILD.get() {
        in_child();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_nest_and_are_counted_once() {
        let before = DEPTH.get();
        let outer = Pass::enter();
        let inner = Pass::enter();
        assert_eq!(DEPTH.get(), before + 2);
        drop(outer);
        assert!(stripe().load(Ordering::SeqCst) >= 1);
        drop(inner);
        assert_eq!(DEPTH.get(), before);
    }

    #[test]
    fn who_comes_while_it_is_closed_waits_outside() {
        // As `prepare` and `parent` do, with other tests' threads coming and going.
        prepare();
        let comer = std::thread::spawn(|| drop(Pass::enter()));
        assert_eq!(
            INSIDE
                .iter()
                .filter(|n| n.load(Ordering::SeqCst) > 1)
                .count(),
            0,
            "at most one that is about to go out again"
        );
        parent();
        comer.join().unwrap();
    }
}
