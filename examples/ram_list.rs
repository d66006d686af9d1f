//! The memory map of an emulator: which block of memory backs an address? Beside the same list under a mutex.
//!
//! `cargo run --release --example ram_list`
//!
//! Every access of a guest looks an address up in a list of blocks. The old way moves the block that was found to the front of
//! the list, so that the next lookup finds it at once: then each reader writes, and needs a lock. Here the list is an
//! [`RcuList`], and the block that was used last is kept apart from it: each reader remembers its own, for as long as its
//! section. Readers write nothing that others see.
//!
//! Blocks are added and removed under the big lock, which also guards the map of free addresses. A removed block is freed
//! under it too, by a callback, when no reader can be using it; only then can its addresses be given to another.
//!
//! Look at: lookups a second with both lists, each beside one thread that adds and removes a thousand blocks a second. Every
//! lookup is checked; it fails if one finds the wrong block, a freed one, or misses one that was there throughout.

use async_rcu::{GlobalLock, Rcu, RcuList, ReadGuard};
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);
/// Blocks that are there throughout, at the even places of the address space.
const FIXED: u64 = 12;
/// Blocks that come and go, at the odd places below the last fixed one.
const PLUGGED: usize = 4;
const BLOCK: u64 = 1 << 14;
const ALIVE: u64 = 0x0a11_7e5f_0a11_7e5f;

/// Lookups in one section, and in a row in one block.
const IN_SECTION: u64 = 256;
const IN_BLOCK: u64 = 32;

static BLOCKS_MADE: AtomicU64 = AtomicU64::new(0);
static BLOCKS_FREED: AtomicU64 = AtomicU64::new(0);

/// Some memory of the guest. Poisoned when it is freed.
struct Block {
    alive: AtomicU64,
    offset: u64,
    memory: Vec<u8>,
}

/// What is at an address, in every block that is ever there.
fn content(address: u64) -> u8 {
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl Block {
    fn at_place(place: u64) -> Self {
        BLOCKS_MADE.fetch_add(1, Relaxed);
        let offset = place * BLOCK;
        Block {
            alive: AtomicU64::new(ALIVE),
            offset,
            memory: (offset..offset + BLOCK).map(content).collect(),
        }
    }

    fn holds(&self, address: u64) -> bool {
        address.wrapping_sub(self.offset) < self.memory.len() as u64
    }

    /// Reads the byte at an address, which must be in this block; `false` where it is not what is there.
    fn check(&self, address: u64) -> bool {
        self.alive.load(Relaxed) == ALIVE
            && self.memory.get(address.wrapping_sub(self.offset) as usize)
                == Some(&content(address))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.alive.store(0, Relaxed);
        self.memory.fill(0xDE);
        BLOCKS_FREED.fetch_add(1, Relaxed);
    }
}

/// Both lists, as the threads that look up see them.
trait Map: Sync {
    /// Looks addresses up, until it is told to stop.
    fn look_up(&self, addresses: Addresses, stop: &AtomicBool) -> Looked;
    /// Removes what is in a place, and adds a new block in another that is free.
    fn exchange(&self);
}

#[derive(Default)]
struct Looked {
    lookups: u64,
    wrong: u64,
}

impl Looked {
    /// What a lookup found: a fixed block is always there.
    fn count(&mut self, address: u64, found: Option<bool>) {
        self.lookups += 1;
        let fixed = (address / BLOCK) % 2 == 0;
        self.wrong += u64::from(!found.unwrap_or(!fixed));
    }
}

/// What a guest accesses: a while here, a while there.
struct Addresses {
    random: u64,
    place: u64,
    left: u64,
}

impl Addresses {
    fn new(seed: u64) -> Self {
        Self {
            random: 0x9e37_79b9_7f4a_7c15 ^ seed,
            place: 0,
            left: 0,
        }
    }

    fn next(&mut self) -> u64 {
        // Marsaglia's xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if self.left == 0 {
            self.left = IN_BLOCK;
            self.place = (self.random >> 32) % (2 * FIXED - 1);
        }
        self.left -= 1;
        self.place * BLOCK + self.random % BLOCK
    }
}

/// The list under RCU, and the big lock.
struct RamList {
    blocks: RcuList<Block>,
    machine: GlobalLock<Machine>,
    rcu: Rcu,
}

