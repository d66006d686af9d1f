//! The use of `max_pending` and `reserve`: fast writers, a slow disk, and a slow reader.
//!
//! `cargo run --release --example backpressure`
//!
//! Writers replace a page as fast as they can. A callback writes each old page to a slow "disk"
//! when no reader sees the page any more. One reader keeps each page that it sees for a while.
//! Writers make pages faster than the disk takes them, so old pages accumulate: without a limit, as
//! many as fit into memory. With a limit, a writer first waits for room, and then makes its page.
//!
//! Each variant runs in a process of its own, since the example measures the peak memory of the
//! process. Both variants write every page. They take about the same time, because both wait for
//! the disk. The variant with a limit takes a fraction of the memory. The exit status is 1 if a
//! page is lost.

use async_rcu::{Batch, Rcu, RcuCell, Retired};
use std::error::Error;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const WRITERS: u64 = 4;
const PAGES_EACH: u64 = 2_000;
const PAGES: u64 = WRITERS * PAGES_EACH;
const PAGE: usize = 16 * 1024;
const LIMIT: usize = 500;

/// The time that the disk needs for a page, and the time that the reader looks at one.
const DISK: Duration = Duration::from_micros(50);
const LOOK: Duration = Duration::from_millis(20);

type Page = Box<[u8]>;

fn page(n: u64) -> Page {
    vec![(n % 256) as u8; PAGE].into()
}

/// The disk for old pages.
#[derive(Default)]
struct Disk {
    written: AtomicU64,
    /// The pages on their way to the disk, and the largest number of them.
    waiting: AtomicU64,
    most: AtomicU64,
}

impl Disk {
    /// Counts a page that is on its way.
    fn expect(&self) {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(waiting, Ordering::Relaxed);
    }

    /// Writes a page. The callback calls it after a grace period, when no other thread has the
    /// page.
    fn write(&self, old: Retired<Page>) {
        let Ok(page) = old.try_take() else {
            return; // A reader still has the page: count it as lost.
        };
        thread::sleep(DISK);
        if page.iter().all(|byte| *byte == page[0]) {
            self.written.fetch_add(1, Ordering::Relaxed);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The executor: one thread for the disk, which takes batches in order.
fn beside_the_disk() -> impl Fn(Batch) + Send + Sync + 'static {
    let (sender, batches) = mpsc::channel::<Batch>();
    thread::spawn(move || batches.into_iter().for_each(Batch::run));
    move |batch| {
        // If the thread has ended, the error returns the batch. Its drop makes the domain's own
        // worker run it.
        let _ = sender.send(batch);
    }
}

/// Runs the writers, each as a task. With a limit, each writer waits for room before it makes a
/// page.
async fn write_all(rcu: &Rcu, cell: &Arc<RcuCell<Page>>, disk: &Arc<Disk>, limited: bool) {
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (rcu, cell, disk) = (rcu.clone(), Arc::clone(cell), Arc::clone(disk));
            tokio::spawn(async move {
                for n in 0..PAGES_EACH {
                    let room = match limited {
                        true => Some(rcu.reserve().await),
                        false => None,
                    };
                    disk.expect();
                    let old = cell.swap(page(writer + n));
                    let disk = Arc::clone(&disk);
                    match room {
                        Some(room) => room.call(move || disk.write(old)),
                        None => rcu.call(move || disk.write(old)),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }
}

/// Runs one variant in this process. Returns the figures that the parent prints.
#[tokio::main]
async fn run(limited: bool) -> Result<String, Box<dyn Error>> {
    let builder = Rcu::builder().name("pages").executor(beside_the_disk());
    let rcu = match limited {
        true => builder.max_pending(LIMIT).build()?,
        false => builder.build()?,
    };
    let cell = Arc::new(RcuCell::new_in(&rcu, page(0)));
    let (disk, over) = (Arc::new(Disk::default()), Arc::new(AtomicBool::new(false)));
    let reader = tokio::spawn({
        let (cell, over) = (Arc::clone(&cell), Arc::clone(&over));
        async move {
            while !over.load(Ordering::Relaxed) {
                let page = cell.read_owned();
                tokio::time::sleep(LOOK).await;
                assert!(
                    page.iter().all(|byte| *byte == page[0]),
                    "a page changed while the reader had it"
                );
            }
        }
    });
    let begun = Instant::now();
    write_all(&rcu, &cell, &disk, limited).await;
    over.store(true, Ordering::Relaxed);
    reader.await?;
    rcu.drain().await;
    let took = begun.elapsed().as_secs_f64();
    let [written, most] = [&disk.written, &disk.most].map(|n| n.load(Ordering::Relaxed));
    let peak = peak_memory().map_or("unknown".into(), |mib| mib.to_string());
    Ok(format!("{written} {most} {peak} {took:.2}"))
}

/// Returns the peak memory of this process in MiB, if the system reports it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(variant) = std::env::args().nth(1) {
        println!("{}", run(variant == "limited")?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{PAGES} pages of {} KiB, by {WRITERS} writers:", PAGE / 1024);
    println!(
        "{:<24} {:>8} {:>14} {:>10} {:>8}",
        "", "written", "most pending", "peak MiB", "seconds"
    );
    let mut lost = false;
    for (variant, name) in
        [("unlimited", "call".to_owned()), ("limited", format!("reserve, at most {LIMIT}"))]
    {
        let child = Command::new(std::env::current_exe()?).arg(variant).output()?;
        let told = String::from_utf8_lossy(&child.stdout);
        let mut fields = told.split_whitespace();
        let [written, most, peak, took] = [(); 4].map(|()| fields.next().unwrap_or("none"));
        println!("{name:<24} {written:>8} {most:>14} {peak:>10} {took:>8}");
        if !child.status.success() || written.parse() != Ok(PAGES) {
            eprintln!(
                "backpressure: {name}: {written} of {PAGES} pages were written: {}",
                String::from_utf8_lossy(&child.stderr)
            );
            lost = true;
        }
    }
    Ok(if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
