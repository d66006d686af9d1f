use async_rcu::{Rcu, RcuList, RcuPtr, RcuVec};

pub fn list(rcu: &Rcu, list: &RcuList<u32>) -> u32 {
    let guard = rcu.read();
    let front = list.front(&guard).unwrap();
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *front
}

pub fn array(rcu: &Rcu, array: &RcuVec<u32>) -> u32 {
    let guard = rcu.read();
    let first = array.get(0, &guard).unwrap();
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *first
}

pub fn pointer(rcu: &Rcu, pointer: &RcuPtr<u32>) -> u32 {
    let guard = rcu.read();
    let seen = pointer.load(&guard).unwrap();
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *seen
}

pub fn lost(rcu: &Rcu, pointer: &RcuPtr<u32>) -> u32 {
    let guard = rcu.read();
    let lost = pointer.compare_exchange(None, None, &guard).unwrap_err();
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *lost.current.unwrap()
}

// The collection may be dropped before the guard.
pub fn outlived(rcu: &Rcu, list: RcuList<u32>, array: RcuVec<u32>, pointer: RcuPtr<u32>) -> u32 {
    let guard = rcu.read();
    let walk = list.iter(&guard);
    let view = array.load(&guard);
    let seen = pointer.load(&guard).unwrap();
    drop((list, array, pointer));
    walk.sum::<u32>() + view[0] + *seen
}
