//! Asking sections to end: who waits to be asked is.

use crate::callback::queue::Queue;
use crate::dispatch::blocking::block_on;
use crate::grace_period::engine::Engine;
use crate::reader::guard::OwnedReadGuard;
use crate::reader::registry::Core;
use crate::reader::sequence::Seq;
use loom::thread;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

type Domain = (&'static Core<Queue<()>>, Engine<Queue<()>>);

fn domain() -> Domain {
    let core = Core::leak(Seq::FIRST);
    core.hub.begin();
    (core, Engine::new(core))
}

/// Asked while it begins to wait; after a refresh it holds nothing up.
#[test]
fn loom_models_a_guard_is_asked_to_leave() {
    loom::model(|| {
        let (core, engine) = domain();
        let mut guard = OwnedReadGuard::enter(core.hub, core);
        let asker = thread::spawn(move || {
            let seq = engine.start();
            core.hub.release.ask(seq);
            engine
        });
        block_on(guard.release_requested(), None);
        assert!(guard.is_release_requested());
        guard.refresh();
        let engine = asker.join().unwrap();
        assert_eq!(engine.scan(), engine.fenced());
        drop(guard);
    });
}

/// The domain ends beside a waiter: it stays pending, in a later domain of the hub too, which may wake it for nothing. Its waker
/// is let go of outside the lock.
#[test]
fn loom_models_the_end_of_a_domain_beside_a_waiter() {
    struct Returns(&'static Core<Queue<()>>);
    impl std::task::Wake for Returns {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Returns {
        fn drop(&mut self) {
            // Nobody holds the list's lock.
            self.0.hub.release.ask(Seq::FIRST);
        }
    }
    loom::model(|| {
        let (core, engine) = domain();
        let guard = OwnedReadGuard::enter(core.hub, core);
        let ender = thread::spawn(move || {
            core.hub.release.end();
            engine
        });
        let waker = Waker::from(Arc::new(Returns(core)));
        let mut asked = Box::pin(guard.release_requested());
        assert!(
            pin!(&mut asked)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(waker);
        let engine = ender.join().unwrap();
        core.hub.begin();
        core.hub.release.ask(engine.start());
        let again = pin!(&mut asked).poll(&mut Context::from_waker(Waker::noop()));
        assert!(again.is_pending());
    });
}
