//! A cookie names a grace period, which the caller can ask about and wait for later.

mod common;

use async_rcu::{GracePeriod, Rcu};
use common::{elapses, panic_message, settle, started, until};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::task::{Context, Poll, Waker};

fn poll_once(future: impl Future<Output = ()>) -> Poll<()> {
    let mut context = Context::from_waker(Waker::noop());
    std::pin::pin!(future).poll(&mut context)
}

#[test]
fn grace_period_starts_none() {
    let rcu = Rcu::new();
    let before = rcu.stats().grace_periods;
    let cookies: Vec<GracePeriod> = (0..100).map(|_| rcu.grace_period()).collect();
    assert!(cookies.iter().all(|&gp| !rcu.has_elapsed(gp)));
    // When the requested grace period is over, no other one has started.
    rcu.blocking_synchronize();
    assert_eq!(rcu.stats().grace_periods, before + 1);
    assert!(cookies.iter().all(|&gp| rcu.has_elapsed(gp)));
}

#[test]
fn start_grace_period_requests_it_and_no_caller_need_wait() {
    let rcu = Rcu::new();
    for _ in 0..5 {
        let gp = rcu.start_grace_period();
        elapses(&rcu, gp);
    }
}

#[test]
fn a_section_entered_before_the_start_holds_it_up_and_one_entered_after_does_not() {
    let rcu = Rcu::new();
    let older = rcu.read_owned();
    let cookie = rcu.grace_period();
    // The section is younger than the cookie and older than the start.
    let between = rcu.read_owned();
    let gp = started(&rcu);
    assert_eq!(gp, cookie, "the cookie does not name the grace period that started");
    let _after = rcu.read_owned();
    drop(older);
    assert!(!rcu.has_elapsed(cookie));
    drop(between);
    elapses(&rcu, cookie);
}

#[test]
fn a_grace_period_that_has_elapsed_stays_so() {
    let rcu = Rcu::new();
    let gp = rcu.start_grace_period();
    elapses(&rcu, gp);
    let _section = rcu.read();
    let later = started(&rcu);
    assert!(rcu.has_elapsed(gp));
    assert!(!rcu.has_elapsed(later));
    assert!(rcu.has_elapsed(gp));
}

#[test]
fn the_newest_cookie_is_greater_as_soon_as_the_grace_period_has_started() {
    let rcu = Rcu::new();
    let gp = rcu.grace_period();
    assert_eq!(rcu.grace_period(), gp);
    assert_eq!(rcu.grace_period().partial_cmp(&gp), Some(Ordering::Equal));
    let section = rcu.read_owned();
    rcu.start_grace_period();
    until("the start", || rcu.grace_period() > gp);
    assert!(gp < rcu.grace_period());
    assert!(!rcu.has_elapsed(gp), "the started grace period has elapsed while a section blocks it");
    drop(section);
    elapses(&rcu, gp);
}

#[test]
fn cookies_of_one_domain_are_ordered_by_start() {
    let rcu = Rcu::new();
    let cookies: Vec<_> = (0..5)
        .map(|_| {
            rcu.blocking_synchronize();
            rcu.clone().grace_period()
        })
        .collect();
    assert!(cookies.is_sorted());
    assert_eq!(cookies.iter().collect::<HashSet<_>>().len(), cookies.len());
    let copy = cookies[0];
    assert_eq!(copy, cookies[0]);
    assert!(format!("{copy:?}").contains("GracePeriod"));
}

#[test]
fn cookies_of_two_domains_are_neither_equal_nor_ordered() {
    let (a, b) = (Rcu::new(), Rcu::new());
    for _ in 0..3 {
        let (in_a, in_b) = (a.grace_period(), b.grace_period());
        assert_ne!(in_a, in_b);
        assert_eq!(in_a.partial_cmp(&in_b), None);
        assert_eq!(in_b.partial_cmp(&in_a), None);
        a.blocking_synchronize();
    }
}

#[test]
fn a_cookie_of_another_domain_is_refused() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    for cookie in [other.grace_period(), started(&other)] {
        let message = panic_message(|| {
            rcu.has_elapsed(cookie);
        });
        assert!(message.contains("another"), "{message}");
        let message = panic_message(|| drop(rcu.wait_for(cookie)));
        assert!(message.contains("another"), "{message}");
        elapses(&other, other.start_grace_period());
    }
}

#[test]
fn a_cookie_of_a_domain_that_is_gone_is_refused_by_those_that_come_after() {
    let mut old: Vec<GracePeriod> = Vec::new();
    for _ in 0..10 {
        let rcu = Rcu::new();
        let gp = rcu.start_grace_period();
        assert!(old.iter().all(|cookie| cookie.partial_cmp(&gp).is_none()));
        for &cookie in &old {
            panic_message(|| {
                rcu.has_elapsed(cookie);
            });
        }
        old.push(gp);
        // The domain's threads are gone, so its records may be used again.
        rcu.blocking_shutdown();
    }
}

#[test]
fn wait_for_has_the_grace_period_started() {
    let rcu = Rcu::new();
    let gp = rcu.grace_period();
    settle(rcu.wait_for(gp));
    assert!(rcu.has_elapsed(gp));
}

#[test]
fn wait_for_is_ready_at_once_for_one_that_has_elapsed() {
    let rcu = Rcu::new();
    let gp = rcu.start_grace_period();
    elapses(&rcu, gp);
    let _section = rcu.read();
    let before = rcu.stats().grace_periods;
    assert!(poll_once(rcu.wait_for(gp)).is_ready());
    assert_eq!(rcu.stats().grace_periods, before);
}

#[test]
fn wait_for_waits_for_its_grace_period_and_no_later_one() {
    let rcu = Rcu::new();
    let older = rcu.read_owned();
    let first = started(&rcu);
    let younger = rcu.read_owned();
    let second = started(&rcu);
    assert!(poll_once(rcu.wait_for(first)).is_pending());
    drop(older);
    settle(rcu.wait_for(first));
    assert!(poll_once(rcu.wait_for(second)).is_pending());
    drop(younger);
    settle(rcu.wait_for(second));
}

#[test]
fn a_cookie_taken_after_an_unlink_covers_it_whoever_starts_the_grace_period() {
    let rcu = Rcu::new();
    let reader = rcu.read_owned();
    let gp = rcu.grace_period();
    // The waits of other callers start the cookie's grace period, which the reader blocks too.
    let mut wait = Box::pin(rcu.synchronize());
    let mut context = Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(&mut context).is_pending());
    assert!(!rcu.has_elapsed(gp));
    drop(reader);
    settle(wait);
    assert!(rcu.has_elapsed(gp));
}
