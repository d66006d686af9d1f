//! Panics that belong to the test: those that the library owes its caller, and those of callbacks made to panic.
//!
//! Under libFuzzer every panic ends the process, from within the panic hook. So a hook of our own stands before that one, and
//! passes on only what nobody expects. What the library tells about deadlocks that the input makes up is not shown either.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook, take_hook};
use std::sync::Once;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The payload of a panic made on purpose.
struct Planned;

/// Listens to warnings, so that the library does not write them to standard error.
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

/// To be called first by each target.
pub fn prepare() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Where there is another one already, that may well listen.
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

/// Panics without a word.
pub fn planned() -> ! {
    panic_any(Planned)
}

/// Runs `f`, which has to panic with a message that contains `with`.
#[track_caller]
pub fn expect(with: &str, f: impl FnOnce()) {
    EXPECTED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    EXPECTED.set(false);
    let Err(payload) = outcome else {
        panic!("it was to panic with '{with}'");
    };
    let message = payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    assert!(
        message.contains(with),
        "it was to panic with '{with}', and did with '{message}'"
    );
}
