//! A stall report names what blocks progress: its kind, its owner, its age, and where it was made.
#![cfg(feature = "rt")]

#[path = "stalls/callbacks.rs"]
mod callbacks;
mod common;
#[path = "stalls/sections.rs"]
mod sections;
#[path = "stalls/timing.rs"]
mod timing;
#[path = "stalls/waits.rs"]
mod waits;

use async_rcu::{
    Batch, Builder, GlobalLock, Rcu, RcuCell,
    executor::ChannelExecutor,
    report::{HeldSection, StallKind, StallReport},
};
use common::executors::{Driven, on_every_executor};
use common::reports::{SHORT, Stalls};
use common::{HANG_GUARD, Section, receive, runtime, thread_name, until, within};
use futures::task::{FutureObj, Spawn, SpawnError, SpawnExt};
use std::cell::RefCell;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Runs a test over every executor, with a short timeout, and passes the reports to the test.
fn reported_on_every_executor(
    name: &str,
    set: impl Fn(Builder) -> Builder,
    test: impl Fn(&Driven, &Stalls),
) {
    let stalls = RefCell::new(None);
    on_every_executor(
        || {
            let builder = Rcu::builder().name(name).stall_timeout(SHORT);
            let (builder, heard) = Stalls::of(set(builder));
            *stalls.borrow_mut() = Some(heard);
            builder
        },
        |driven| {
            let heard = stalls.borrow_mut().take().expect("made with the builder");
            test(&driven, &heard);
            let rcu = &driven.rcu;
            rcu.blocking_drain();
            until("one hook call for each report", || rcu.stats().stalls == heard.called());
        },
    );
}

/// Whether sections record where they were made.
const TRACKED: bool = cfg!(any(debug_assertions, feature = "locations"));

#[track_caller]
fn only_holder(report: &StallReport) -> &HeldSection {
    assert_eq!((report.holders.len(), report.holders_total), (1, 1));
    &report.holders[0]
}
