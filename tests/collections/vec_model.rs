//! `RcuVec` agrees with the standard library's `Vec` after each random operation.

use async_rcu::{Rcu, RcuVec, collections::VecView};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push(u32),
    Pop,
    Append(Vec<u32>),
    Replace(usize, u32),
    SwapRemove(usize),
    Clear,
    Look,
    /// A grace period elapses, after all views are dropped.
    Elapse,
    Write(Vec<Edit>, bool),
}

#[derive(Clone, Debug)]
enum Edit {
    Push(u32),
    Pop,
    Replace(usize, u32),
    SwapRemove(usize),
    Remove(usize),
    Insert(usize, u32),
    Swap(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let (n, at) = (any::<u32>(), any::<usize>());
    prop_oneof![
        3 => n.prop_map(Edit::Push),
        1 => Just(Edit::Pop),
        1 => (at, n).prop_map(|(at, n)| Edit::Replace(at, n)),
        1 => at.prop_map(Edit::SwapRemove),
        1 => at.prop_map(Edit::Remove),
        1 => (at, n).prop_map(|(at, n)| Edit::Insert(at, n)),
        1 => (at, at).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (n, at) = (any::<u32>(), any::<usize>());
    prop_oneof![
        8 => n.prop_map(Step::Push),
        5 => Just(Step::Pop),
        1 => prop::collection::vec(n, 0..8).prop_map(Step::Append),
        2 => (at, n).prop_map(|(at, n)| Step::Replace(at, n)),
        2 => at.prop_map(Step::SwapRemove),
        1 => Just(Step::Clear),
        4 => Just(Step::Look),
        1 => Just(Step::Elapse),
        1 => (prop::collection::vec(edit(), 0..12), any::<bool>())
            .prop_map(|(edits, publish)| Step::Write(edits, publish)),
    ]
}

/// Applies an edit to the writer and to a copy of the model. Returns the removed element.
fn apply(
    writer: &mut async_rcu::collections::VecWriter<'_, u32>,
    copy: &mut Vec<u32>,
    edit: Edit,
) -> Option<u32> {
    let len = copy.len();
    let mut removed = None;
    match edit {
        Edit::Push(n) => {
            writer.push(n);
            copy.push(n);
        }
        Edit::Pop => {
            removed = copy.pop();
            assert_eq!(writer.pop(), removed.is_some());
        }
        Edit::Replace(at, n) if len > 0 => {
            writer.replace(at % len, n);
            removed = Some(std::mem::replace(&mut copy[at % len], n));
        }
        Edit::SwapRemove(at) if len > 0 => {
            writer.swap_remove(at % len);
            removed = Some(copy.swap_remove(at % len));
        }
        Edit::Remove(at) if len > 0 => {
            writer.remove(at % len);
            removed = Some(copy.remove(at % len));
        }
        Edit::Insert(at, n) => {
            writer.insert(at % (len + 1), n);
            copy.insert(at % (len + 1), n);
        }
        Edit::Swap(a, b) if len > 0 => {
            writer.swap(a % len, b % len);
            copy.swap(a % len, b % len);
        }
        _ => {}
    }
    assert!((0..=copy.len()).all(|at| writer.get(at) == copy.get(at)));
    assert_eq!((writer.len(), writer.get(0)), (copy.len(), copy.first()));
    removed
}

fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let rcu = Rcu::new();
    let array = RcuVec::new_in(&rcu);
    let mut model: Vec<u32> = Vec::new();
    // The views of earlier steps, with their elements.
    let mut guard = rcu.read();
    let mut steps = steps.into_iter().peekable();
    while steps.peek().is_some() {
        let mut views: Vec<(VecView<'_, u32>, Vec<u32>)> = Vec::new();
        for step in steps.by_ref() {
            let len = model.len();
            match step {
                Step::Push(n) => {
                    array.push(n);
                    model.push(n);
                }
                Step::Pop => prop_assert_eq!(array.pop().map(|old| *old), model.pop()),
                Step::Append(all) => {
                    array.append(all.iter().copied());
                    model.extend(all);
                }
                Step::Replace(at, n) if len > 0 => {
                    let old = std::mem::replace(&mut model[at % len], n);
                    prop_assert_eq!(*array.replace(at % len, n), old);
                }
                Step::SwapRemove(at) if len > 0 => {
                    prop_assert_eq!(*array.swap_remove(at % len), model.swap_remove(at % len));
                }
                Step::Clear => {
                    array.clear();
                    model.clear();
                }
                Step::Look => views.push((array.load(&guard), model.clone())),
                Step::Elapse => break,
                Step::Write(edits, publish) => {
                    let mut copy = model.clone();
                    let mut removed = Vec::new();
                    let mut writer = array.write();
                    for edit in edits {
                        removed.extend(apply(&mut writer, &mut copy, edit));
                        prop_assert!(
                            array.iter(&guard).eq(&model),
                            "an edit is visible before it is published"
                        );
                    }
                    if publish {
                        let old = writer.publish();
                        prop_assert!(old.iter().map(|old| **old).eq(removed));
                        model = copy;
                    } else {
                        drop(writer);
                    }
                }
                _ => {}
            }
            prop_assert!(array.iter(&guard).eq(&model));
            prop_assert_eq!(array.get(model.len(), &guard), None);
            prop_assert_eq!(array.get(0, &guard), model.first());
            prop_assert_eq!(array.len(), model.len());
            for (view, shown) in &views {
                prop_assert!(view.iter().eq(shown), "a view has changed");
            }
        }
        drop(guard);
        rcu.blocking_synchronize();
        guard = rcu.read();
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_does_what_a_vec_does(steps in prop::collection::vec(step(), 1..80)) {
        check(steps)?;
    }
}
