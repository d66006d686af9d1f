//! Keeps a process from forking while another thread holds a lock of this crate. In the child, no
//! thread would release that lock.
//!
//! # Protocol
//! A thread takes every lock inside a *pass*: it counts itself in before it locks, unless it is
//! already inside, and out after it has unlocked. A fork *closes* the gate, waits until no other
//! thread is inside, and opens the gate again in both processes. A thread that counts itself in and
//! then finds the gate closed counts itself out again and waits until the gate is open. Both sides
//! change their own state before they look at the other's, and all four accesses are SeqCst. So at
//! least one side sees the other and waits.
//!
//! A thread that is inside may enter again, since the fork waits for it anyway. Threads inside wait
//! only for locks, whose holders are inside too, so the wait is short. Whoever waits sleeps, since
//! a thread of real-time priority that only yielded would keep the threads it waits for from
//! running. A thread that leaves and finds the gate closed raises `left`, on which the forking
//! thread sleeps. The forking thread reads `left` before it counts, so it misses no leaver.
//!
//! A thread may put its [`ThreadNumber`] on a thing that it leaves for other threads. After a fork,
//! the number tells whether the thread exists in the child.
//!
//! On systems without fork, and under loom, all of this does nothing.

pub(crate) use platform::{Pass, ThreadNumber, forks, is_child, on_fork};

#[cfg(not(all(unix, not(rcu_loom))))]
mod platform {
    #[derive(Debug)]
    pub(crate) struct Pass;

