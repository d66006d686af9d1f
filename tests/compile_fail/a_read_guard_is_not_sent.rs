use async_rcu::Rcu;

pub fn f(rcu: &'static Rcu) {
    #[cfg(wrong)]
    let guard = rcu.read();
    #[cfg(not(wrong))]
    let guard = rcu.read_owned();
    std::thread::spawn(move || drop(guard)); //~ E0277
}
