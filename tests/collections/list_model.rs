//! `RcuList` agrees with the standard library's `VecDeque` after each random operation.

use async_rcu::{RcuList, collections::ListWriter};
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Step {
    PushFront(u32),
    PushBack(u32),
    PopFront,
    Append(Vec<u32>),
    Retain(u32),
    Clear,
    Write(Vec<Edit>),
}

#[derive(Clone, Debug)]
enum Edit {
    Next,
    ToFront,
    Before(u32),
    After(u32),
    Remove,
    Replace(u32),
    PushFront(u32),
    PushBack(u32),
    PopFront,
    Retain(u32),
    Clear,
}

fn edit() -> impl Strategy<Value = Edit> {
    let n = any::<u32>();
    prop_oneof![
        8 => Just(Edit::Next),
        2 => Just(Edit::ToFront),
        2 => n.prop_map(Edit::Before),
        2 => n.prop_map(Edit::After),
        3 => Just(Edit::Remove),
        2 => n.prop_map(Edit::Replace),
        2 => n.prop_map(Edit::PushFront),
        2 => n.prop_map(Edit::PushBack),
        2 => Just(Edit::PopFront),
        1 => (2u32..5).prop_map(Edit::Retain),
        1 => Just(Edit::Clear),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u32>();
    prop_oneof![
        n.prop_map(Step::PushFront),
        n.prop_map(Step::PushBack),
        Just(Step::PopFront),
        prop::collection::vec(n, 0..8).prop_map(Step::Append),
        (2u32..5).prop_map(Step::Retain),
        Just(Step::Clear),
        prop::collection::vec(edit(), 1..20).prop_map(Step::Write),
    ]
}

/// Applies an edit to the writer, and to a deque with the writer's index.
fn apply(writer: &mut ListWriter<'_, u32>, model: &mut VecDeque<u32>, at: &mut usize, edit: Edit) {
    match edit {
        Edit::Next => {
            writer.move_next();
            *at = (*at + 1).min(model.len());
        }
        Edit::ToFront => {
            writer.move_to_front();
            *at = 0;
        }
        Edit::Before(n) => {
            writer.insert_before(n);
            model.insert(*at, n);
            *at += 1;
        }
        Edit::After(n) => {
            writer.insert_after(n);
            if *at == model.len() {
                model.push_back(n);
                *at += 1;
            } else {
                model.insert(*at + 1, n);
            }
        }
        Edit::Remove => assert_eq!(writer.remove().map(|old| *old), model.remove(*at)),
        Edit::Replace(n) => match model.get_mut(*at) {
            Some(place) => assert_eq!(*writer.replace(n).unwrap(), std::mem::replace(place, n)),
            None => assert_eq!(writer.replace(n).unwrap_err(), n),
        },
        Edit::PushFront(n) => {
            writer.push_front(n);
            model.push_front(n);
            *at += 1;
        }
        Edit::PushBack(n) => {
            writer.push_back(n);
            *at += usize::from(*at == model.len());
            model.push_back(n);
        }
        Edit::PopFront => {
            assert_eq!(writer.pop_front().map(|old| *old), model.pop_front());
            *at = at.saturating_sub(1);
        }
        Edit::Retain(n) => {
            writer.retain(|value| value % n != 0);
            model.retain(|value| value % n != 0);
            *at = 0;
        }
        Edit::Clear => {
            writer.clear();
            model.clear();
            *at = 0;
        }
    }
    assert_eq!(writer.current(), model.get(*at));
    assert_eq!((writer.len(), writer.is_empty()), (model.len(), model.is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_does_what_a_deque_does(steps in prop::collection::vec(step(), 1..40)) {
        let list = RcuList::new();
        let mut model = VecDeque::new();
        let rcu = list.rcu();
        for step in steps {
            match step {
                Step::PushFront(n) => {
                    list.push_front(n);
                    model.push_front(n);
                }
                Step::PushBack(n) => {
                    list.push_back(n);
                    model.push_back(n);
                }
                Step::PopFront => {
                    prop_assert_eq!(list.pop_front().map(|old| *old), model.pop_front());
                }
                Step::Append(all) => {
                    list.append(all.iter().copied());
                    model.extend(all);
                }
                Step::Retain(n) => {
                    list.retain(|value| value % n != 0);
                    model.retain(|value| value % n != 0);
                }
                Step::Clear => {
                    list.clear();
                    model.clear();
                }
                Step::Write(edits) => {
                    let mut writer = list.write();
                    let mut at = 0;
                    for edit in edits {
                        apply(&mut writer, &mut model, &mut at, edit);
                        let guard = rcu.read();
                        prop_assert!(list.iter(&guard).eq(&model), "the edit is not visible");
                    }
                }
            }
            let guard = rcu.read();
            prop_assert!(list.iter(&guard).eq(&model));
            prop_assert_eq!(list.front(&guard), model.front());
            prop_assert_eq!(list.len(), model.len());
        }
    }
}