    impl Pass {
        #[inline(always)]
        pub(crate) fn enter() -> Self {
            Self
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct ThreadNumber;

    impl ThreadNumber {
        #[inline(always)]
        pub(crate) fn current() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn was_left_behind(self) -> bool {
            false
        }
    }

    pub(crate) fn is_child() -> bool {
        false
    }

    pub(crate) fn forks() -> usize {
        0
    }

    pub(crate) fn on_fork(_in_child: fn()) {}
}

/// Unix: by `pthread_atfork`.
#[cfg(all(unix, not(rcu_loom)))]
mod platform {
    use crate::sys::stderr::tell;
    use crossbeam_utils::CachePadded;
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(rcu_portable)))]
    use rustix::thread::futex::{self, Flags};
    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    const STRIPES: usize = 16;

    /// How many threads are inside, spread over several cache lines.
    static INSIDE: [CachePadded<AtomicUsize>; STRIPES] =
        [const { CachePadded::new(AtomicUsize::new(0)) }; STRIPES];
    /// Set while a thread forks. One thread forks at a time.
    static CLOSED: AtomicU32 = AtomicU32::new(OPEN);
    const OPEN: u32 = 0;
    const SHUT: u32 = 1;
    /// Counts the threads that have left while the gate was closed.
    static LEFT: AtomicU32 = AtomicU32::new(0);
    static IN_CHILD: OnceLock<fn()> = OnceLock::new();
    static FORKS: AtomicUsize = AtomicUsize::new(0);
    /// The next thread's number.
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    /// `NEXT` at the last fork: threads with lower numbers were left behind, except `SURVIVOR`,
    /// which made the fork. 0 in a process that is not a forked child.
    static OLD: AtomicUsize = AtomicUsize::new(0);
    static SURVIVOR: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        static DEPTH: Cell<usize> = const { Cell::new(0) };
        /// 0 until the thread has a number.
        static NUMBER: Cell<usize> = const { Cell::new(0) };
    }

    #[inline]
    fn number() -> usize {
        let mut mine = NUMBER.get();
        if mine == 0 {
            mine = NEXT.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(mine);
        }
        mine
    }

    /// Returns the current thread's part of `INSIDE`.
    #[inline]
    fn stripe() -> &'static AtomicUsize {
        &INSIDE[number() % STRIPES]
    }

    /// A thread's number, which no other thread ever has.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct ThreadNumber(usize);

    impl ThreadNumber {
        pub(crate) fn current() -> Self {
            Self(number())
        }

        /// Returns whether a fork has left the thread behind.
        pub(crate) fn was_left_behind(self) -> bool {
            self.0 < OLD.load(Ordering::Relaxed) && self.0 != SURVIVOR.load(Ordering::Relaxed)
        }
    }

    /// Keeps the current thread inside until the pass is dropped. Not `Send`.
    #[derive(Debug)]
    pub(crate) struct Pass(PhantomData<*mut ()>);

    impl Pass {
        #[inline]
        pub(crate) fn enter() -> Self {
            let depth = DEPTH.get();
            if depth == 0 {
                let inside = stripe();
                inside.fetch_add(1, Ordering::SeqCst);
                // Pairs with `prepare`, which closes and then counts.
                while is_closed() {
                    wait_outside(inside);
                }
            }
            DEPTH.set(depth + 1);
            Self(PhantomData)
        }
    }

    #[inline]
    fn is_closed() -> bool {
        CLOSED.load(Ordering::SeqCst) == SHUT
    }

    #[cold]
    fn wait_outside(inside: &AtomicUsize) {
        inside.fetch_sub(1, Ordering::SeqCst);
        note_left();
        while is_closed() {
            sleep_while(&CLOSED, SHUT);
        }
        inside.fetch_add(1, Ordering::SeqCst);
    }

    #[cold]
    fn note_left() {
        LEFT.fetch_add(1, Ordering::SeqCst);
        wake(&LEFT);
    }

    /// Sleeps until the word is changed and woken, or for no reason.
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(rcu_portable)))]
    fn sleep_while(word: &AtomicU32, value: u32) {
        let _ = futex::wait(word, Flags::PRIVATE, value, None);
    }

    #[cfg(all(any(target_os = "linux", target_os = "android"), not(rcu_portable)))]
    fn wake(word: &AtomicU32) {
        let _ = futex::wake(word, Flags::PRIVATE, i32::MAX as u32);
    }

    /// A lock of std would be left locked in the child.
    #[cfg(not(all(any(target_os = "linux", target_os = "android"), not(rcu_portable))))]
    fn sleep_while(_word: &AtomicU32, _value: u32) {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }

    #[cfg(not(all(any(target_os = "linux", target_os = "android"), not(rcu_portable))))]
    fn wake(_word: &AtomicU32) {}

    impl Drop for Pass {
        #[inline]
        fn drop(&mut self) {
            let depth = DEPTH.get() - 1;
            DEPTH.set(depth);
            if depth == 0 {
                stripe().fetch_sub(1, Ordering::SeqCst);
                // Pairs with `prepare`, which closes and then counts.
                if is_closed() {
                    note_left();
                }
            }
        }
    }

    /// Runs `in_child` in each later forked child, with all locks free. Only the first call counts.
    pub(crate) fn on_fork(in_child: fn()) {
        if IN_CHILD.set(in_child).is_err() {
            return;
        }
        // SAFETY: the three are functions of this program, which stay as long as it runs.
        let error = unsafe { libc::pthread_atfork(Some(prepare), Some(open), Some(child)) };
        if error != 0 {
            tell(format_args!(
                "pthread_atfork fails with error {error}: RCU domains will not work in the \
                 children of forks"
            ));
        }
    }

    /// Returns whether this process is a forked child whose parent had called [`on_fork`].
    pub(crate) fn is_child() -> bool {
        forks() != 0
    }

    /// Returns how many forks lie between the first process that called [`on_fork`] and this one.
    pub(crate) fn forks() -> usize {
        FORKS.load(Ordering::Relaxed)
    }

    /// Returns 1 if the forking thread itself is inside, else 0.
    fn own() -> usize {
        usize::from(DEPTH.get() != 0)
    }

    extern "C" fn prepare() {
        while CLOSED.swap(SHUT, Ordering::SeqCst) == SHUT {
            sleep_while(&CLOSED, SHUT);
        }
        // Pairs with `Pass::enter` and with its drop.
        let count = || INSIDE.iter().map(|n| n.load(Ordering::SeqCst)).sum::<usize>();
        loop {
            let left = LEFT.load(Ordering::SeqCst);
            if count() <= own() {
                return;
            }
            sleep_while(&LEFT, left);
        }
    }

    extern "C" fn open() {
        CLOSED.store(OPEN, Ordering::SeqCst);
        wake(&CLOSED);
    }

    extern "C" fn child() {
        // A thread that found the gate closed may have been left behind before it counted itself
        // out.
        for inside in &INSIDE {
            inside.store(0, Ordering::SeqCst);
        }
        stripe().store(own(), Ordering::SeqCst);
        SURVIVOR.store(number(), Ordering::SeqCst);
        OLD.store(NEXT.load(Ordering::Relaxed), Ordering::SeqCst);
        FORKS.fetch_add(1, Ordering::SeqCst);
        open();
        if let Some(in_child) = IN_CHILD.get() {
            in_child();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn passes_nest_and_are_counted_once() {
            let before = DEPTH.get();
            let outer = Pass::enter();
            let inner = Pass::enter();
            assert_eq!(DEPTH.get(), before + 2);
            drop(outer);
            assert!(stripe().load(Ordering::SeqCst) >= 1);
            drop(inner);
            assert_eq!(DEPTH.get(), before);
        }

        #[test]
        fn a_thread_that_comes_while_the_gate_is_closed_waits_outside() {
            // As in a fork, with the threads of other tests coming and going.
            prepare();
            let comer = std::thread::spawn(|| drop(Pass::enter()));
            let crowded = INSIDE.iter().filter(|n| n.load(Ordering::SeqCst) > 1);
            assert_eq!(crowded.count(), 0, "at most one that is about to go out again");
            open();
            comer.join().unwrap();
        }
    }
}