/// What only the holder of the big lock may touch.
struct Machine {
    /// Places in the address space.
    free: Vec<u64>,
    plugged: Vec<u64>,
    /// Blocks that were not the callback's alone.
    not_free: u64,
}

/// A reader, for as long as a section. The block that it used last cannot outlive that: the compiler sees to it.
struct Reader<'g> {
    map: &'g RamList,
    guard: &'g ReadGuard<'g>,
    last: Option<&'g Block>,
}

impl<'g> Reader<'g> {
    fn find(&mut self, address: u64) -> Option<&'g Block> {
        let last = self.last.filter(|block| block.holds(address));
        let block = last.or_else(|| {
            let mut blocks = self.map.blocks.iter(self.guard);
            blocks.find(|block| block.holds(address))
        })?;
        self.last = Some(block);
        Some(block)
    }
}

impl RamList {
    fn new() -> Result<Self, async_rcu::BuildError> {
        let machine = GlobalLock::new(Machine {
            free: (0..FIXED - 1).map(|n| 2 * n + 1).collect(),
            plugged: Vec::new(),
            not_free: 0,
        });
        let rcu = Rcu::builder().name("ram").global_lock(&machine).build()?;
        let blocks = RcuList::new_in(&rcu);
        blocks.append((0..FIXED).map(|n| Block::at_place(2 * n)));
        Ok(Self {
            blocks,
            machine,
            rcu,
        })
    }

    fn plug(&self, machine: &mut Machine) {
        // None is free where the callbacks have not caught up: not this time, then.
        if !machine.free.is_empty() {
            let place = machine.free.remove(0);
            self.blocks.push_front(Block::at_place(place));
            machine.plugged.push(place);
        }
    }

    fn unplug(&self, machine: &mut Machine) {
        if machine.plugged.len() <= PLUGGED {
            return;
        }
        let place = machine.plugged.remove(0);
        let mut writer = self.blocks.write();
        while writer.current().is_some_and(|b| b.offset != place * BLOCK) {
            writer.move_next();
        }
        let removed = writer.remove();
        drop(writer);
        self.machine.call(&self.rcu, move |machine| {
            // Under the lock, when nobody can be using it.
            match removed.map(|block| block.try_take()) {
                Some(Ok(block)) => drop(block),
                _ => machine.not_free += 1,
            }
            machine.free.push(place);
        });
    }
}

impl Map for RamList {
    fn look_up(&self, mut addresses: Addresses, stop: &AtomicBool) -> Looked {
        let mut looked = Looked::default();
        while !stop.load(Relaxed) {
            let guard = self.rcu.read();
            let mut reader = Reader {
                map: self,
                guard: &guard,
                last: None,
            };
            for _ in 0..IN_SECTION {
                let address = addresses.next();
                let found = reader.find(address).map(|block| block.check(address));
                looked.count(address, found);
            }
        }
        looked
    }

    fn exchange(&self) {
        let mut machine = self.machine.blocking_lock();
        self.plug(&mut machine);
        self.unplug(&mut machine);
    }
}

/// The same list under a mutex, as it was before: what is found is moved to the front.
struct Mutexed(Mutex<Chain>);

#[derive(Default)]
struct Chain {
    first: Option<Box<Link>>,
    next_place: u64,
    plugged: Vec<u64>,
}

struct Link {
    block: Block,
    next: Option<Box<Link>>,
}

impl Chain {
    fn push_front(&mut self, block: Block) {
        let next = self.first.take();
        self.first = Some(Box::new(Link { block, next }));
    }

    /// Takes out the first that is wanted.
    fn take(&mut self, wanted: impl Fn(&Block) -> bool) -> Option<Box<Link>> {
        let mut place = &mut self.first;
        while place.as_ref().is_some_and(|link| !wanted(&link.block)) {
            place = &mut place.as_mut()?.next;
        }
        let mut link = place.take()?;
        *place = link.next.take();
        Some(link)
    }

    fn find(&mut self, address: u64) -> Option<&Block> {
        let first = self.first.as_ref().is_some_and(|f| f.block.holds(address));
        if !first {
            let mut link = self.take(|block| block.holds(address))?;
            link.next = self.first.take();
            self.first = Some(link);
        }
        self.first.as_ref().map(|link| &link.block)
    }
}

