//! `RcuPtr`, compared with an `Option`.

use super::super::ledger::{Entry, Value};
use super::{Ground, Op, SECTIONS, Under, choose};
use async_rcu::RcuPtr;
use std::sync::Arc;

/// A reference that was loaded in a section.
type Loaded = Under<Option<&'static Value>>;

pub(super) fn run(mut ground: Ground, ops: &[Op]) {
    let pointer = RcuPtr::null_in(&ground.rcu);
    let mut model: Option<Arc<Entry>> = None;
    let mut loaded: Vec<Loaded> = Vec::new();
    for Op { code, a, b, c } in ops.iter().copied() {
        let value = (b % 4 != 0).then(|| Box::new(ground.value()));
        let entry = value.as_ref().map(|value| Arc::clone(value.entry()));
        // This value is used below, or dropped here.
        let value = match code % 8 {
            0 | 1 => {
                let old = std::mem::replace(&mut model, entry);
                ground.release_all(&old);
                match code % 8 {
                    0 => pointer.store(value),
                    _ => {
                        let taken = pointer.swap(value);
                        ground.took(taken, old.as_ref(), c);
                    }
                }
                None
            }
            2 | 3 => {
                let Some(index) = choose(a, loaded.len()) else {
                    release(value);
                    continue;
                };
                let held = &loaded[index];
                let same = held.what.map(Value::id) == model.as_ref().map(|entry| entry.id());
                if same {
                    ground.release_all(&model);
                }
                match pointer.compare_exchange(held.what, value, held.guard()) {
                    Ok(taken) => {
                        assert!(same, "`compare_exchange` replaced another value");
                        let old = std::mem::replace(&mut model, entry);
                        ground.took(taken, old.as_ref(), c);
                        None
                    }
                    Err(error) => {
                        assert!(!same, "`compare_exchange` refused the current value");
                        let current = error.current.map(Value::id);
                        assert_eq!(current, model.as_ref().map(|entry| entry.id()));
                        error.new
                    }
                }
            }
            4 if loaded.len() < SECTIONS => {
                let mut held = Under::begin(&mut ground, |guard| pointer.load(guard));
                let id = held.what.map(|value| held.see(value));
                assert_eq!(id, model.as_ref().map(|entry| entry.id()));
                loaded.push(held);
                value
            }
            5 => {
                if let Some(index) = choose(a, loaded.len()) {
                    drop(loaded.swap_remove(index));
                }
                value
            }
            6 => {
                loaded.iter().for_each(Under::check);
                value
            }
            _ => {
                ground.step(a);
                value
            }
        };
        release(value);
        assert_eq!(pointer.is_null(), model.is_none());
        ground.board.assert_clean();
    }
    ground.release_all(&model);
    let taken = pointer.into_retired();
    ground.took(taken, model.as_ref(), 1);
}

/// Drops a value that no structure has had.
fn release(value: Option<Box<Value>>) {
    if let Some(value) = value {
        value.entry().release(Vec::new());
    }
}
