//! A registry of connections, as a chat or push server has one. Every message reads the registry,
//! while connections come and go all the time.
//!
//! `cargo run --release --example registry -- --connections 50000 --seconds 5`
//!
//! - A broadcast walks over the registry under one guard. It takes no lock and makes no list of
//!   recipients.
//! - A message to one connection looks the connection up under a guard.
//! - A connection that leaves is taken out at once. An async callback closes it after a grace
//!   period, when no broadcast or lookup can be using it any more. So senders need not check a
//!   "closed" flag.
//! - New connections take the places of those that left. The number of closes in progress is
//!   limited, as sockets are.
//!
//! The connections are simulated. The exit status is 1 if a connection was closed twice or never,
//! if it got a message after its close had begun, if a broadcast missed a connection that was
//! always there, or if memory grew with the number of connections that came and went.

use async_rcu::{Rcu, RcuMap};
use clap::Parser;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Connections that come and go during broadcasts. A run must end with no violations.
#[derive(Clone, Parser)]
struct Args {
    /// The number of connections at a time.
    #[arg(long, default_value_t = 30_000)]
    connections: u64,
    /// The seconds for which connections come and go.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// The number of tasks that open and close connections.
    #[arg(long, default_value_t = 4)]
    churners: u64,
    /// The largest number of closes in progress.
    #[arg(long, default_value_t = 4096)]
    closing: usize,
}

/// Counts over all connections.
#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    freed: AtomicU64,
    broadcasts: AtomicU64,
    messages: AtomicU64,
    lookups: AtomicU64,
    violations: AtomicU64,
}

