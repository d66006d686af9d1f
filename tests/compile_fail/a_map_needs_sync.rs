use async_rcu::RcuMap;

#[cfg(wrong)]
pub type Value = std::cell::Cell<u32>;
#[cfg(not(wrong))]
pub type Value = std::sync::atomic::AtomicU32;

pub struct Counters {
    pub map: RcuMap<u32, Value>, //~ E0277
}
