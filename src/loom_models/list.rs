//! The chain of a list: a reader finds whole nodes, which live as long as the reader's section.
//!
//! All models fail if a node is freed without its grace period. The first fails if the link of a
//! removed node is cut. The others fail if `Link::point` stores Relaxed or `Link::follow` loads
//! Relaxed.

use super::*;
use crate::collections::chain::{Link, Node, Run, Tail};
use crate::sys::prim::Mutex;
use std::ptr;

struct List {
    head: Link<Value>,
    tail: Mutex<Tail<Value>>,
}

impl List {
    fn of(names: impl IntoIterator<Item = u32>) -> &'static Self {
        let mut run = Run::default();
        names.into_iter().for_each(|name| run.push(Box::new(Node::new(Value::new(name)))));
        let list = List { head: Link::default(), tail: Mutex::new(Tail::EMPTY) };
        // SAFETY: its own tail, locked.
        unsafe { list.tail.lock().insert(&list.head, ptr::null_mut(), run) };
        leak(list)
    }

    /// Walks inside a section: looks at each value, and returns their names.
    fn walk(&self) -> Vec<u32> {
        let mut names = Vec::new();
        let mut link = &self.head;
        // SAFETY: the model shows that a node that is found is alive.
        while let Some(node) = unsafe { link.follow().as_ref() } {
            names.push(node.value.look());
            link = &node.next;
        }
        names
    }

    fn push_back(&self, name: u32) {
        let run = Run::of(Box::new(Node::new(Value::new(name))));
        let mut tail = self.tail.lock();
        let last = tail.last();
        // SAFETY: its own tail, locked; the last is linked.
        unsafe { tail.insert(&self.head, last, run) };
    }

    fn pop(&self) -> *mut Node<Value> {
        // SAFETY: its own tail, locked.
        unsafe { self.tail.lock().remove(&self.head, ptr::null_mut()) }
    }

    fn remove_second(&self) -> *mut Node<Value> {
        let mut tail = self.tail.lock();
        let first = self.head.peek();
        // SAFETY: its own tail, locked; the first is linked.
        unsafe { tail.remove(&self.head, first) }
    }
}

/// Marks a removed node as freed, after a grace period.
fn free(node: *mut Node<Value>) {
    // SAFETY: nodes are leaked.
    unsafe { &*node }.value.free();
}

fn freed_after_a_grace_period(engine: &Engine, node: *mut Node<Value>) {
    grace_period(engine);
    free(node);
}

/// The node that a reader is at is removed, then the next node. Each is freed after a grace period
/// of its own.
#[test]
fn loom_models_a_reader_on_a_removed_node() {
    loom::model(|| {
        let (registry, engine) = engine();
        let list = List::of([1, 2, 3]);
        let reader = in_section(registry.acquire(), || list.walk());
        let first = list.pop();
        let first_gp = engine.start();
        let second = list.pop();
        let second_gp = engine.start();
        scan_until(engine, first_gp);
        free(first);
        scan_until(engine, second_gp);
        free(second);
        let names = reader.join().unwrap();
        assert!([&[1, 2, 3][..], &[1, 3], &[2, 3], &[3]].contains(&&*names), "{names:?}");
    });
}

/// A node is freed, and one is added at the other end.
#[test]
fn loom_models_a_node_added_behind_a_removed_one() {
    loom::model(|| {
        let (registry, engine) = engine();
        let list = List::of([1, 2]);
        let reader = in_section(registry.acquire(), || list.walk());
        let second = list.remove_second();
        list.push_back(3);
        freed_after_a_grace_period(engine, second);
        let names = reader.join().unwrap();
        // Node 2 was out before 3 came, so 2 does not lead to 3.
        assert!([&[1, 2][..], &[1, 3], &[1]].contains(&&*names), "{names:?}");
    });
}

/// A writer removes the node before a node that another writer has made. The reader finds the
/// latter whole, through the first link.
#[test]
fn loom_models_a_node_of_another_writer() {
    loom::model(|| {
        let (registry, engine) = engine();
        let list = List::of([1]);
        let reader = in_section(registry.acquire(), || list.walk());
        let other = thread::spawn(|| list.push_back(2));
        let first = list.pop();
        freed_after_a_grace_period(engine, first);
        other.join().unwrap();
        let names = reader.join().unwrap();
        assert!([&[1, 2][..], &[1], &[2], &[]].contains(&&*names), "{names:?}");
    });
}

/// A node replaces another in one step: one of the two is always there.
#[test]
fn loom_models_a_replaced_node() {
    loom::model(|| {
        let (registry, engine) = engine();
        let list = List::of([1, 2]);
        let reader = in_section(registry.acquire(), || list.walk());
        let by = Box::new(Node::new(Value::new(3)));
        // SAFETY: its own tail, locked.
        let old = unsafe { list.tail.lock().replace(&list.head, ptr::null_mut(), by) };
        freed_after_a_grace_period(engine, old);
        let names = reader.join().unwrap();
        assert!([&[1, 2][..], &[3, 2]].contains(&&*names), "{names:?}");
    });
}
