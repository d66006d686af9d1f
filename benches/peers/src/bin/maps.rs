//! `RcuMap` compared with papaya, dashmap and `RwLock<HashMap>`. The candidates run in turn in one
//! process; the figures are medians over the rounds.
//!
//! `(cd benches/peers && cargo run --release --bin maps -- WHAT [--rounds N])`, where WHAT is
//! `throughput`, `single`, `resize`, `churn` or `memory`.

use async_rcu::{Rcu, RcuMap};
use clap::{Parser, ValueEnum};
use dashmap::DashMap;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, RwLock};
use std::time::{Duration, Instant};

trait Map: Send + Sync + 'static {
    fn name() -> &'static str;
    fn new() -> Self;
    /// Looks one key up, under a guard or lock for this lookup only.
    fn get(&self, key: u64) -> u64;
    fn insert(&self, key: u64, value: u64);
    /// Looks `n` keys up, under one guard if the map has guards.
    fn get_many(&self, keys: &mut Keys, n: usize) -> u64;
    fn remove(&self, key: u64);
    /// Adds 1 to the value of a key that is there.
    fn update(&self, key: u64);
    /// Walks over all entries, and returns the sum of the values.
    fn sum(&self) -> u64;
    /// Walks over all entries, and returns their number. Does not look at them.
    fn count(&self) -> usize;
}

struct Ours(RcuMap<u64, u64>, Rcu);
impl Map for Ours {
    fn name() -> &'static str {
        "async-rcu"
    }
    fn new() -> Self {
        let rcu = Rcu::new();
        Ours(RcuMap::new_in(&rcu), rcu)
    }
    fn get(&self, key: u64) -> u64 {
        let g = self.1.read();
        self.0.get(&key, &g).copied().unwrap_or(0)
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }
    fn get_many(&self, keys: &mut Keys, n: usize) -> u64 {
        let g = self.1.read();
        let mut sum = 0;
        for _ in 0..n {
            sum += self.0.get(&keys.next(), &g).copied().unwrap_or(0);
        }
        sum
    }
    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }
    fn update(&self, key: u64) {
        self.0.update(&key, |value| value + 1);
    }
    fn sum(&self) -> u64 {
        self.0.iter(&self.1.read()).map(|(_, value)| value).sum()
    }
    fn count(&self) -> usize {
        self.0.iter(&self.1.read()).count()
    }
}

struct Papaya(papaya::HashMap<u64, u64>);
impl Map for Papaya {
    fn name() -> &'static str {
        "papaya"
    }
    fn new() -> Self {
        Papaya(papaya::HashMap::new())
    }
    fn get(&self, key: u64) -> u64 {
        self.0.pin().get(&key).copied().unwrap_or(0)
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.pin().insert(key, value);
    }
    fn get_many(&self, keys: &mut Keys, n: usize) -> u64 {
        let p = self.0.pin();
        let mut sum = 0;
        for _ in 0..n {
            sum += p.get(&keys.next()).copied().unwrap_or(0);
        }
        sum
    }
    fn remove(&self, key: u64) {
        self.0.pin().remove(&key);
    }
    fn update(&self, key: u64) {
        self.0.pin().update(key, |value| value + 1);
    }
    fn sum(&self) -> u64 {
        self.0.pin().iter().map(|(_, value)| value).sum()
    }
    fn count(&self) -> usize {
        self.0.pin().iter().count()
    }
}

struct Dash(DashMap<u64, u64>);
impl Map for Dash {
    fn name() -> &'static str {
        "dashmap"
    }
    fn new() -> Self {
        Dash(DashMap::with_hasher(Default::default()))
    }
    fn get(&self, key: u64) -> u64 {
        self.0.get(&key).map_or(0, |v| *v)
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }
    fn get_many(&self, keys: &mut Keys, n: usize) -> u64 {
        (0..n).map(|_| self.get(keys.next())).sum()
    }
    fn remove(&self, key: u64) {
        self.0.remove(&key);
    }
    fn update(&self, key: u64) {
        if let Some(mut value) = self.0.get_mut(&key) {
            *value += 1;
        }
    }
    fn sum(&self) -> u64 {
        self.0.iter().map(|entry| *entry.value()).sum()
    }
    fn count(&self) -> usize {
        self.0.iter().count()
    }
}

