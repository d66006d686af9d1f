//! Asking sections to end: futures that wait for the request are woken.

use super::*;
use crate::reader::guard::OwnedReadGuard;

fn domain() -> (&'static Registry, &'static Engine) {
    let (registry, engine) = engine();
    registry.begin();
    (registry, engine)
}

/// A section is asked to end while a future begins to wait for that. After a refresh the section
/// holds nothing up.
#[test]
fn loom_models_a_guard_is_asked_to_leave() {
    loom::model(|| {
        let (registry, engine) = domain();
        let mut guard = OwnedReadGuard::enter(registry);
        let asker = thread::spawn(|| registry.signals.release.request(engine.start()));
        block_on(guard.release_requested(), None);
        assert!(guard.is_release_requested());
        guard.refresh();
        asker.join().unwrap();
        assert_eq!(engine.scan(), engine.fenced());
        drop(guard);
    });
}

/// The domain ends beside a waiter. The future stays pending, also in a later domain with the same
/// registry, which may wake it for nothing. Its waker is dropped outside the lock.
#[test]
fn loom_models_the_end_of_a_domain_beside_a_waiter() {
    loom::model(|| {
        let (registry, engine) = domain();
        let release = &registry.signals.release;
        let guard = OwnedReadGuard::enter(registry);
        let ender = thread::spawn(|| release.end());
        let waker = waker(|| (), || release.request(Seq::FIRST));
        let mut requested = Box::pin(guard.release_requested());
        assert!(requested.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        ender.join().unwrap();
        registry.begin();
        release.request(engine.start());
        let again = requested.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(again.is_pending());
    });
}
