//! `RcuMap` agrees with the standard library's map after random operations of one thread.

use crate::map::Hashes;
use async_rcu::RcuMap;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

#[derive(Clone, Debug)]
enum Op {
    Insert(u8, u32),
    TryInsert(u8, u32),
    Remove(u8),
    RemoveIf(u8, u32),
    GetOrInsert(u8, u32),
    Update(u8, u32),
    Retain(u8),
    Clear,
    Reserve(u8),
    ShrinkToFit,
    Get(u8),
    Iter,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => any::<(u8, u32)>().prop_map(|(k, v)| Op::Insert(k, v)),
        5 => any::<(u8, u32)>().prop_map(|(k, v)| Op::TryInsert(k, v)),
        15 => any::<u8>().prop_map(Op::Remove),
        5 => any::<(u8, u32)>().prop_map(|(k, v)| Op::RemoveIf(k, v)),
        5 => any::<(u8, u32)>().prop_map(|(k, v)| Op::GetOrInsert(k, v)),
        5 => any::<(u8, u32)>().prop_map(|(k, v)| Op::Update(k, v)),
        1 => any::<u8>().prop_map(Op::Retain),
        1 => Just(Op::Clear),
        1 => any::<u8>().prop_map(Op::Reserve),
        1 => Just(Op::ShrinkToFit),
        10 => any::<u8>().prop_map(Op::Get),
        2 => Just(Op::Iter),
    ]
}

/// Runs the operations on both maps, and compares every answer.
fn agree(map: &RcuMap<u8, u32, impl BuildHasher>, ops: &[Op]) {
    let mut model = HashMap::new();
    for op in ops {
        let guard = map.rcu().read();
        match *op {
            Op::Insert(k, v) => assert_eq!(map.insert(k, v).map(|r| *r), model.insert(k, v)),
            Op::TryInsert(k, v) => {
                let there = model.contains_key(&k);
                assert_eq!(map.try_insert(k, v), if there { Err((k, v)) } else { Ok(()) });
                model.entry(k).or_insert(v);
            }
            Op::Remove(k) => assert_eq!(map.remove(&k).map(|r| *r), model.remove(&k)),
            Op::RemoveIf(k, v) => {
                let odd = |value: &u32| (value ^ v) & 1 == 1;
                let expected = model.get(&k).copied().filter(odd);
                assert_eq!(map.remove_if(&k, |_, value| odd(value)).map(|r| *r), expected);
                model.retain(|key, value| *key != k || !odd(value));
            }
            Op::GetOrInsert(k, v) => {
                assert_eq!(map.get_or_insert(k, v, &guard), model.entry(k).or_insert(v));
            }
            Op::Update(k, v) => {
                let old = map.update(&k, |value| value.wrapping_mul(v)).map(|r| *r);
                assert_eq!(old, model.get(&k).copied());
                model.entry(k).and_modify(|value| *value = value.wrapping_mul(v));
            }
            Op::Retain(n) => {
                map.retain(|key, _| key % 4 != n % 4);
                model.retain(|key, _| key % 4 != n % 4);
            }
            Op::Clear => {
                map.clear();
                model.clear();
            }
            Op::Reserve(n) => map.reserve(n.into()),
            Op::ShrinkToFit => map.shrink_to_fit(),
            Op::Get(k) => {
                assert_eq!(map.get(&k, &guard), model.get(&k));
                assert_eq!(map.contains_key(&k, &guard), model.contains_key(&k));
            }
            Op::Iter => {
                let seen: Vec<_> = map.iter(&guard).map(|(k, v)| (*k, *v)).collect();
                assert_eq!(seen.len(), model.len());
                let sorted = BTreeMap::from_iter(seen);
                assert_eq!(sorted, model.iter().map(|(k, v)| (*k, *v)).collect());
            }
        }
        assert_eq!(map.len(), model.len());
    }
    let guard = map.rcu().read();
    for key in 0..=255 {
        assert_eq!(map.get(&key, &guard), model.get(&key));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(100)
    })]

    #[test]
    fn it_does_what_std_does(ops in prop::collection::vec(op(), 0..600)) {
        agree(&RcuMap::new(), &ops);
    }

    #[test]
    fn it_does_what_std_does_with_a_bad_hash(
        ops in prop::collection::vec(op(), 0..300),
        hashes in 1..4u64,
    ) {
        agree(&RcuMap::with_hasher(Hashes(hashes)), &ops);
    }
}
