//! The library: a table of names and numbers, which is replaced as a whole while it is read.
//!
//! It has a domain of its own, which its users never see, and names no runtime.

use async_rcu::{Builder, Rcu, RcuCell, error::BuildError};
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;

/// The prefix of the names of the domain's threads.
pub(crate) const DOMAIN: &str = "rcu-lookup";
/// The number of names in a table.
pub(crate) const ROWS: u64 = 100;
const READERS: u64 = 4;
const ROUNDS: u64 = 25;
const REPLACEMENTS: u64 = 40;
const DEFERRED: u64 = 100;
/// A number is `name * VERSIONS + version`, so that it shows its version.
const VERSIONS: u64 = 10_000;

/// Counts of deferred work.
#[derive(Default)]
struct Tally {
    /// Old tables that were closed, and tables that a reader still had when they were closed.
    closed: AtomicU64,
    early: AtomicU64,
    /// Tables that were dropped.
    freed: AtomicU64,
    callbacks: AtomicU64,
    futures: AtomicU64,
    scratch: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

struct Table {
    version: u64,
    numbers: BTreeMap<String, u64>,
    tally: Arc<Tally>,
}

impl Table {
    fn new(version: u64, rows: u64, tally: &Arc<Tally>) -> Self {
        let number = |name| (format!("name-{name}"), name * VERSIONS + version);
        Self { version, numbers: (0..rows).map(number).collect(), tally: Arc::clone(tally) }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        add(&self.tally.freed);
    }
}

/// A value that is dropped when no reader can be using it.
struct Scratch(Arc<Tally>);

impl Drop for Scratch {
    fn drop(&mut self) {
        add(&self.0.scratch);
    }
}

/// Pauses, so that other tasks of this thread run first.
async fn pause() {
    let mut paused = false;
    poll_fn(|cx| match std::mem::replace(&mut paused, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

pub(crate) struct Lookup {
    rcu: Rcu,
    table: RcuCell<Table>,
    rows: u64,
    tally: Arc<Tally>,
}

impl Lookup {
    /// Opens the library. `set` may choose the executor of the callbacks, and learns nothing else
    /// about the domain.
    pub(crate) fn open(
        rows: u64,
        set: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, BuildError> {
        let rcu = set(Rcu::builder().name("lookup")).build()?;
        let tally = Arc::new(Tally::default());
        Ok(Self { table: RcuCell::new_in(&rcu, Table::new(0, rows, &tally)), rcu, rows, tally })
    }

    /// Returns the number of a name, and the version of the table.
    fn get(&self, name: &str) -> Option<(u64, u64)> {
        self.table.with(|table| Some((*table.numbers.get(name)?, table.version)))
    }

    /// Reads all numbers of one version, with pauses between. Returns how many there were, and how
    /// many were of another version.
    async fn export(&self) -> (u64, u64) {
        let table = self.table.read_owned();
        let (mut rows, mut torn) = (0, 0);
        for number in table.numbers.values() {
            rows += 1;
            torn += u64::from(number % VERSIONS != table.version);
            pause().await;
        }
        (rows, torn)
    }

    /// Publishes the next version. A callback closes the old one when no reader has it any more.
    pub(crate) fn replace(&self) {
        let old = self.table.update(|table| Table::new(table.version + 1, self.rows, &self.tally));
        let tally = Arc::clone(&self.tally);
        self.rcu.call(move || match old.try_take() {
            Ok(_table) => add(&tally.closed),
            Err(_still_read) => add(&tally.early),
        });
    }

    fn version(&self) -> u64 {
        self.table.with(|table| table.version)
    }

    /// Queues callbacks, async callbacks, and drops.
    fn defer(&self) {
        for _ in 0..DEFERRED {
            let tally = Arc::clone(&self.tally);
            self.rcu.call(move || add(&tally.callbacks));
            let tally = Arc::clone(&self.tally);
            self.rcu.call_async(async move {
                pause().await;
                add(&tally.futures);
            });
            self.rcu.retire(Box::new(Scratch(Arc::clone(&self.tally))));
        }
    }

    /// Reads between two pauses. Returns how many lookups there were, and how many were wrong.
    fn look_up_all(&self) -> (u64, u64) {
        let mut torn = 0;
        for name in 0..self.rows {
            let answer = self.get(&format!("name-{name}"));
            torn += u64::from(!answer.is_some_and(|(number, version)| {
                number / VERSIONS == name && number % VERSIONS == version
            }));
        }
        (self.rows, torn)
    }

    pub(crate) fn close_blocking(&self) {
        self.rcu.blocking_shutdown();
    }

    fn summary(&self, read: Read, exported: (u64, u64), held: [u64; 3], returned: u64) -> Summary {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Summary {
            lookups: read.lookups,
            exported: exported.0,
            torn: read.torn + exported.1,
            held,
            returned,
            callbacks: of(&self.tally.callbacks),
            futures: of(&self.tally.futures),
            scratch: of(&self.tally.scratch),
            closed: of(&self.tally.closed),
            early: of(&self.tally.early),
            freed: of(&self.tally.freed),
            replaced: self.version(),
        }
    }
}

#[derive(Default)]
struct Read {
    lookups: u64,
    torn: u64,
}

impl Read {
    fn add(&mut self, (lookups, torn): (u64, u64)) {
        self.lookups += lookups;
        self.torn += torn;
    }
}

/// The result of a day, which does not depend on the host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    lookups: u64,
    exported: u64,
    /// Numbers that belong to another version than their table.
    torn: u64,
    /// The version in use before, the version held across awaits, and the version in use after.
    held: [u64; 3],
    /// The version that was swapped out and waited for.
    returned: u64,
    callbacks: u64,
    futures: u64,
    scratch: u64,
    closed: u64,
    early: u64,
    freed: u64,
    replaced: u64,
}

impl Summary {
    pub(crate) fn heading() -> &'static str {
        "lookups exported torn         held  returned callbacks futures scratch replaced \
         closed freed"
    }

    /// Returns what is wrong with this summary by itself.
    pub(crate) fn wrong(&self) -> Option<&'static str> {
        let all = [self.callbacks, self.futures, self.scratch];
        if self.torn > 0 {
            Some("a reader saw two versions in one table")
        } else if self.early > 0 {
            Some("a callback ran while a reader still had its table")
        } else if self.held[0] != self.held[1] || self.held[1] == self.held[2] {
            Some("a held version changed, or no newer version was published")
        } else if all != [DEFERRED; 3] || self.closed + 1 != self.replaced {
            Some("some callbacks have not run")
        } else if self.freed != self.replaced {
            Some("some tables were not freed")
        } else {
            None
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, held, now] = self.held;
        write!(
            f,
            "{:>7} {:>8} {:>4} {:>12} {:>9} {:>9} {:>7} {:>7} {:>8} {:>6} {:>5}",
            self.lookups,
            self.exported,
            self.torn,
            format!("{before}={held}<{now}"),
            self.returned,
            self.callbacks,
            self.futures,
            self.scratch,
            self.replaced,
            self.closed,
            self.freed
        )
    }
}

/// Does all that the library does, on any executor.
pub(crate) async fn day(lookup: &Lookup) -> Summary {
    // Readers, a long reader of one version, and a writer, all at once.
    let reader = || async {
        let mut read = Read::default();
        for _ in 0..ROUNDS {
            read.add(lookup.look_up_all());
            pause().await;
        }
        read
    };
    let writer = async {
        for _ in 0..REPLACEMENTS {
            lookup.replace();
            pause().await;
        }
    };
    let reading = join(join_all((0..READERS).map(|_| reader())), lookup.export());
    let ((all, exported), ()) = join(reading, writer).await;
    let mut read = Read::default();
    all.iter().for_each(|one| read.add((one.lookups, one.torn)));

    // One version is held across awaits while others are published.
    let before = lookup.version();
    let section = lookup.table.read_owned();
    lookup.replace();
    for _ in 0..10 {
        pause().await;
    }
    let held = [before, section.version, lookup.version()];
    // The waits below would wait for this reference.
    drop(section);

    // Waits for a grace period, for a replaced table, and for each kind of deferred work.
    lookup.rcu.synchronize().await;
    let next = Table::new(held[2] + 1, lookup.rows, &lookup.tally);
    let returned = lookup.table.swap(next).wait().await.version;
    lookup.defer();
    lookup.rcu.drain().await;

    // The threads stop, and start again with the next work.
    lookup.rcu.shutdown().await;
    lookup.replace();
    lookup.rcu.drain().await;
    lookup.summary(read, exported, held, returned)
}

/// Spends the same day on plain threads, with the blocking forms of the calls.
pub(crate) fn day_on_threads(lookup: &Lookup) -> Summary {
    let reader = || {
        let mut read = Read::default();
        for _ in 0..ROUNDS {
            read.add(lookup.look_up_all());
            thread::yield_now();
        }
        read
    };
    let mut read = Read::default();
    let exported = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(reader)).collect();
        let export = scope.spawn(|| futures::executor::block_on(lookup.export()));
        for _ in 0..REPLACEMENTS {
            lookup.replace();
            thread::yield_now();
        }
        for reader in readers {
            let one = reader.join().expect("a reader does not panic");
            read.add((one.lookups, one.torn));
        }
        export.join().expect("the export does not panic")
    });

    let before = lookup.version();
    let section = lookup.table.read();
    lookup.replace();
    let held = [before, section.version, lookup.version()];
    drop(section);

    lookup.rcu.blocking_synchronize();
    let next = Table::new(held[2] + 1, lookup.rows, &lookup.tally);
    let returned = lookup.table.swap(next).blocking_wait().version;
    lookup.defer();
    lookup.rcu.blocking_drain();

    lookup.rcu.blocking_shutdown();
    lookup.replace();
    lookup.rcu.blocking_drain();
    lookup.summary(read, exported, held, returned)
}
