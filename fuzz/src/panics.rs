//! Panics that the test expects: those that the library promises, and those of callbacks that are
//! made to panic.
//!
//! Under libFuzzer the panic hook ends the process. So the targets put a hook of their own before
//! it, which passes on only unexpected panics. The library's warnings about deadlocks, which the
//! inputs cause, are not shown either.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook, take_hook};
use std::sync::Once;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The payload of a planned panic.
struct Planned;

/// A subscriber that takes warnings and drops them, so that the library does not write them to
/// standard error.
struct Deaf;

impl Subscriber for Deaf {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook. Each target calls it first.
pub fn prepare() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // If another subscriber is installed, it takes the warnings.
        let _ = tracing::subscriber::set_global_default(Deaf);
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            let expected = EXPECTED.try_with(Cell::get).unwrap_or(false);
            if !expected && !info.payload().is::<Planned>() {
                previous(info);
            }
        }));
    });
}

/// Panics with a payload that the hook does not show.
pub fn planned() -> ! {
    panic_any(Planned)
}

/// Runs `f`, and checks that it panics with a message that contains `with`.
#[track_caller]
pub fn expect(with: &str, f: impl FnOnce()) {
    EXPECTED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    EXPECTED.set(false);
    let Err(payload) = outcome else {
        panic!("a call did not panic; expected: '{with}'");
    };
    let message = payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    assert!(message.contains(with), "a call panicked with '{message}'; expected: '{with}'");
}
