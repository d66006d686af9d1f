use async_rcu::Rcu;

pub fn f(rcu: &Rcu) {
    #[cfg(wrong)]
    let guard = rcu.read();
    #[cfg(not(wrong))]
    let guard = rcu.read_owned();
    std::thread::scope(|scope| {
        scope.spawn(|| _ = &guard); //~ E0277
    });
}
