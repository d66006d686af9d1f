//! A panic that is the caller's fault names the caller's line, not a line of the crate.

use async_rcu::{GlobalLock, Rcu, RcuCell, cell::OwnedRcuRef};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

thread_local! {
    /// The locations of this thread's panics, while the test records them.
    static HEARD: RefCell<Option<Vec<(String, u32)>>> = const { RefCell::new(None) };
}

/// Returns the location at which `f` panics. The panic hook is global, and records each thread's
/// panics apart.
fn panic_location(f: impl FnOnce()) -> (String, u32) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let listening = HEARD.with_borrow_mut(|heard| {
                let location = info.location().expect("a location");
                heard
                    .as_mut()
                    .map(|heard| heard.push((location.file().to_owned(), location.line())))
            });
            if listening.is_none() {
                before(info);
            }
        }));
    });
    HEARD.set(Some(Vec::new()));
    let result = catch_unwind(AssertUnwindSafe(f));
    let heard = HEARD.take().expect("only this function takes the record");
    assert!(result.is_err(), "the call has not panicked");
    heard.into_iter().next().expect("a panic")
}

fn swallow<T>(_: T) {}

/// Checks that the expression panics on the line of the macro's name, on which the expression has
/// to stand.
macro_rules! panics_here {
    ($what:expr) => {{
        let line = line!();
        let location = panic_location(|| swallow($what));
        assert_eq!(location, (file!().to_owned(), line), stringify!($what));
    }};
}

#[test]
fn blocking_in_a_section_names_the_caller() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1);
    let retired = cell.swap(2);
    let lock = GlobalLock::new(());
    let guard = lock.try_lock().unwrap();
    let _section = rcu.read();
    panics_here!(rcu.blocking_synchronize());
    panics_here!(rcu.blocking_drain());
    panics_here!(rcu.blocking_drain_timeout(Duration::MAX));
    panics_here!(rcu.blocking_shutdown());
    panics_here!(retired.blocking_wait());
    panics_here!(guard.blocking_drain(&rcu));
}

#[test]
fn blocking_in_an_async_context_names_the_caller() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let rcu = Rcu::new();
        let retired = RcuCell::new_in(&rcu, 1).into_retired();
        let lock = GlobalLock::new(());
        let guard = lock.try_lock().unwrap();
        panics_here!(rcu.blocking_synchronize());
        panics_here!(rcu.blocking_drain());
        panics_here!(rcu.blocking_drain_timeout(Duration::MAX));
        panics_here!(rcu.blocking_shutdown());
        panics_here!(retired.blocking_wait());
        panics_here!(guard.blocking_drain(&rcu));
        panics_here!(lock.blocking_lock());
    });
}

#[test]
fn blocking_in_a_callback_names_the_caller() {
    let lock = GlobalLock::new(());
    let rcu = Rcu::builder().global_lock(&lock).build().unwrap();
    let (checked, is_checked) = std::sync::mpsc::channel();
    let handle = rcu.clone();
    rcu.call(move || {
        let rcu = handle;
        let retired = RcuCell::new_in(&rcu, 1).into_retired();
        panics_here!(rcu.blocking_synchronize());
        panics_here!(rcu.blocking_drain());
        panics_here!(rcu.blocking_shutdown());
        panics_here!(retired.blocking_wait());
        panics_here!(lock.blocking_lock());
        checked.send(()).unwrap();
    });
    // If a panic had another location, the sender is dropped without a message.
    is_checked.recv().unwrap();
}

#[test]
fn what_is_of_another_domain_names_the_caller() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let cell = RcuCell::new_in(&rcu, 1);
    let foreign = RcuCell::new_in(&other, 2);
    let cookie = other.grace_period();
    let retired = foreign.swap(3);
    let mut owned = cell.read_owned();
    let (section, owned_section) = (other.read(), other.read_owned());
    static EMPTY: RcuCell<Option<u32>> = RcuCell::none();
    panics_here!(*cell.load(&section));
    panics_here!(*cell.load(&owned_section));
    panics_here!(*EMPTY.load(&section));
    panics_here!(rcu.has_elapsed(cookie));
    panics_here!(rcu.wait_for(cookie));
    panics_here!(OwnedRcuRef::reload(&mut owned, &foreign));
    panics_here!(rcu.reclaim_all([retired]));
}
