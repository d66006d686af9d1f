use async_rcu::Rcu;

pub fn f(rcu: &Rcu, value: u32) {
    let value = Box::new(value);
    #[cfg(wrong)]
    rcu.retire_raw(Box::into_raw(value)); //~ E0133
    #[cfg(not(wrong))]
    rcu.retire(value);
}
