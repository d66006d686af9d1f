//! The tail of a read while a large table is replaced.
//!
//! One thread looks up random keys in a table of 500,000 entries as fast as it can. Another thread
//! replaces the table every 50 ms. The new tables are built before the run, so that the run only
//! exchanges tables and frees the old ones. There are two measurements: one section, guard or lock
//! for each look-up, and one for each *request* of 1,000 look-ups on one version. The time of every
//! read or request goes into a histogram. This time includes reading the clock and recording, which
//! are the same for all candidates. A table notes which thread dropped it and how long the drop
//! took.
//!
//! A reader that is held up for 10 ms records one long read instead of thousands of short reads.
//! The corrected p99.9 adds the missing reads: as many as median reads fit into the pause.

use crate::bench::median;
use crate::report::figure;
use arc_swap::ArcSwap;
use async_rcu::{Rcu, RcuCell};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const ENTRIES: u32 = 500_000;
const EVERY: Duration = Duration::from_millis(50);
const REPLACEMENTS: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Reader,
    Writer,
    /// A thread that neither reads nor writes: the domain's callback thread.
    Other,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Other) };
}

/// The thread that dropped a table, and the time of the drop.
type Drops = Arc<Mutex<Vec<(Role, Duration)>>>;

struct Table {
    /// The entries, sorted by key.
    entries: Vec<(u32, String)>,
    drops: Drops,
}

impl Table {
    fn new(version: usize, drops: &Drops) -> Self {
        let entries = (0..ENTRIES).map(|i| (i * 8, format!("network {i}.{version}"))).collect();
        Self { entries, drops: Arc::clone(drops) }
    }

    /// Looks up `many` keys, and returns a value that depends on all of them.
    fn look_up(&self, keys: &mut Random, many: u32) -> usize {
        (0..many).map(|_| self.one(keys.next())).sum()
    }

    fn one(&self, key: u32) -> usize {
        let at = self.entries.partition_point(|(first, _)| *first <= key);
        self.entries[at - 1].1.len()
    }
}

/// Random keys of a xorshift generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32 % (ENTRIES * 8)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let start = Instant::now();
        drop(std::mem::take(&mut self.entries));
        let took = start.elapsed();
        self.drops.lock().expect("no poison").push((ROLE.get(), took));
    }
}

trait Shared: Sync {
    fn look_up(&self, keys: &mut Random, many: u32) -> usize;
    fn replace(&self, table: Table);
    fn settle(&self) {}
}

struct RcuTable(Rcu, RcuCell<Table>);
struct OwnedTable(RcuTable);
struct SwapTable(ArcSwap<Table>);
struct WatchTable(watch::Sender<Table>, watch::Receiver<Table>);
struct StdLockTable(RwLock<Table>);
struct LockTable(parking_lot::RwLock<Table>);

impl RcuTable {
    fn new(table: Table) -> Self {
        let rcu = Rcu::new();
        let cell = RcuCell::new_in(&rcu, table);
        Self(rcu, cell)
    }
}

impl Shared for RcuTable {
    fn look_up(&self, keys: &mut Random, many: u32) -> usize {
        self.1.with(|table| table.look_up(keys, many))
    }
    fn replace(&self, table: Table) {
        self.1.store(table);
    }
    fn settle(&self) {
        self.0.blocking_drain();
    }
}

impl Shared for OwnedTable {
    fn look_up(&self, keys: &mut Random, many: u32) -> usize {
        self.0.1.read_owned().look_up(keys, many)
    }
    fn replace(&self, table: Table) {
        self.0.replace(table);
    }
    fn settle(&self) {
        self.0.settle();
    }
}

impl Shared for SwapTable {
    fn look_up(&self, keys: &mut Random, many: u32) -> usize {
        self.0.load().look_up(keys, many)
    }
    fn replace(&self, table: Table) {
        self.0.store(Arc::new(table));
    }
}

impl Shared for WatchTable {
    fn look_up(&self, keys: &mut Random, many: u32) -> usize {
        self.1.borrow().look_up(keys, many)
    }
    fn replace(&self, table: Table) {
        drop(self.0.send_replace(table));
    }
}

impl Shared for StdLockTable {
    fn look_up(&self, keys: &mut Random, many: u32) -> usize {
        self.0.read().expect("no poison").look_up(keys, many)
    }
    fn replace(&self, table: Table) {
        // The writer drops the old table after it has released the lock, as a good program would.
        let _old = std::mem::replace(&mut *self.0.write().expect("no poison"), table);
    }
}

impl Shared for LockTable {
    fn look_up(&self, keys: &mut Random, many: u32) -> usize {
        self.0.read().look_up(keys, many)
    }
    fn replace(&self, table: Table) {
        let _old = std::mem::replace(&mut *self.0.write(), table);
    }
}

/// The figures of one run, in nanoseconds.
struct Tail {
    reads: u64,
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
    corrected_p999: u64,
    drops: Vec<(Role, Duration)>,
}

