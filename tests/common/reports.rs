//! The stall reports and the tracing events of a domain.

use super::HANG_GUARD;
use async_rcu::{
    Builder, Rcu,
    report::{StallKind, StallReport},
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// A timeout that expires soon. Tests assert that a report comes after the timeout, never by when.
pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// A timeout that never expires within a test.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

/// The stall reports of one domain, in order.
#[derive(Debug)]
pub(crate) struct Stalls {
    reports: Receiver<StallReport>,
    called: Arc<AtomicU64>,
}

impl Stalls {
    /// Returns a builder whose domain sends its reports to the returned `Stalls`.
    pub(crate) fn of(builder: Builder) -> (Builder, Stalls) {
        record();
        let (send, reports) = mpsc::channel();
        let called = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&called);
        let builder = builder.on_stall(move |report| {
            assert!(!format!("{report:?}").is_empty());
            // An error says that the test has ended.
            let _ = send.send(report.clone());
            count.fetch_add(1, Ordering::SeqCst);
        });
        (builder, Stalls { reports, called })
    }

    /// Builds a domain that reports stalls after `timeout`.
    pub(crate) fn domain(name: &str, timeout: Duration) -> (Rcu, Stalls) {
        let (builder, stalls) = Stalls::of(Rcu::builder().name(name).stall_timeout(timeout));
        (builder.build().expect("a domain"), stalls)
    }

    /// Returns the next report of this kind. Fails if none comes. Other reports may come before: on
    /// a busy machine, a worker that the system does not schedule is stuck as well.
    #[track_caller]
    pub(crate) fn next(&self, kind: StallKind) -> StallReport {
        let deadline = Instant::now() + HANG_GUARD;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let report = self.reports.recv_timeout(left);
            let report = report.unwrap_or_else(|_| panic!("no report of {kind:?}"));
            if report.kind == kind {
                return report;
            }
        }
    }

    /// Returns the reports that have come by now.
    pub(crate) fn so_far(&self) -> Vec<StallReport> {
        self.reports.try_iter().collect()
    }

    /// Returns how often the hook was called.
    pub(crate) fn called(&self) -> u64 {
        self.called.load(Ordering::SeqCst)
    }
}

/// An event as a subscriber got it, with its fields as text.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) target: &'static str,
    pub(crate) level: Level,
    pub(crate) fields: BTreeMap<&'static str, String>,
}

static EVENTS: Mutex<Vec<Recorded>> = Mutex::new(Vec::new());

/// The process's subscriber, which keeps the crate's warnings and errors.
struct Recorder;

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("async_rcu::") && *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        EVENTS.lock().unwrap().push(Recorded {
            target: event.metadata().target(),
            level: *event.metadata().level(),
            fields: fields.0,
        });
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Installs the recorder for the process, once.
pub(crate) fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(Recorder).expect("the only subscriber");
    });
}

/// Returns the domain's events under a target so far.
pub(crate) fn events(domain: &str, target: &str) -> Vec<Recorded> {
    let events = EVENTS.lock().unwrap();
    let of =
        |e: &&Recorded| e.target == target && e.fields.get("domain").is_some_and(|d| d == domain);
    events.iter().filter(of).cloned().collect()
}
