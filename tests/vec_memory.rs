//! What a reader of an `RcuVec` holds up is in proportion to the number of changes, and not to the
//! number of changes times the length. The test counts every byte of the process, so this binary
//! holds no other test.

mod common;

use async_rcu::{Rcu, RcuVec};
use common::allocator::Counting;
use common::within;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The most bytes that a reader holds up for each change.
const EACH: usize = 2 << 10;

/// The most bytes that the domain keeps for later callbacks.
const DOMAIN: usize = 256 << 10;

/// The most spines that a reader holds up, whatever the number of changes is.
const SPINES: usize = 16;

type Change = fn(&RcuVec<u32>, u32);

fn held() -> usize {
    usize::try_from(ALLOCATOR.held()).unwrap()
}

/// Changes an array of `len` elements while a reader is in a section.
fn change_under_a_reader(name: &str, len: u32, change: Change) {
    const CHANGES: u32 = 1_000;
    let spine = len.next_power_of_two() as usize * size_of::<usize>();
    let rcu = Rcu::new();
    let array = RcuVec::new_in(&rcu);
    array.append(0..len);
    let before = held();
    let guard = rcu.read_owned();
    let view = array.load(&guard);
    for n in 0..CHANGES {
        change(&array, n);
        assert_eq!(array.len(), len as usize, "{name}");
    }
    let grown = held().saturating_sub(before);
    let most = SPINES * spine + CHANGES as usize * EACH;
    assert!(grown <= most, "{name}: {CHANGES} changes of {len} elements hold {grown} bytes");
    assert!(view.iter().copied().eq(0..len), "{name}");
    drop(guard);
    rcu.blocking_drain();
    let left = held().saturating_sub(before);
    assert!(left <= 3 * spine + DOMAIN, "{name}: {left} bytes are left of {CHANGES} changes");
}

#[test]
fn a_reader_holds_up_memory_in_proportion_to_the_changes() {
    let changes: [(&str, Change); 5] = [
        ("pop and push", |array, n| {
            drop(array.pop());
            array.push(n);
        }),
        ("pop and append", |array, n| {
            (0..3).for_each(|_| drop(array.pop()));
            array.append([n; 3]);
        }),
        ("replace", |array, n| {
            drop(array.replace(n as usize * 37 % array.len(), n));
        }),
        ("swap_remove and push", |array, n| {
            drop(array.swap_remove(n as usize * 37 % array.len()));
            array.push(n);
        }),
        ("write", |array, n| {
            let mut writer = array.write();
            writer.pop();
            writer.replace(n as usize * 37 % writer.len(), n);
            writer.push(n);
            drop(writer.publish());
        }),
    ];
    within(move || {
        for (name, change) in changes {
            change_under_a_reader(name, 1_000, change);
            change_under_a_reader(name, 20_000, change);
        }
    });
}