struct Locked(RwLock<HashMap<u64, u64>>);
impl Map for Locked {
    fn name() -> &'static str {
        "RwLock<HashMap>"
    }
    fn new() -> Self {
        Locked(RwLock::default())
    }
    fn get(&self, key: u64) -> u64 {
        self.0.read().unwrap().get(&key).copied().unwrap_or(0)
    }
    fn insert(&self, key: u64, value: u64) {
        self.0.write().unwrap().insert(key, value);
    }
    fn get_many(&self, keys: &mut Keys, n: usize) -> u64 {
        let m = self.0.read().unwrap();
        (0..n).map(|_| m.get(&keys.next()).copied().unwrap_or(0)).sum()
    }
    fn remove(&self, key: u64) {
        self.0.write().unwrap().remove(&key);
    }
    fn update(&self, key: u64) {
        if let Some(value) = self.0.write().unwrap().get_mut(&key) {
            *value += 1;
        }
    }
    fn sum(&self) -> u64 {
        self.0.read().unwrap().values().sum()
    }
    fn count(&self) -> usize {
        self.0.read().unwrap().iter().map(black_box).count()
    }
}

/// Random keys below a bound.
#[derive(Clone)]
struct Keys {
    state: u64,
    bound: u64,
}
impl Keys {
    fn new(seed: u64, bound: u64) -> Self {
        Keys { state: seed.wrapping_mul(0x9e3779b97f4a7c15) | 1, bound }
    }
    #[inline(always)]
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((self.state as u128 * self.bound as u128) >> 64) as u64
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Load {
    Get,
    GetMany,
    Mix(u64),
}

/// Returns the nanoseconds of one operation of one thread.
fn run<M: Map>(map: &Arc<M>, size: u64, threads: usize, load: Load, time: Duration) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let gate = Arc::new(Barrier::new(threads + 1));
    let workers: Vec<_> = (0..threads)
        .map(|t| {
            let (map, stop, gate) = (map.clone(), stop.clone(), gate.clone());
            std::thread::spawn(move || {
                let mut keys = Keys::new(t as u64 + 7, size);
                let mut dice = Keys::new(t as u64 + 99, 100);
                gate.wait();
                let start = Instant::now();
                let mut ops = 0u64;
                let mut sum = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    match load {
                        Load::Get => {
                            for _ in 0..256 {
                                sum += map.get(keys.next());
                            }
                        }
                        Load::GetMany => sum += map.get_many(&mut keys, 256),
                        Load::Mix(writes) => {
                            for _ in 0..256 {
                                if dice.next() < writes {
                                    map.insert(keys.next(), 1)
                                } else {
                                    sum += map.get(keys.next())
                                }
                            }
                        }
                    }
                    ops += 256;
                }
                black_box(sum);
                start.elapsed().as_nanos() as f64 / ops as f64
            })
        })
        .collect();
    gate.wait();
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    let all: Vec<f64> = workers.into_iter().map(|w| w.join().unwrap()).collect();
    all.iter().sum::<f64>() / all.len() as f64
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn filled<M: Map>(size: u64) -> Arc<M> {
    let map = M::new();
    for k in 0..size {
        map.insert(k, 1);
    }
    Arc::new(map)
}

fn throughput(rounds: usize) {
    for size in [1_000u64, 1_000_000] {
        let a = filled::<Ours>(size);
        let b = filled::<Papaya>(size);
        let c = filled::<Dash>(size);
        let d = filled::<Locked>(size);
        for threads in [1, 2] {
            for load in [Load::Get, Load::GetMany, Load::Mix(1), Load::Mix(10)] {
                let t = Duration::from_millis(200);
                let mut r: [Vec<f64>; 4] = Default::default();
                for _ in 0..rounds {
                    r[0].push(run(&a, size, threads, load, t));
                    r[1].push(run(&b, size, threads, load, t));
                    r[2].push(run(&c, size, threads, load, t));
                    r[3].push(run(&d, size, threads, load, t));
                }
                let m = r.map(median);
                println!(
                    "{size:>8} keys {threads} thr {:>9}: {} {:6.1}  {} {:6.1} ({:.2})  \
                     {} {:6.1}  {} {:6.1} ns/op",
                    format!("{load:?}"),
                    Ours::name(),
                    m[0],
                    Papaya::name(),
                    m[1],
                    m[0] / m[1],
                    Dash::name(),
                    m[2],
                    Locked::name(),
                    m[3]
                );
            }
        }
    }
}

/// What one thread does in [`single`].
#[derive(Clone, Copy, PartialEq, Debug, clap::ValueEnum)]
enum Work {
    Get,
    GetMany,
    GetAbsent,
    Overwrite,
    Update,
    RemoveInsert,
    /// Each value is read.
    Iterate,
    /// The entries are only counted.
    Count,
    /// As in papaya's stress test: insert, get, update, remove, get, insert and get each key of a
    /// new map, and walk over the map.
    Mixed,
}

