use async_rcu::{Rcu, RcuMap};

pub fn f(rcu: &Rcu, map: &RcuMap<u32, u32>) -> u32 {
    let guard = rcu.read();
    let value = map.get(&1, &guard);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *value.unwrap()
}

pub fn g(rcu: &Rcu, map: RcuMap<u32, u32>) -> u32 {
    let guard = rcu.read_owned();
    let value = map.get_or_insert(1, 1, &guard);
    drop(map);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *value
}
