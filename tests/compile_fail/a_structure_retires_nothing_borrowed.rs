use async_rcu::Rcu;

/// # Safety
/// As `Rcu::call_unchecked`.
pub unsafe fn f(rcu: &Rcu) {
    let text = String::from("on the stack");
    #[cfg(wrong)]
    // SAFETY: none.
    unsafe { rcu.call_unchecked(|| println!("{text}")) } //~ E0373
    #[cfg(not(wrong))]
    // SAFETY: a `String` may be dropped on any thread.
    unsafe { rcu.call_unchecked(move || println!("{text}")) }
}