fn run_one(make: fn(Table) -> Box<dyn Shared>, replacements: usize, many: u32) -> Tail {
    let drops = Drops::default();
    let shared = make(Table::new(0, &drops));
    let spare: Vec<_> = (1..=replacements).map(|version| Table::new(version, &drops)).collect();
    let stop = AtomicBool::new(false);
    let histogram = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            ROLE.set(Role::Reader);
            read(&*shared, many, &stop)
        });
        scope.spawn(|| {
            ROLE.set(Role::Writer);
            let mut spare = spare.into_iter();
            let start = Instant::now();
            for turn in 1..=REPLACEMENTS as u32 {
                thread::sleep((EVERY * turn).saturating_sub(start.elapsed()));
                if let Some(table) = spare.next() {
                    shared.replace(table);
                }
            }
            thread::sleep(EVERY);
            stop.store(true, Ordering::Relaxed);
        });
        reader.join().expect("the reader")
    });
    shared.settle();
    // The drops of the run. The last table is dropped later, with `shared`.
    let drops = std::mem::take(&mut *drops.lock().expect("no poison"));
    let p50 = histogram.value_at_quantile(0.5);
    Tail {
        reads: histogram.len(),
        p50,
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
        corrected_p999: histogram.clone_correct(p50.max(1)).value_at_quantile(0.999),
        drops,
    }
}

fn read(shared: &dyn Shared, many: u32, stop: &AtomicBool) -> Histogram<u64> {
    let mut histogram =
        Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant, valid bounds");
    let mut keys = Random(0x9E37_79B9_7F4A_7C15);
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::hint::black_box(shared.look_up(&mut keys, many));
        let now = Instant::now();
        histogram.saturating_record(u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX));
        last = now;
    }
    histogram
}

/// The name, the constructor, and how often the table is replaced.
type TableCandidate = (&'static str, fn(Table) -> Box<dyn Shared>, usize);

const CANDIDATES: [TableCandidate; 7] = [
    ("async-rcu", |table| Box::new(RcuTable::new(table)), REPLACEMENTS),
    ("async-rcu, no writer", |table| Box::new(RcuTable::new(table)), 0),
    ("async-rcu, read_owned", |table| Box::new(OwnedTable(RcuTable::new(table))), REPLACEMENTS),
    ("arc-swap load", |table| Box::new(SwapTable(ArcSwap::from_pointee(table))), REPLACEMENTS),
    (
        "tokio watch",
        |table| {
            let (sender, receiver) = watch::channel(table);
            Box::new(WatchTable(sender, receiver))
        },
        REPLACEMENTS,
    ),
    ("std RwLock", |table| Box::new(StdLockTable(RwLock::new(table))), REPLACEMENTS),
    (
        "parking_lot RwLock",
        |table| Box::new(LockTable(parking_lot::RwLock::new(table))),
        REPLACEMENTS,
    ),
];

/// Prints the tables, and returns their figures as JSON.
pub(crate) fn run(rounds: usize) -> Value {
    println!("## Reads while 500,000 entries are replaced every 50 ms");
    println!();
    println!(
        "Medians of {rounds} rounds of {REPLACEMENTS} replacements; the maximum is over all rounds."
    );
    println!();
    let reads = table("a read of one entry", 1, rounds);
    let requests = table("a request of 1,000 reads on one version", 1_000, rounds);
    json!({ "read": reads, "request": requests })
}

fn table(what: &str, many: u32, rounds: usize) -> Value {
    let mut tails: Vec<Vec<Tail>> = CANDIDATES.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        eprintln!("reload, {what}: round {} of {rounds} ..", round + 1);
        for (&(_, make, replacements), tails) in CANDIDATES.iter().zip(&mut tails) {
            tails.push(run_one(make, replacements, many));
        }
    }
    println!(
        "| {what} | per second | p50 | p99 | p99.9 | p99.9, corrected | max \
         | tables freed by reader, writer, other | one free |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let lines =
        CANDIDATES.iter().zip(&tails).map(|((name, ..), tails)| line(name, tails)).collect();
    println!();
    lines
}

fn line(name: &str, tails: &[Tail]) -> Value {
    let of = |get: fn(&Tail) -> u64| {
        median(&tails.iter().map(|tail| get(tail) as f64).collect::<Vec<_>>())
    };
    let drops = || tails.iter().flat_map(|tail| &tail.drops);
    let by = |role| drops().filter(|(who, _)| *who == role).count();
    let (reader, writer, other) = (by(Role::Reader), by(Role::Writer), by(Role::Other));
    let times: Vec<_> = drops().map(|(_, took)| took.as_secs_f64() * 1e9).collect();
    let free = (!times.is_empty()).then(|| median(&times));
    let seconds = (EVERY * (REPLACEMENTS as u32 + 1)).as_secs_f64();
    let rate = of(|t| t.reads) / seconds;
    let max = tails.iter().map(|tail| tail.max).max().unwrap_or(0);
    println!(
        "| {name} | {} | {} | {} | {} | {} | {} | {reader}, {writer}, {other} | {} |",
        figure(rate),
        duration(of(|t| t.p50)),
        duration(of(|t| t.p99)),
        duration(of(|t| t.p999)),
        duration(of(|t| t.corrected_p999)),
        duration(max as f64),
        free.map_or("-".to_owned(), duration),
    );
    json!({
        "name": name, "per_second": rate, "p50_ns": of(|t| t.p50), "p99_ns": of(|t| t.p99),
        "p999_ns": of(|t| t.p999), "p999_corrected_ns": of(|t| t.corrected_p999), "max_ns": max,
        "freed_by": { "reader": reader, "writer": writer, "other": other }, "free_ns": free,
    })
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}