/// Returns the nanoseconds of one operation, over at least `n` operations.
fn turn<M: Map>(map: &M, keys: &mut Keys, work: Work, n: u64) -> f64 {
    let size = keys.bound;
    let mut done = 0;
    let mut sum = 0;
    let start = Instant::now();
    while done < n {
        done += 256;
        match work {
            Work::Get => (0..256).for_each(|_| sum += map.get(keys.next())),
            Work::GetMany => sum += map.get_many(keys, 256),
            Work::GetAbsent => (0..256).for_each(|_| sum += map.get(keys.next() + size)),
            Work::Overwrite => (0..256).for_each(|_| map.insert(keys.next(), 1)),
            Work::Update => (0..256).for_each(|_| map.update(keys.next())),
            Work::RemoveInsert => (0..128).for_each(|_| {
                let key = keys.next();
                map.remove(key);
                map.insert(key, 1);
            }),
            Work::Iterate => {
                sum += map.sum();
                done += size - 256;
            }
            Work::Count => {
                sum += map.count() as u64;
                done += size - 256;
            }
            Work::Mixed => {
                let map = M::new();
                (0..size).for_each(|key| map.insert(key, 1));
                (0..size).for_each(|key| sum += map.get(key));
                (0..size).for_each(|key| map.update(key));
                (0..size).for_each(|key| map.remove(key));
                (0..size).for_each(|key| sum += map.get(key));
                (0..size).for_each(|key| map.insert(key, 1));
                (0..size).for_each(|key| sum += map.get(key));
                sum += map.sum();
                done += 8 * size - 256;
            }
        }
    }
    black_box(sum);
    start.elapsed().as_nanos() as f64 / done as f64
}

/// Measures one thread. A candidate's turn is short, and the printed ratio is the median of the
/// ratios of turns that followed each other: it holds on a machine that others use, too.
fn single(rounds: usize, works: &[Work], sizes: &[u64]) {
    let works = if works.is_empty() { Work::value_variants() } else { works };
    for &size in sizes {
        let a = filled::<Ours>(size);
        let b = filled::<Papaya>(size);
        let c = filled::<Dash>(size);
        let d = filled::<Locked>(size);
        for &work in works {
            let n = if work == Work::Mixed { 1 } else { 200_000 };
            let mut keys = Keys::new(7, size);
            let mut r: [Vec<f64>; 4] = Default::default();
            for _ in 0..rounds {
                r[0].push(turn(&*a, &mut keys.clone(), work, n));
                r[1].push(turn(&*b, &mut keys.clone(), work, n));
                r[2].push(turn(&*c, &mut keys.clone(), work, n));
                r[3].push(turn(&*d, &mut keys, work, n));
            }
            let ratio =
                median(r[0].iter().zip(&r[1]).map(|(ours, theirs)| ours / theirs).collect());
            let m = r.map(median);
            println!(
                "{size:>8} keys {:>12}: {} {:6.1}  {} {:6.1} ({ratio:.2})  \
                 {} {:6.1}  {} {:6.1} ns/op",
                format!("{work:?}"),
                Ours::name(),
                m[0],
                Papaya::name(),
                m[1],
                Dash::name(),
                m[2],
                Locked::name(),
                m[3]
            );
        }
    }
}

