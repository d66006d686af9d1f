//! Subscribers, wakers and hooks may use the domain while the domain calls them. `tests/panics.rs`
//! tests foreign code that panics. `tests/refused_barrier.rs` and unit tests of the domain test a
//! system that refuses a request.

mod common;

use async_rcu::{Rcu, RcuCell, executor::InlineExecutor};
use common::{receive, until, within};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A subscriber that keeps its filter in one cell, counts events in another cell, and retires
/// values at every event. It does so in the domain whose events it gets.
struct Uses {
    filter: RcuCell<Option<String>>,
    seen: RcuCell<usize>,
    panics: bool,
}

static RCU: OnceLock<Rcu> = OnceLock::new();
static SEEN: AtomicUsize = AtomicUsize::new(0);

impl Subscriber for Uses {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.with(|target| {
            target.as_deref().is_none_or(|target| metadata.target().starts_with(target))
        })
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let held = self.seen.read_owned();
        SEEN.store(*held + 1, Ordering::Relaxed);
        drop(self.seen.update(|n| n + 1));
        assert!(
            !self.panics || event.metadata().target() != "async_rcu::panic",
            "a subscriber panics"
        );
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_subscriber_may_use_cells_of_the_domain_and_panic() {
    let rcu = RCU.get_or_init(|| {
        Rcu::builder().batch_interval(Duration::from_millis(5)).build().expect("a domain")
    });
    let subscriber = Uses {
        filter: RcuCell::new_in(rcu, Some("async_rcu".to_owned())),
        seen: RcuCell::new_in(rcu, 0),
        panics: true,
    };
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    within(|| {
        let rcu = RCU.get().expect("made above");
        for _ in 0..20 {
            rcu.call(|| panic!("reported to a subscriber that panics"));
            rcu.blocking_synchronize();
        }
        // The subscriber's cells retire a value at every event, which makes more events. So
        // callbacks are always pending, but every drain ends.
        rcu.blocking_drain();
        assert_eq!(rcu.stats().panicked, 20);
        assert!(SEEN.load(Ordering::Relaxed) > 20);
    });
}

/// A waker that uses every operation of the domain.
struct Meddles {
    rcu: Rcu,
    cell: RcuCell<u32>,
    times: AtomicUsize,
    kept: Mutex<Vec<async_rcu::wait::Synchronize>>,
}

impl Wake for Meddles {
    fn wake(self: Arc<Self>) {
        if self.times.fetch_add(1, Ordering::Relaxed) > 100 {
            return;
        }
        self.rcu.call(|| ());
        self.rcu.force();
        self.cell.store(1);
        let _ = self.rcu.stats();
        let mut another = self.rcu.synchronize();
        let waker = Waker::from(Arc::clone(&self));
        // A pending drain wakes this waker again.
        let guard = self.rcu.read_owned();
        let _ = Pin::new(&mut another).poll(&mut Context::from_waker(&waker));
        drop(guard);
        self.kept.lock().expect("not poisoned").push(another);
        drop(self.rcu.drain());
    }
}

#[test]
fn a_waker_may_use_the_domain_that_calls_it() {
    for inline in [false, true] {
        let builder = match inline {
            true => Rcu::builder().executor(InlineExecutor),
            false => Rcu::builder(),
        };
        let rcu = builder.build().expect("a domain");
        let meddles = Arc::new(Meddles {
            cell: RcuCell::new_in(&rcu, 0),
            rcu: rcu.clone(),
            times: AtomicUsize::new(0),
            kept: Mutex::default(),
        });
        let waker = Waker::from(Arc::clone(&meddles));
        let mut context = Context::from_waker(&waker);
        let guard = rcu.read_owned();
        let (mut synchronize, mut drain) = (rcu.synchronize(), rcu.drain());
        rcu.call(|| ());
        assert!(Pin::new(&mut synchronize).poll(&mut context).is_pending());
        assert!(Pin::new(&mut drain).poll(&mut context).is_pending());
        drop(guard);
        until("more wake-ups", || meddles.times.load(Ordering::Relaxed) > 50);
        drop((synchronize, drain));
        meddles.kept.lock().expect("not poisoned").clear();
        within(move || rcu.blocking_drain());
    }
}

/// The hooks read a cell, replace its value, queue a callback and force a grace period.
#[test]
fn hooks_may_use_the_domain_that_calls_them() {
    static CELL: RcuCell<Option<Vec<u32>>> = RcuCell::none();
    let (send, called) = mpsc::channel();
    let send = Mutex::new(send);
    let handle = Arc::new(OnceLock::<Rcu>::new());
    let uses = {
        let handle = Arc::clone(&handle);
        move |what: &'static str| {
            let rcu = handle.get().expect("built");
            let guard = rcu.read();
            drop(CELL.swap(Some(vec![1])));
            let _ = rcu.try_call(|| ());
            let _ = rcu.stats();
            drop(guard);
            let _ = send.lock().expect("not poisoned").send(what);
        }
    };
    let uses = Arc::new(uses);
    let (panic, stall, idle, force) = (uses.clone(), uses.clone(), uses.clone(), uses.clone());
    let rcu = Rcu::builder()
        .stall_timeout(Duration::from_millis(5))
        .on_panic(move |_| panic("panic"))
        .on_stall(move |_| stall("stall"))
        .on_idle(move || idle("idle"))
        .build()
        .expect("a domain");
    handle.set(rcu.clone()).expect("once");
    let notifier = rcu.on_force(move |_| force("force"));
    let guard = rcu.read_owned();
    rcu.call(|| panic!("for the hook"));
    rcu.force();
    assert_eq!(receive(&called), "force");
    assert_eq!(receive(&called), "stall");
    drop(guard);
    until("the panic report", || called.try_iter().any(|what| what == "panic"));
    until("the idle hook", || called.try_iter().any(|what| what == "idle"));
    drop(notifier);
    within(move || rcu.blocking_drain());
}
