//! A structure built outside of the crate, on `async_rcu::structures` alone: a stack whose readers
//! walk it while other threads push and pop.
//!
//! `tests/compile_fail/a_structure_*.rs` show the code that the compiler refuses in such a
//! structure.

mod common;

use async_rcu::structures::{DomainRef, Holder};
use async_rcu::{Guard, Rcu, Retired};
use common::{Drops, HANG_GUARD, Tracked, domain, panic_message};
use std::iter;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread;

/// A lock-free stack after Treiber.
///
/// # Invariants
/// 1. `top` and each node's `next` are null or point to a node from a box.
/// 2. One exchange unlinks a node from `top`. The node is then given to one retiring function. So a
///    section that reached the node may use it until the section ends. Every exchange of `top` is
///    made in a section that began before `top` was loaded. So the address of the loaded node does
///    not come back to `top` in between, for another node.
/// 3. `next` does not change after the node is pushed, so a reader on a popped node finishes its
///    walk. Nodes below the popped node are freed later, by a grace period that starts later.
struct Stack<T: Send + Sync + 'static> {
    top: AtomicPtr<Node<T>>,
    domain: DomainRef,
}

struct Node<T> {
    value: T,
    next: AtomicPtr<Node<T>>,
}

impl<T: Send + Sync + 'static> Holder for Node<T> {
    type Value = T;
    fn value(&self) -> &T {
        &self.value
    }
    fn into_value(self) -> T {
        self.value
    }
}

impl<T: Send + Sync + 'static> Stack<T> {
    const fn new() -> Self {
        Self::with(DomainRef::GLOBAL)
    }

    fn new_in(rcu: &Rcu) -> Self {
        Self::with(DomainRef::of(rcu))
    }

    const fn with(domain: DomainRef) -> Self {
        Self { top: AtomicPtr::new(ptr::null_mut()), domain }
    }

    /// Walks the stack from the top. The references are bound to the guard, not to the stack.
    fn iter<'g, G: Guard>(&self, guard: &'g G) -> impl Iterator<Item = &'g T> + use<'g, T, G> {
        self.domain.assert_covers(guard, "Stack");
        let follow = |link: &AtomicPtr<Node<T>>| {
            // SAFETY: null, or a node that is freed after this section (invariants 1, 2, 3).
            unsafe { link.load(Ordering::Acquire).as_ref::<'g>() }
        };
        let nodes = iter::successors(follow(&self.top), move |node| follow(&node.next));
        nodes.map(|node| &node.value)
    }

    fn push(&self, value: T) {
        let _section = self.domain.rcu().read();
        let node = Box::into_raw(Box::new(Node {
            value,
            next: AtomicPtr::new(self.top.load(Ordering::Acquire)),
        }));
        // SAFETY: private until it is pushed.
        let next = unsafe { &(*node).next };
        let mut seen = next.load(Ordering::Relaxed);
        while let Err(now) =
            self.top.compare_exchange_weak(seen, node, Ordering::AcqRel, Ordering::Acquire)
        {
            next.store(now, Ordering::Relaxed);
            seen = now;
        }
    }

    fn pop(&self) -> Option<Retired<T>> {
        let rcu = self.domain.rcu();
        let section = rcu.read();
        loop {
            let top = self.top.load(Ordering::Acquire);
            // SAFETY: null, or a node that is freed after this section (invariants 1, 2).
            let next = unsafe { top.as_ref() }?.next.load(Ordering::Acquire);
            let popped = self.top.compare_exchange(top, next, Ordering::AcqRel, Ordering::Relaxed);
            if popped.is_ok() {
                drop(section);
                // SAFETY: from a box, unlinked by the exchange, and given away here only.
                return Some(unsafe { Retired::from_holder(rcu, top) });
            }
        }
    }

    /// Removes the top element and does not return it.
    fn discard_top(&self) -> bool {
        let rcu = self.domain.rcu();
        let section = rcu.read();
        let step = |top: *mut Node<T>| {
            // SAFETY: as in `pop`.
            unsafe { top.as_ref() }.map(|node| node.next.load(Ordering::Acquire))
        };
        let top = self.top.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        drop(section);
        match top {
            Ok(top) => {
                // SAFETY: as in `pop`.
                unsafe { rcu.retire_raw(top) };
                true
            }
            Err(_) => false,
        }
    }

    /// Removes all elements, and retires them in one callback.
    fn clear(&self) {
        let top = self.top.swap(ptr::null_mut(), Ordering::AcqRel);
        if top.is_null() {
            return;
        }
        let free = move || {
            let mut node = top;
            while !node.is_null() {
                // SAFETY: from a box, unlinked with the top, and freed once, after all readers.
                let unlinked = unsafe { Box::from_raw(node) };
                node = unlinked.next.load(Ordering::Relaxed);
            }
        };
        // SAFETY: the only owner of the nodes, which were unlinked above; `T` is `Send`.
        unsafe { self.domain.rcu().call_unchecked(free) };
    }
}

