//! The global domain can be installed once, before its first use. A process has only one, so this
//! binary has a single test.

mod common;

use async_rcu::{Rcu, error::InstallError};
use common::{receive, thread_name, within};
use std::sync::mpsc;

#[test]
fn is_the_installed_one_and_is_installed_once() {
    within(|| {
        let installed = Rcu::builder().name("mine").install_global().unwrap();
        assert!(std::ptr::eq(installed, Rcu::global()));
        assert!(std::ptr::eq(Rcu::global(), Rcu::global()));
        assert!(format!("{installed:?}").contains("mine"));

        let again = Rcu::builder().name("yours").install_global();
        assert!(matches!(again, Err(InstallError::AlreadyStarted)));

        let (tell, told) = mpsc::channel();
        Rcu::global().call(move || tell.send(thread_name()).unwrap());
        assert_eq!(receive(&told), "rcu-mine-cb");

        // The global domain can be stopped and starts again, like any domain.
        for _ in 0..3 {
            let guard = Rcu::global().read();
            drop(guard);
            Rcu::global().blocking_shutdown();
            Rcu::global().blocking_synchronize();
            let (tell, told) = mpsc::channel();
            Rcu::global().call(move || tell.send(()).unwrap());
            receive(&told);
        }

        // A new domain is not the global one.
        let private = Rcu::new();
        let cookie = private.grace_period();
        assert!(std::panic::catch_unwind(|| Rcu::global().has_elapsed(cookie)).is_err());
        assert_eq!(cookie.partial_cmp(&Rcu::global().grace_period()), None);
    });
}
