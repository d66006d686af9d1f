//! Memory: the heap bytes of a thread, a guard and a callback, and the resident set while ten
//! million callbacks wait for one reader.
//!
//! A heap figure is the difference of two of glibc's counts of bytes in use (`mallinfo2`), which
//! include the allocator's own bytes. Each figure is measured in a process of its own.

use crate::probe::probe;
use crate::urcu::{Flavour, memb};
use async_rcu::Rcu;
use serde_json::{Value, json};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

const MEBIBYTE: f64 = (1 << 20) as f64;

/// How many guards or callbacks share one measured difference.
const MANY: usize = 1_000_000;

/// Prints the tables, and returns their figures as JSON.
pub(crate) fn run() -> Value {
    println!("## Memory");
    println!();
    println!("| heap bytes per | async-rcu | liburcu memb |");
    println!("|---|---|---|");
    let mut each = serde_json::Map::new();
    for (what, ours, theirs) in [
        ("thread that has read", "thread-ours", Some("thread-memb")),
        ("held owned guard (and 16 in the handle)", "guard-ours", None),
        ("queued callback, up to 3 words", "call-ours", None),
        ("queued callback, 8 words, boxed", "call-boxed-ours", None),
        ("queued drop of a 24-byte box, box included", "retire-ours", Some("retire-memb")),
    ] {
        let figure = |name| probe(name).map(|figures| figures[0]);
        let (ours, theirs) = (figure(ours), theirs.and_then(figure));
        let show = |f: Option<f64>| f.map_or("-".to_owned(), |f| format!("{f:.1}"));
        println!("| {what} | {} | {} |", show(ours), show(theirs));
        each.insert(what.to_owned(), json!({ "async-rcu": ours, "liburcu memb": theirs }));
    }
    println!();
    println!("Resident set in MiB while ten million callbacks wait for a reader that stays 1 s:");
    println!();
    println!(
        "| | before | peak | after the drain | after malloc_trim, which `on_idle` may call \
         | seconds |"
    );
    println!("|---|---|---|---|---|---|");
    let mut flood = serde_json::Map::new();
    for (what, name) in [
        ("async-rcu, call of one word", "flood-ours"),
        ("async-rcu, retire of 24-byte boxes", "flood-retire-ours"),
        ("liburcu memb, malloc and call_rcu of 24 bytes, header included", "flood-memb"),
    ] {
        let Some(f) = probe(name) else { continue };
        println!(
            "| {what} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} |",
            f[0], f[1], f[2], f[3], f[4]
        );
        flood.insert(what.to_owned(), json!(f));
    }
    println!();
    json!({ "heap_bytes_per": each, "flood_mib": flood })
}

/// Answers a probe of this module. Returns `None` if `what` is no probe of this module.
pub(crate) fn answer(what: &str) -> Option<Result<Vec<f64>, String>> {
    Some(match what {
        "thread-ours" => {
            let rcu = Rcu::new();
            Ok(per_thread(move |then| {
                drop(rcu.read());
                then();
            }))
        }
        "thread-memb" => memb().map(|memb| {
            per_thread(move |then| {
                memb.on_thread(|thread| {
                    thread.in_section(|| {});
                    then();
                });
            })
        }),
        "guard-ours" => {
            let rcu = Rcu::new();
            let mut held = Vec::with_capacity(MANY);
            let make = || (0..MANY).for_each(|_| held.push(rcu.read_owned()));
            Ok(per(MANY, make))
        }
        "call-ours" => Ok(under_a_reader(|rcu, i| {
            rcu.call(move || assert_ne!(i, u64::MAX));
        })),
        "call-boxed-ours" => Ok(under_a_reader(|rcu, i| {
            let words = [i; 8];
            rcu.call(move || assert_ne!(words[7], u64::MAX));
        })),
        "retire-ours" => Ok(under_a_reader(|rcu, i| rcu.retire(Box::new([i; 3])))),
        "retire-memb" => memb().map(|memb| {
            memb.on_thread(|thread| {
                thread.in_section(|| per(MANY, || thread.retire_loop(MANY as u64)))
            })
        }),
        "flood-ours" => Ok(flood_ours(|rcu, i| {
            rcu.call(move || assert_ne!(i, u64::MAX));
        })),
        "flood-retire-ours" => Ok(flood_ours(|rcu, i| rcu.retire(Box::new([i; 3])))),
        "flood-memb" => memb().map(flood_urcu),
        _ => return None,
    })
}

