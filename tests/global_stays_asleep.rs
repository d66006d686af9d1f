//! Only its first use starts the global domain. Statics do not start it, nor do guards that a
//! static refuses. A process has one global domain, so this binary has a single test.

use async_rcu::{Rcu, RcuCell, error::InstallError};
use std::panic::{AssertUnwindSafe, catch_unwind};

static CELL: RcuCell<Option<u32>> = RcuCell::none();

#[test]
fn a_static_and_a_guard_that_it_refuses_do_not_start_the_global_domain() {
    let other = Rcu::new();
    let own = RcuCell::new_in(&other, 1);
    let refused = catch_unwind(AssertUnwindSafe(|| {
        CELL.load(&other.read());
    }));
    assert!(refused.is_err());
    drop(own.swap(2));
    other.blocking_drain();
    drop(RcuCell::<Option<u32>>::none());

    // The global domain can still be installed, so it was not started.
    let installed = Rcu::builder().install_global().expect("not started yet");
    assert_eq!(*CELL.load(&installed.read()), None);
    assert_eq!(*RcuCell::new(3).load(&installed.read()), 3);
    let again = Rcu::builder().install_global();
    assert!(matches!(again, Err(InstallError::AlreadyStarted)));
}
