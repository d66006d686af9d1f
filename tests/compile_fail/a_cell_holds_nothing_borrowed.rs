use async_rcu::{Rcu, RcuCell};

pub fn f(rcu: &Rcu) {
    #[cfg(wrong)]
    let text = String::from("on the stack");
    #[cfg(not(wrong))]
    let text = "for ever";
    let _cell = RcuCell::new_in(rcu, &*text); //~ E0597
}
