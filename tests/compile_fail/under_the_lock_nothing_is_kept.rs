use async_rcu::{GlobalLock, Rcu};
use std::sync::mpsc::Sender;

#[cfg(wrong)]
pub fn f(rcu: &Rcu, lock: &GlobalLock<String>, out: Sender<&'static str>) {
    lock.call(rcu, move |text| drop(out.send(text))); //~ E0521
}

#[cfg(not(wrong))]
pub fn f(rcu: &Rcu, lock: &GlobalLock<String>, out: Sender<String>) {
    lock.call(rcu, move |text| drop(out.send(text.clone())));
}