impl Mutexed {
    fn new() -> Self {
        let mut chain = Chain::default();
        (0..FIXED)
            .rev()
            .for_each(|n| chain.push_front(Block::at_place(2 * n)));
        Self(Mutex::new(chain))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Chain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        while self.take(|_| true).is_some() {}
    }
}

impl Map for Mutexed {
    fn look_up(&self, mut addresses: Addresses, stop: &AtomicBool) -> Looked {
        let mut looked = Looked::default();
        while !stop.load(Relaxed) {
            for _ in 0..IN_SECTION {
                let address = addresses.next();
                let mut chain = self.lock();
                let found = chain.find(address).map(|block| block.check(address));
                drop(chain);
                looked.count(address, found);
            }
        }
        looked
    }

    fn exchange(&self) {
        let mut chain = self.lock();
        let place = 2 * (chain.next_place % (FIXED - 1)) + 1;
        chain.next_place += 1;
        chain.push_front(Block::at_place(place));
        chain.plugged.push(place);
        if chain.plugged.len() > PLUGGED {
            let place = chain.plugged.remove(0);
            let removed = chain.take(|block| block.offset == place * BLOCK);
            drop(chain);
            drop(removed);
        }
    }
}

/// Looks up on several threads while another exchanges blocks; gives what was looked up and how many exchanges there were.
fn measure(name: &str, map: &dyn Map, threads: usize) -> Result<(f64, u64), Box<dyn Error>> {
    let stop = AtomicBool::new(false);
    let (end, ended) = mpsc::channel::<()>();
    let began = Instant::now();
    let (looked, exchanges) = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|n| {
                scope.spawn({
                    let stop = &stop;
                    move || map.look_up(Addresses::new(n as u64), stop)
                })
            })
            .collect();
        let monitor = scope.spawn(move || {
            let mut exchanges = 0u64;
            while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                map.exchange();
                exchanges += 1;
            }
            exchanges
        });
        thread::sleep(TIME);
        stop.store(true, Relaxed);
        drop(end);
        let readers = readers.into_iter().map(|reader| reader.join());
        (readers.collect::<Result<Vec<_>, _>>(), monitor.join())
    });
    let seconds = began.elapsed().as_secs_f64();
    let looked = looked.map_err(|_| "a reader panicked")?;
    let exchanges = exchanges.map_err(|_| "the monitor panicked")?;
    let lookups: u64 = looked.iter().map(|looked| looked.lookups).sum();
    let wrong: u64 = looked.iter().map(|looked| looked.wrong).sum();
    let rate = lookups as f64 / seconds;
    println!(
        "{name:10} {threads:>7} {:>16.1} {exchanges:>10} {wrong:>6}",
        rate / 1e6
    );
    Ok((rate, wrong))
}

fn run() -> Result<bool, Box<dyn Error>> {
    let threads = thread::available_parallelism()?.get().clamp(2, 8);
    println!("list       threads  million lookups/s exchanges  wrong");
    let mut wrong = 0;
    let mut ratios = Vec::new();
    for threads in [1, threads] {
        let ram_list = RamList::new()?;
        let (rcu_rate, rcu_wrong) = measure("RcuList", &ram_list, threads)?;
        let machine = ram_list.machine.blocking_lock();
        wrong += rcu_wrong + machine.blocking_drain(&ram_list.rcu).not_free;
        let rcu = ram_list.rcu.clone();
        drop(ram_list);
        rcu.blocking_drain();

        let (rate, mutexed_wrong) = measure("Mutex", &Mutexed::new(), threads)?;
        wrong += mutexed_wrong;
        ratios.push(rcu_rate / rate);
    }
    println!(
        "RcuList / Mutex: {:.1} on one thread, {:.1} on {threads}",
        ratios[0], ratios[1]
    );
    let (made, freed) = (BLOCKS_MADE.load(Relaxed), BLOCKS_FREED.load(Relaxed));
    println!("{made} blocks were added, {freed} freed; {wrong} lookups went wrong");
    Ok(wrong == 0 && made == freed)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("ram_list: the counts are not what they must be");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("ram_list: {error}");
            ExitCode::FAILURE
        }
    }
}
