//! `RcuVec`, compared with a `Vec`.

use super::super::ledger::{Entry, Value};
use super::super::panics;
use super::{Ground, Op, SECTIONS, Under, choose};
use async_rcu::{RcuVec, collections::VecView};
use std::sync::Arc;

/// The largest number of elements.
const MOST: usize = 200;

/// A view, and the elements that it has to show.
struct View {
    view: VecView<'static, Value>,
    shows: Vec<Arc<Entry>>,
}

struct VecRun {
    ground: Ground,
    array: RcuVec<Value>,
    model: Vec<Arc<Entry>>,
    views: Vec<Under<View>>,
}

pub(super) fn run(ground: Ground, ops: &[Op]) {
    let mut run =
        VecRun { array: RcuVec::new_in(&ground.rcu), ground, model: Vec::new(), views: Vec::new() };
    let mut ops = ops.iter().copied();
    while let Some(op) = ops.next() {
        run.step(op, &mut ops);
        assert_eq!(run.array.len(), run.model.len());
        run.ground.board.assert_clean();
    }
    run.agree();
    run.ground.release_all(&run.model);
    let VecRun { array, views, .. } = run;
    drop(array);
    views.iter().for_each(show);
}

impl VecRun {
    fn step(&mut self, op: Op, rest: &mut impl Iterator<Item = Op>) {
        let Op { code, a, b, c } = op;
        match code % 16 {
            0..=2 => {
                let value = self.ground.value();
                self.model.push(Arc::clone(value.entry()));
                self.array.push(value);
            }
            3 => {
                let values = self.ground.values(usize::from(a % 16));
                let entries = values.iter().map(|value| Arc::clone(value.entry()));
                self.model.extend(entries);
                self.array.append(values);
            }
            4 | 5 => {
                let last = self.model.pop();
                if let Some(last) = &last {
                    self.ground.release(last);
                }
                let taken = self.array.pop();
                self.ground.took(taken, last.as_ref(), c);
            }
            6 => self.replace(a, c),
            7 => self.swap_remove(a, c),
            8 if a % 4 == 0 => self.clear(),
            9 | 10 => {
                let edits: Vec<Op> = rest.take(usize::from(a % 16)).collect();
                self.write(&edits, b % 4 != 0, c);
            }
            11 if self.views.len() < SECTIONS => {
                let view = Under::begin(&mut self.ground, |guard| View {
                    view: self.array.load(guard),
                    shows: self.model.clone(),
                });
                self.views.push(view);
            }
            12 => {
                if let Some(index) = choose(a, self.views.len()) {
                    show(&self.views[index]);
                }
            }
            13 => {
                if let Some(index) = choose(a, self.views.len()) {
                    drop(self.views.swap_remove(index));
                }
            }
            14 => self.agree(),
            _ => self.ground.step(a),
        }
        if self.model.len() > MOST {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.ground.release_all(&self.model);
        self.array.clear();
        self.model.clear();
    }

    fn replace(&mut self, a: u8, c: u8) {
        let value = self.ground.value();
        match choose(a, self.model.len()) {
            Some(index) => {
                let new = Arc::clone(value.entry());
                let old = std::mem::replace(&mut self.model[index], new);
                self.ground.release(&old);
                let taken = self.array.replace(index, value);
                self.ground.took(Some(taken), Some(&old), c);
            }
            None => {
                value.entry().release(Vec::new());
                panics::expect("", || drop(self.array.replace(0, value)));
            }
        }
    }

    fn swap_remove(&mut self, a: u8, c: u8) {
        let Some(index) = choose(a, self.model.len()) else {
            return;
        };
        let old = self.model.swap_remove(index);
        self.ground.release(&old);
        let taken = self.array.swap_remove(index);
        self.ground.took(Some(taken), Some(&old), c);
    }

    /// Makes edits that are published together, or not at all.
    fn write(&mut self, edits: &[Op], publish: bool, choice: u8) {
        let mut writer = self.array.write();
        let (mut after, mut removed, mut added) = (self.model.clone(), Vec::new(), Vec::new());
        for Op { code, a, b, .. } in edits {
            let at = choose(*a, after.len());
            let value = match code % 8 {
                0 | 3 | 5 => {
                    let value = self.ground.value();
                    added.push(Arc::clone(value.entry()));
                    Some(value)
                }
                _ => None,
            };
            match (code % 8, at, value) {
                (0, _, Some(value)) => {
                    after.push(Arc::clone(value.entry()));
                    writer.push(value);
                }
                (1, ..) => {
                    let last = after.pop();
                    assert_eq!(writer.pop(), last.is_some());
                    removed.extend(last);
                }
                (2, Some(at), _) => {
                    removed.push(after.swap_remove(at));
                    writer.swap_remove(at);
                }
                (3, Some(at), Some(value)) => {
                    let new = Arc::clone(value.entry());
                    removed.push(std::mem::replace(&mut after[at], new));
                    writer.replace(at, value);
                }
                (4, Some(at), _) => {
                    removed.push(after.remove(at));
                    writer.remove(at);
                }
                (5, at, Some(value)) => {
                    let at = at.unwrap_or(0);
                    after.insert(at, Arc::clone(value.entry()));
                    writer.insert(at, value);
                }
                (_, Some(at), None) => {
                    let other = usize::from(*b) % after.len();
                    after.swap(at, other);
                    writer.swap(at, other);
                }
                (_, _, value) => {
                    // The vector has no such index: the value was not taken.
                    if let Some(value) = value {
                        value.entry().release(Vec::new());
                        added.pop();
                    }
                }
            }
            assert_eq!(writer.len(), after.len());
            let index = usize::from(*b);
            let id = writer.get(index).map(Value::id);
            assert_eq!(id, after.get(index).map(|entry| entry.id()));
        }
        if publish {
            self.ground.release_all(&removed);
            let taken = writer.publish();
            assert_eq!(taken.len(), removed.len());
            self.model = after;
            for (taken, old) in taken.into_iter().zip(&removed) {
                self.ground.took(Some(taken), Some(old), choice);
            }
        } else {
            // No reader has seen these values, but the vector retires them all the same.
            for entry in &added {
                entry.release(Vec::new());
            }
            drop(writer);
        }
    }

    fn agree(&self) {
        let guard = self.array.rcu().read();
        let model: Vec<u64> = self.model.iter().map(|entry| entry.id()).collect();
        let seen: Vec<u64> = self.array.iter(&guard).map(Value::id).collect();
        assert_eq!(seen, model);
        let back: Vec<u64> = self.array.iter(&guard).rev().map(Value::id).collect();
        assert!(back.iter().eq(model.iter().rev()));
        let beyond = self.array.get(model.len(), &guard);
        assert!(beyond.is_none());
    }
}

/// Checks that a view shows the elements of the time when it was loaded.
fn show(view: &Under<View>) {
    let View { view: slots, shows } = &view.what;
    assert_eq!(slots.len(), shows.len());
    for (at, entry) in shows.iter().enumerate() {
        assert!(!entry.is_done(), "{entry:?} was freed while a view had it");
        assert_eq!(slots[at].id(), entry.id());
        assert_eq!(slots[at].part, [entry.id(); 6]);
    }
}