impl Counts {
    fn violation(&self, what: &str, id: u64) {
        // The first few violations are enough.
        if self.violations.fetch_add(1, Ordering::Relaxed) < 10 {
            eprintln!("VIOLATION: connection {id} {what}");
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// A connection. Its buffer makes leaked connections show in the memory.
struct Connection {
    id: u64,
    inbox: AtomicU64,
    closing: AtomicBool,
    /// The number of messages in the inbox when the close began.
    at_close: AtomicU64,
    buffer: Box<[u8]>,
    counts: Arc<Counts>,
}

impl Connection {
    fn open(id: u64, counts: &Arc<Counts>) -> Arc<Self> {
        add(&counts.opened, 1);
        Arc::new(Self {
            id,
            inbox: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            at_close: AtomicU64::new(0),
            buffer: vec![id as u8; 512].into(),
            counts: Arc::clone(counts),
        })
    }

    /// Sends a message. The caller found the connection in the registry, in the same section.
    fn send(&self) {
        if self.closing.load(Ordering::Relaxed) || self.buffer[0] != self.id as u8 {
            self.counts.violation("got a message after its close had begun", self.id);
        }
        add(&self.inbox, 1);
    }

    /// Closes the connection, which takes a while.
    async fn close(&self) {
        if self.closing.swap(true, Ordering::Relaxed) {
            self.counts.violation("was closed twice", self.id);
        }
        self.at_close.store(self.inbox.load(Ordering::Relaxed), Ordering::Relaxed);
        tokio::task::yield_now().await;
        add(&self.counts.closed, 1);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        add(&self.counts.freed, 1);
        if !*self.closing.get_mut() {
            self.counts.violation("was freed without a close", self.id);
        }
        if self.inbox.get_mut() != self.at_close.get_mut() {
            self.counts.violation("got messages after its close had begun", self.id);
        }
    }
}

struct Registry {
    connections: RcuMap<u64, Arc<Connection>>,
    counts: Arc<Counts>,
    closing: Arc<Semaphore>,
    rcu: Rcu,
}

impl Registry {
    fn connect(&self, id: u64) {
        let connection = Connection::open(id, &self.counts);
        if self.connections.insert(id, connection).is_some() {
            self.counts.violation("was in the registry already", id);
        }
    }

    /// Takes a connection out of the registry at once. A callback closes it when no sender can be
    /// using it any more.
    async fn disconnect(&self, id: u64) {
        let permit = Arc::clone(&self.closing).acquire_owned().await;
        let Some(gone) = self.connections.remove(&id) else {
            self.counts.violation("is not in the registry", id);
            return;
        };
        let connection = Arc::clone(&gone);
        self.rcu.call_async(async move {
            connection.close().await;
            drop(permit);
        });
    }

    /// Sends to all connections. Returns how many of them are below `lasting`.
    fn broadcast(&self, lasting: u64) -> u64 {
        let guard = self.rcu.read();
        let (mut sent, mut lasted) = (0, 0);
        for (id, connection) in self.connections.iter(&guard) {
            connection.send();
            sent += 1;
            lasted += u64::from(*id < lasting);
        }
        add(&self.counts.broadcasts, 1);
        add(&self.counts.messages, sent);
        lasted
    }

    fn send_to(&self, id: u64) {
        let guard = self.rcu.read();
        if let Some(connection) = self.connections.get(&id, &guard) {
            connection.send();
            add(&self.counts.messages, 1);
        }
        add(&self.counts.lookups, 1);
    }
}

/// Returns the resident memory of this process in kilobytes, if the system reports it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Opens and closes connections until `stop` is set. Each churner has places of its own, and its
/// oldest connection leaves.
async fn churn(registry: Arc<Registry>, places: Places, churner: u64, stop: Arc<AtomicBool>) {
    let mut next = places.each;
    while !stop.load(Ordering::Relaxed) {
        registry.disconnect(places.id(churner, next - places.each)).await;
        registry.connect(places.id(churner, next));
        next += 1;
        if next % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// The numbers of connections: below `lasting` those that stay, above them those of each churner in
/// turn.
#[derive(Clone, Copy)]
struct Places {
    lasting: u64,
    churners: u64,
    /// The number of places of each churner.
    each: u64,
}

impl Places {
    fn id(&self, churner: u64, n: u64) -> u64 {
        self.lasting + n * self.churners + churner
    }
}

/// Broadcasts again and again, without a pause.
fn broadcaster(registry: &Registry, lasting: u64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if registry.broadcast(lasting) != lasting {
            registry.counts.violations.fetch_add(1, Ordering::Relaxed);
            eprintln!("VIOLATION: a broadcast missed a connection, or met one twice");
        }
    }
}

/// Sends to one connection after the other. Some of them have left.
fn whisperer(registry: &Registry, stop: &AtomicBool) {
    let mut random = 1u64;
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        registry.send_to((random >> 16) % registry.counts.opened.load(Ordering::Relaxed));
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let rcu = Rcu::builder()
        .name("registry")
        .executor(tokio::runtime::Handle::current())
        .build()
        .expect("a domain");
    let counts = Arc::new(Counts::default());
    let registry = Arc::new(Registry {
        connections: RcuMap::new_in(&rcu),
        counts: Arc::clone(&counts),
        closing: Arc::new(Semaphore::new(args.closing)),
        rcu,
    });
    let lasting = args.connections / 10;
    let places = Places {
        lasting,
        churners: args.churners,
        each: (args.connections - lasting) / args.churners,
    };
    (0..places.id(0, places.each)).for_each(|id| registry.connect(id));
    println!("connected          {}", registry.connections.len());

    let stop = Arc::new(AtomicBool::new(false));
    let senders = [true, false].map(|all| {
        let (registry, stop) = (Arc::clone(&registry), Arc::clone(&stop));
        std::thread::spawn(move || match all {
            true => broadcaster(&registry, lasting, &stop),
            false => whisperer(&registry, &stop),
        })
    });
    let churners: Vec<_> = (0..args.churners)
        .map(|churner| {
            let (registry, stop) = (Arc::clone(&registry), Arc::clone(&stop));
            tokio::spawn(churn(registry, places, churner, stop))
        })
        .collect();

    // The first quarter warms up. Memory is then compared with that of the same work.
    let time = Duration::from_secs(args.seconds);
    tokio::time::sleep(time / 4).await;
    let (before, gone_before) = (resident(), counts.freed.load(Ordering::Relaxed));
    tokio::time::sleep(time - time / 4).await;
    let (after, gone) = (resident(), counts.freed.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    for churner in churners {
        churner.await.expect("a churner");
    }
    for sender in senders {
        sender.join().expect("a sender");
    }

    // All connections leave.
    let connected = registry.connections.len();
    let all: Vec<u64> = registry.connections.keys(&registry.rcu.read()).copied().collect();
    for id in all {
        registry.disconnect(id).await;
    }
    registry.rcu.drain().await;

    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!("connected at end   {connected}");
    println!("opened             {}", of(&counts.opened));
    println!("closed             {}", of(&counts.closed));
    println!("freed              {}", of(&counts.freed));
    println!("broadcasts         {}", of(&counts.broadcasts));
    println!("messages           {}", of(&counts.messages));
    println!("lookups            {}", of(&counts.lookups));
    let mut wrong = of(&counts.violations);
    let mut check = |holds: bool, what: &str| {
        if !holds {
            eprintln!("VIOLATION: {what}");
            wrong += 1;
        }
    };
    check(connected as u64 == places.id(0, places.each), "not as many connections left as came");
    check(registry.connections.is_empty(), "the registry is not empty at the end");
    check(of(&counts.closed) == of(&counts.opened), "some connections were not closed once");
    check(of(&counts.freed) == of(&counts.opened), "some connections were not freed once");
    check(gone > gone_before, "no connections came and went");
    if let (Some(before), Some(after)) = (before, after) {
        println!(
            "memory             {before} kB, and {after} kB after {} more had left",
            gone - gone_before
        );
        check(after < 2 * before, "memory grew with the connections that left");
    }
    println!("violations         {wrong}");
    ExitCode::from(u8::from(wrong > 0))
}
