//! Streaming responses that hold their snapshot over many sends, and release the snapshot on
//! request.
//!
//! `cargo run --release --example streaming`
//!
//! A large table is replaced every few milliseconds, while slow clients download it row by row. A
//! response reads one version across all its sends. So as long as the response lasts, its version
//! and every later one stay in memory. A response that listens avoids this: `release_requested`
//! completes when the memory is needed, here when `max_pending` old versions wait to be freed.
//! The response then goes on with the current version, from its current row.
//!
//! Each variant runs in a process of its own. With deaf responses, which do not listen, the memory
//! grows with each version. With listening responses the memory stays flat. The exit status is 1 if
//! a client got a row twice, out of order, or never, or if the memory of the listening variant is
//! not bounded.

use async_rcu::{Rcu, RcuCell, cell::OwnedRcuRef};
use std::error::Error;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

const CLIENTS: usize = 8;
const ROWS: usize = 200;
const VERSIONS: usize = 200;
/// The number of bytes of a version; each row is a part of them.
const SIZE: usize = 1 << 20;
/// The number of old versions that may wait to be freed before their holders are asked to release
/// them.
const LIMIT: usize = 8;

/// The number of versions that are alive now, and the largest number so far.
#[derive(Default)]
struct Alive {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A version of the table: every byte of a row is the row's number.
struct Table {
    version: usize,
    bytes: Vec<u8>,
    alive: Arc<Alive>,
}

impl Table {
    fn new(version: usize, alive: &Arc<Alive>) -> Self {
        let now = alive.now.fetch_add(1, Ordering::Relaxed) + 1;
        alive.most.fetch_max(now, Ordering::Relaxed);
        let mut bytes = vec![0; SIZE];
        for (row, bytes) in bytes.chunks_exact_mut(SIZE / ROWS).enumerate() {
            bytes.fill(row as u8);
        }
        Self { version, bytes, alive: Arc::clone(alive) }
    }

    fn row(&self, row: usize) -> &[u8] {
        &self.bytes[row * (SIZE / ROWS)..][..SIZE / ROWS]
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.alive.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of a response: the row's number, its version, and its content.
type Chunk = (usize, usize, Vec<u8>);

/// Sends the table. Returns how often the response moved on to a newer version.
async fn respond(table: Arc<RcuCell<Table>>, client: mpsc::Sender<Chunk>, listens: bool) -> usize {
    let mut snapshot = table.read_owned();
    let mut reloads = 0;
    let mut row = 0;
    while row < ROWS {
        tokio::select! {
            biased;
            () = OwnedRcuRef::guard(&snapshot).release_requested(), if listens => {
                OwnedRcuRef::reload(&mut snapshot, &table);
                reloads += 1;
            }
            // Waits for room for a chunk: the client is slow.
            room = client.reserve() => {
                let Ok(room) = room else { break };
                room.send((row, snapshot.version, snapshot.row(row).to_vec()));
                row += 1;
            }
        }
    }
    reloads
}

/// Receives as a slow client. Returns `false` if it got a wrong table.
async fn download(mut response: mpsc::Receiver<Chunk>) -> bool {
    let (mut rows, mut newest) = (0, 0);
    while let Some((row, version, bytes)) = response.recv().await {
        let right = row == rows && version >= newest && bytes.iter().all(|b| *b == row as u8);
        if !right {
            return false;
        }
        (rows, newest) = (rows + 1, version);
        sleep(Duration::from_millis(4)).await;
    }
    rows == ROWS
}

/// Runs one variant in this process. Returns the figures that the parent prints.
#[tokio::main]
async fn run(listens: bool) -> Result<String, Box<dyn Error>> {
    let rcu = Rcu::builder().name("table").max_pending(LIMIT).build()?;
    let alive = Arc::new(Alive::default());
    let table = Arc::new(RcuCell::new_in(&rcu, Table::new(0, &alive)));
    let mut responses = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (sender, response) = mpsc::channel(1);
        responses.push(tokio::spawn(respond(Arc::clone(&table), sender, listens)));
        clients.push(tokio::spawn(download(response)));
    }
    let mut memory = Vec::new();
    let mut tick = interval(Duration::from_millis(3));
    for version in 1..=VERSIONS {
        tick.tick().await;
        table.store(Table::new(version, &alive));
        if version % (VERSIONS / 5) == 0 {
            memory.push(resident_memory().map_or("unknown".into(), |mib| mib.to_string()));
        }
    }
    let mut reloads = 0;
    for response in responses {
        reloads += response.await?;
    }
    let mut right = true;
    for client in clients {
        right &= client.await?;
    }
    rcu.drain().await;
    let (most, left) = (alive.most.load(Ordering::Relaxed), alive.now.load(Ordering::Relaxed));
    // All readers have ended: only the current version is left.
    right &= left == 1;
    // Listening responses get the request in time. So the number of living versions is about the
    // limit, plus the versions that are published until the responses release theirs.
    right &= !listens || most < VERSIONS / 2;
    Ok(format!("{right} {most} {reloads} {}", memory.join(" ")))
}

/// Returns the resident memory of this process in MiB, if the system reports it.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(variant) = std::env::args().nth(1) {
        println!("{}", run(variant == "listens")?);
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{VERSIONS} versions of {} KiB, {CLIENTS} slow downloads of {ROWS} rows; MiB after each \
         fifth of the versions:",
        SIZE / 1024
    );
    println!("{:<10} {:>11} {:>8} {:>27}", "", "most alive", "reloads", "memory");
    let mut wrong = false;
    for (variant, name) in [("deaf", "deaf"), ("listens", "listens")] {
        let child = Command::new(std::env::current_exe()?).arg(variant).output()?;
        let told = String::from_utf8_lossy(&child.stdout);
        let mut fields = told.split_whitespace();
        let [right, most, reloads] = [(); 3].map(|()| fields.next().unwrap_or("none"));
        print!("{name:<10} {most:>11} {reloads:>8}  ");
        fields.for_each(|mib| print!("{mib:>5}"));
        println!();
        if !child.status.success() || right != "true" {
            eprintln!(
                "streaming: {variant}: a client got a wrong table, or too many versions were \
                 alive: {}",
                String::from_utf8_lossy(&child.stderr)
            );
            wrong = true;
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