/// Prints the heap bytes of an entry, with its part of the table, in maps that grew from nothing.
/// Each figure is the difference of two of glibc's counts of bytes in use (`mallinfo2`), which
/// include the allocator's own bytes.
fn memory() {
    fn one<M: Map>(size: u64) -> f64 {
        let map = M::new();
        let before = in_use();
        (0..size).for_each(|key| map.insert(key, 1));
        // Until then the old tables are freed.
        std::thread::sleep(Duration::from_millis(300));
        let bytes = in_use() - before;
        // Otherwise some of it would be freed during the next measurement.
        std::mem::forget(map);
        bytes as f64 / size as f64
    }
    for size in [1_000, 100_000, 700_000, 1_000_000] {
        println!(
            "{size:>8} keys: {} {:.1}  {} {:.1}  {} {:.1}  {} {:.1} heap bytes for each entry",
            Ours::name(),
            one::<Ours>(size),
            Papaya::name(),
            one::<Papaya>(size),
            Dash::name(),
            one::<Dash>(size),
            Locked::name(),
            one::<Locked>(size),
        );
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn in_use() -> i64 {
    // SAFETY: `mallinfo2` only reads the allocator's counts.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as i64
}

/// Returns 0: only glibc has these counts.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn in_use() -> i64 {
    0
}

fn quantiles(mut v: Vec<u32>) -> String {
    v.sort_unstable();
    let q = |p: f64| v[((v.len() - 1) as f64 * p) as usize];
    format!(
        "p50 {:>5} p99 {:>6} p99.9 {:>7} p99.99 {:>8} max {:>9} ns",
        q(0.5),
        q(0.99),
        q(0.999),
        q(0.9999),
        q(1.0)
    )
}

/// Times each operation while one thread inserts a million new keys into an empty map, and another
/// thread reads the keys that are there.
fn resize<M: Map>() -> (Vec<u32>, Vec<u32>, Duration) {
    const N: u64 = 1_000_000;
    let map = Arc::new(M::new());
    let there = Arc::new(AtomicU64::new(1));
    map.insert(0, 1);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (map, there, stop) = (map.clone(), there.clone(), stop.clone());
        move || {
            let mut times = Vec::with_capacity(16 << 20);
            let mut dice = Keys::new(3, u64::MAX);
            while !stop.load(Ordering::Relaxed) {
                let bound = there.load(Ordering::Acquire);
                let key = ((dice.next() as u128 * bound as u128) >> 64) as u64;
                let start = Instant::now();
                let value = map.get(key);
                let t = start.elapsed().as_nanos() as u32;
                assert_eq!(value, 1, "a lookup missed a key");
                if times.len() < times.capacity() {
                    times.push(t)
                }
            }
            times
        }
    });
    let begin = Instant::now();
    let mut inserts = Vec::with_capacity(N as usize);
    for key in 1..N {
        let start = Instant::now();
        map.insert(key, 1);
        inserts.push(start.elapsed().as_nanos() as u32);
        there.store(key + 1, Ordering::Release);
    }
    let all = begin.elapsed();
    stop.store(true, Ordering::Relaxed);
    (reader.join().unwrap(), inserts, all)
}

fn resize_all(rounds: usize) {
    fn one<M: Map>() {
        let (gets, inserts, all) = resize::<M>();
        println!("{:>16} get    {}", M::name(), quantiles(gets));
        println!("{:>16} insert {}   all {all:?}", M::name(), quantiles(inserts));
    }
    for _ in 0..rounds {
        one::<Ours>();
        one::<Papaya>();
        one::<Dash>();
        one::<Locked>();
    }
}

/// Inserts and removes in turn, around a constant size, on one thread and on two.
fn churn(rounds: usize) {
    fn one<M: Map>(threads: u64) -> f64 {
        let map = filled::<M>(100_000);
        let workers: Vec<_> = (0..threads)
            .map(|t| {
                let map = map.clone();
                std::thread::spawn(move || {
                    let mut keys = Keys::new(t + 5, 200_000);
                    let start = Instant::now();
                    for _ in 0..500_000 {
                        map.insert(keys.next(), 1);
                        map.remove(keys.next());
                    }
                    start.elapsed().as_nanos() as f64 / 1e6
                })
            })
            .collect();
        let n = workers.len() as f64;
        workers.into_iter().map(|w| w.join().unwrap()).sum::<f64>() / n
    }
    for threads in [1, 2] {
        let mut r: [Vec<f64>; 4] = Default::default();
        for _ in 0..rounds {
            r[0].push(one::<Ours>(threads));
            r[1].push(one::<Papaya>(threads));
            r[2].push(one::<Dash>(threads));
            r[3].push(one::<Locked>(threads));
        }
        let m = r.map(median);
        println!(
            "churn {threads} thr: async-rcu {:.1} papaya {:.1} dashmap {:.1} RwLock {:.1} ns/op",
            m[0], m[1], m[2], m[3]
        );
    }
}

/// Concurrent maps, compared with each other.
#[derive(Parser)]
struct Arguments {
    /// The measurement to run.
    #[arg(value_enum, default_value = "throughput")]
    what: What,
    /// The number of rounds, in which each candidate has one turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For `single`: the operations; all if none is given.
    #[arg(long, value_enum)]
    work: Vec<Work>,
    /// For `single`: the numbers of keys.
    #[arg(long, default_values_t = [1_000, 100_000, 1_000_000])]
    keys: Vec<u64>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// Lookups, alone and with 1 or 10 writes in 100, among 1,000 and 1,000,000 keys, on one and
    /// two threads.
    Throughput,
    /// Each operation alone, walks and mixed ones, on one thread.
    Single,
    /// Times of each lookup and insertion while the map grows from nothing to a million keys.
    Resize,
    /// Insertions and removals around a constant size.
    Churn,
    /// Heap bytes for each entry.
    Memory,
}

fn main() {
    let Arguments { what, rounds, work, keys } = Arguments::parse();
    match what {
        What::Throughput => throughput(rounds),
        What::Resize => resize_all(rounds),
        What::Churn => churn(rounds),
        What::Single => single(rounds, &work, &keys),
        What::Memory => memory(),
    }
}
