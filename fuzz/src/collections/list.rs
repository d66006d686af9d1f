//! `RcuList`, compared with a `VecDeque`.

use super::super::ledger::{Entry, Value};
use super::{Ground, Op, SECTIONS, Under, choose};
use async_rcu::{
    RcuList,
    collections::{ListIter, ListWriter},
};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// The largest number of elements.
const MOST: usize = 200;

type Model = VecDeque<Arc<Entry>>;

/// A walk, and the elements that it has to see.
struct ListWalk {
    iter: ListIter<'static, Value>,
    /// The elements at the beginning of the walk, in order, without those that were taken out
    /// since.
    always: Vec<Arc<Entry>>,
    met: Vec<u64>,
}

struct ListRun {
    ground: Ground,
    list: RcuList<Value>,
    model: Model,
    walks: Vec<Under<ListWalk>>,
}

pub(super) fn run(ground: Ground, ops: &[Op]) {
    let mut run = ListRun {
        list: RcuList::new_in(&ground.rcu),
        ground,
        model: Model::new(),
        walks: Vec::new(),
    };
    let mut ops = ops.iter().copied();
    while let Some(op) = ops.next() {
        run.step(op, &mut ops);
        let in_list: BTreeSet<u64> = run.model.iter().map(|entry| entry.id()).collect();
        for walk in &mut run.walks {
            walk.what.always.retain(|entry| in_list.contains(&entry.id()));
        }
        assert_eq!(run.list.len(), run.model.len());
        run.ground.board.assert_clean();
    }
    run.agree();
    run.ground.release_all(&run.model);
    let ListRun { list, walks, .. } = run;
    drop(list);
    for mut walk in walks {
        while advance(&mut walk) {}
        finished(&walk.what);
    }
}

impl ListRun {
    fn step(&mut self, op: Op, rest: &mut impl Iterator<Item = Op>) {
        let Op { code, a, b, c } = op;
        match code % 16 {
            0 | 1 => {
                let value = self.new_value(a % 2 == 0);
                match a % 2 {
                    0 => self.list.push_back(value),
                    _ => self.list.push_front(value),
                }
            }
            2 => {
                let values = self.ground.values(usize::from(a % 16));
                let entries = values.iter().map(|value| Arc::clone(value.entry()));
                self.model.extend(entries);
                self.list.append(values);
            }
            3 => {
                let first = self.model.pop_front();
                if let Some(first) = &first {
                    self.ground.release(first);
                }
                let taken = self.list.pop_front();
                self.ground.took(taken, first.as_ref(), c);
            }
            4 => {
                let keep = |id: u64| id % (2 + u64::from(a % 5)) != 0;
                self.ground.release_all(self.model.iter().filter(|entry| !keep(entry.id())));
                self.list.retain(|value| keep(value.id()));
                self.model.retain(|entry| keep(entry.id()));
            }
            5 if a % 4 == 0 => {
                self.ground.release_all(&self.model);
                self.list.clear();
                self.model.clear();
            }
            6..=8 => {
                let edits: Vec<Op> = rest.take(usize::from(a % 16)).collect();
                self.write(&edits);
            }
            9 if self.walks.len() < SECTIONS => {
                let walk = Under::begin(&mut self.ground, |guard| ListWalk {
                    iter: self.list.iter(guard),
                    always: self.model.iter().cloned().collect(),
                    met: Vec::new(),
                });
                self.walks.push(walk);
            }
            10..=12 => {
                if let Some(index) = choose(a, self.walks.len()) {
                    let walk = &mut self.walks[index];
                    let more = (0..=b % 16).all(|_| advance(walk));
                    if !more {
                        let walk = self.walks.swap_remove(index);
                        finished(&walk.what);
                    }
                }
            }
            13 => {
                if let Some(index) = choose(a, self.walks.len()) {
                    drop(self.walks.swap_remove(index));
                }
            }
            14 => self.agree(),
            _ => self.ground.step(a),
        }
        if self.model.len() > MOST {
            self.ground.release_all(&self.model);
            self.list.clear();
            self.model.clear();
        }
    }