impl<T: Send + Sync + 'static> Drop for Stack<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[test]
fn a_static_stack_is_in_the_global_domain() {
    static STACK: Stack<u32> = Stack::new();
    STACK.push(1);
    STACK.push(2);
    let guard = Rcu::global().read();
    assert!(STACK.iter(&guard).eq(&[2, 1]));
    assert_eq!(*STACK.pop().unwrap(), 2);
    assert!(STACK.discard_top() && !STACK.discard_top());
    assert!(STACK.pop().is_none());
}

#[test]
fn a_guard_of_another_domain_is_refused() {
    let (rcu, other) = (domain("stack"), domain("other"));
    let stack = Stack::new_in(&rcu);
    stack.push(1);
    let unstarted = Stack::<u32>::new();
    for stack in [&stack, &unstarted] {
        let message = panic_message(|| assert_eq!(stack.iter(&other.read()).count(), 0));
        assert!(message.contains("another Rcu than the Stack"), "{message}");
    }
    assert_eq!(stack.iter(&rcu.read_owned()).count(), 1);
}

#[test]
fn each_element_is_dropped_once_and_not_before_its_readers_leave() {
    let drops = Drops::default();
    let rcu = domain("stack");
    let stack = Stack::new_in(&rcu);
    (0..6).for_each(|label| stack.push(drops.value(label)));
    let held = rcu.read_owned();
    let mut walk = stack.iter(&held);
    assert_eq!(walk.next().map(Tracked::label), Some(5));

    let popped = stack.pop().unwrap();
    assert_eq!(popped.label(), 5);
    drop(popped);
    assert!(stack.discard_top());
    let retried = stack.pop().unwrap().try_take();
    let early = retried.expect_err("a reader is still there");
    stack.clear();
    drop(stack);
    assert_eq!(drops.count(), 0);
    assert!(walk.map(Tracked::label).eq([4, 3, 2, 1, 0]));

    drop(held);
    assert_eq!(early.blocking_wait().label(), 3);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    assert_eq!(drops.count(), 6);
}

/// Writers push and pop while readers walk and check every element that they reach.
#[test]
fn readers_and_writers_share_a_stack() {
    const WRITERS: u32 = 3;
    let each: u32 = if cfg!(miri) { 30 } else { 3_000 };
    let drops = Drops::default();
    let rcu = domain("stack");
    let stack = Stack::new_in(&rcu);
    let popped = AtomicUsize::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (stack, drops, popped) = (&stack, &drops, &popped);
            scope.spawn(move || {
                for n in 0..each {
                    stack.push(drops.value(writer * each + n));
                    let gone = match n % 3 {
                        0 => stack.pop().is_some_and(|old| old.label() < WRITERS * each),
                        1 => stack.discard_top(),
                        _ => false,
                    };
                    popped.fetch_add(usize::from(gone), Ordering::Relaxed);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..each / 10 {
                    let guard = rcu.read();
                    let mut labels: Vec<u32> = stack.iter(&guard).map(Tracked::label).collect();
                    let len = labels.len();
                    labels.sort_unstable();
                    labels.dedup();
                    assert_eq!(labels.len(), len, "a walk has met an element twice");
                }
            });
        }
    });
    let pushed = (WRITERS * each) as usize;
    let left = stack.iter(&rcu.read()).count();
    assert_eq!(left + popped.load(Ordering::Relaxed), pushed);
    drop(stack);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    assert_eq!(drops.count(), pushed);
}
