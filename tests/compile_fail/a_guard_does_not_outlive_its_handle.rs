use async_rcu::Rcu;

pub fn f() {
    let _guard;
    let rcu = Rcu::new();
    #[cfg(wrong)]
    {
        _guard = rcu.read(); //~ E0597
    }
    #[cfg(not(wrong))]
    {
        _guard = rcu.read_owned();
    }
}
