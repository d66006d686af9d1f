use async_rcu::Rcu;

pub fn f(rcu: &Rcu) {
    let text = String::from("on the stack");
    #[cfg(wrong)]
    rcu.call(|| println!("{text}")); //~ E0373
    #[cfg(not(wrong))]
    rcu.call(move || println!("{text}"));
}