    fn new_value(&mut self, back: bool) -> Value {
        let value = self.ground.value();
        let entry = Arc::clone(value.entry());
        match back {
            true => self.model.push_back(entry),
            false => self.model.push_front(entry),
        }
        value
    }

    fn agree(&self) {
        let guard = self.list.rcu().read();
        let seen: Vec<u64> = self.list.iter(&guard).map(Value::id).collect();
        let model: Vec<u64> = self.model.iter().map(|entry| entry.id()).collect();
        assert_eq!(seen, model);
        assert_eq!(self.list.front(&guard).map(Value::id), model.first().copied());
    }

    /// Makes several edits through one writer, while walks are under way.
    fn write(&mut self, edits: &[Op]) {
        let mut writer = self.list.write();
        let mut at = 0;
        for edit in edits {
            apply(&mut writer, &mut self.ground, &mut self.model, &mut at, *edit);
            let current = writer.current().map(Value::id);
            assert_eq!(current, self.model.get(at).map(|entry| entry.id()));
            assert_eq!(writer.len(), self.model.len());
        }
    }
}

/// Makes an edit; `at` is the position of the writer.
fn apply(
    writer: &mut ListWriter<'_, Value>,
    ground: &mut Ground,
    model: &mut Model,
    at: &mut usize,
    edit: Op,
) {
    let Op { code, a, c, .. } = edit;
    match code % 12 {
        0..=2 => {
            writer.move_next();
            *at = (*at + 1).min(model.len());
        }
        3 => {
            writer.move_to_front();
            *at = 0;
        }
        4 => {
            let value = ground.value();
            model.insert(*at, Arc::clone(value.entry()));
            writer.insert_before(value);
            *at += 1;
        }
        5 => {
            let value = ground.value();
            match *at == model.len() {
                true => {
                    model.push_back(Arc::clone(value.entry()));
                    *at += 1;
                }
                false => model.insert(*at + 1, Arc::clone(value.entry())),
            }
            writer.insert_after(value);
        }
        6 => {
            let old = model.remove(*at);
            if let Some(old) = &old {
                ground.release(old);
            }
            ground.took(writer.remove(), old.as_ref(), c);
        }
        7 => {
            let value = ground.value();
            match model.get_mut(*at) {
                Some(place) => {
                    let old = std::mem::replace(place, Arc::clone(value.entry()));
                    ground.release(&old);
                    let taken = writer.replace(value).expect("the writer is at an element");
                    ground.took(Some(taken), Some(&old), c);
                }
                None => {
                    let value = writer.replace(value).expect_err("the writer is at the end");
                    value.entry().release(Vec::new());
                }
            }
        }
        8 => {
            let value = ground.value();
            model.push_front(Arc::clone(value.entry()));
            writer.push_front(value);
            *at += 1;
        }
        9 => {
            let value = ground.value();
            *at += usize::from(*at == model.len());
            model.push_back(Arc::clone(value.entry()));
            writer.push_back(value);
        }
        10 => {
            let first = model.pop_front();
            if let Some(first) = &first {
                ground.release(first);
            }
            ground.took(writer.pop_front(), first.as_ref(), c);
            *at = at.saturating_sub(1);
        }
        _ => {
            let keep = |id: u64| id % (2 + u64::from(a % 5)) != 0;
            ground.release_all(model.iter().filter(|entry| !keep(entry.id())));
            writer.retain(|value| keep(value.id()));
            model.retain(|entry| keep(entry.id()));
            *at = 0;
        }
    }
}

/// Goes one step. Returns `false` at the end of the walk.
fn advance(walk: &mut Under<ListWalk>) -> bool {
    let Some(value) = walk.what.iter.next() else {
        return false;
    };
    let id = walk.see(value);
    assert!(!walk.what.met.contains(&id), "a walk meets {id} twice");
    walk.what.met.push(id);
    walk.check();
    true
}

/// Checks that a whole walk has met, in order, all elements that stayed in the list.
fn finished(walk: &ListWalk) {
    let always: Vec<u64> = walk.always.iter().map(|entry| entry.id()).collect();
    let mut met = walk.met.clone();
    met.retain(|id| always.contains(id));
    assert_eq!(met, always, "the elements that stayed during a walk");
}