/// Measures the heap bytes in use for each of `many` objects that `make` makes.
fn per(many: usize, make: impl FnOnce()) -> Vec<f64> {
    let before = in_use();
    make();
    vec![(in_use() - before) as f64 / many as f64]
}

/// Measures callbacks that wait for a reader.
fn under_a_reader(queue: impl Fn(&Rcu, u64)) -> Vec<f64> {
    let rcu = Rcu::new();
    // The first callback of a thread allocates more than the others; it is not counted.
    queue(&rcu, 0);
    rcu.blocking_drain();
    let _section = rcu.read_owned();
    per(MANY, || {
        (0..MANY as u64).for_each(|i| queue(&rcu, i));
    })
}

/// Measures threads. `register` registers its thread, and calls its argument while the thread is
/// registered.
fn per_thread(register: impl Fn(&mut dyn FnMut()) + Send + Clone + 'static) -> Vec<f64> {
    const THREADS: usize = 1_000;
    let (ready, is_ready) = channel();
    let mut go = Vec::new();
    for _ in 0..THREADS {
        let (sender, receiver) = channel::<()>();
        let (ready, register) = (ready.clone(), register.clone());
        thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || {
                // The first message allocates what a thread and its channel need at first use.
                let _ = ready.send(());
                let _ = receiver.recv();
                register(&mut || {
                    let _ = ready.send(());
                    let _ = receiver.recv();
                });
            })
            .expect("a thread");
        go.push(sender);
    }
    let all_ready = || (0..THREADS).for_each(|_| is_ready.recv().expect("a thread"));
    all_ready();
    per(THREADS, || {
        go.iter().for_each(|go| go.send(()).expect("a thread"));
        all_ready();
    })
}

const FLOOD: u64 = 10_000_000;

fn flood_ours(queue: impl Fn(&Rcu, u64) + Sync) -> Vec<f64> {
    let rcu = Rcu::new();
    let start = Instant::now();
    let before = resident();
    let section = rcu.read_owned();
    (0..FLOOD).for_each(|i| queue(&rcu, i));
    thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
    drop(section);
    rcu.blocking_drain();
    let seconds = start.elapsed().as_secs_f64();
    flood_figures(before, seconds)
}

fn flood_urcu(flavour: Flavour) -> Vec<f64> {
    let start = Instant::now();
    let before = resident();
    flavour.on_thread(|thread| {
        thread.in_section(|| {
            thread.retire_loop(FLOOD);
            thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
        });
        flavour.barrier();
    });
    flood_figures(before, start.elapsed().as_secs_f64())
}

fn flood_figures(before: f64, seconds: f64) -> Vec<f64> {
    let peak = status("VmHWM:");
    let after = resident();
    trim();
    vec![before, peak, after, resident(), seconds]
}

fn resident() -> f64 {
    status("VmRSS:")
}

/// Reads a line of /proc/self/status, in MiB. Returns NaN if there is no such line.
fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(f64::NAN, |kibibytes| kibibytes * 1024.0 / MEBIBYTE)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn in_use() -> i64 {
    // SAFETY: `mallinfo2` only reads the allocator's counts.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as i64
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: `malloc_trim` only returns unused pages to the system.
    unsafe { libc::malloc_trim(0) };
}

/// Returns 0: only glibc has these counts.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn in_use() -> i64 {
    0
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
