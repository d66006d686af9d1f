use async_rcu::{Rcu, RcuMap};

pub fn f(rcu: &Rcu, map: RcuMap<u32, u32>) -> u32 {
    let guard = rcu.read();
    let values = map.values(&guard);
    drop(map);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    values.sum()
}
