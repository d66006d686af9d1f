//! The memory map of an emulator: the blocks of memory that hold the content of the guest's
//! addresses. The example compares an RCU list with a list under a mutex.
//!
//! `cargo run --release --example ram_list`
//!
//! Every access of a guest looks an address up in a list of blocks. The old list moves the found
//! block to its front, so that the next lookup finds it at once. So each reader writes, and needs a
//! lock. The new list is an [`RcuList`], which lookups do not change: each reader remembers the
//! block that it used last, for as long as its section. Readers write nothing that other threads
//! see.
//!
//! Blocks are added and removed under the big lock, which also guards the map of free addresses. A
//! callback frees a removed block under the same lock, after the last reader has left. Only then
//! may another block get its addresses.
//!
//! The example prints the lookups per second of both lists, while a thread adds and removes a
//! thousand blocks a second. It checks every lookup, and fails if a lookup finds a wrong or a freed
//! block, or misses a block that was always there.

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
/// Blocks that stay, at the even places of the address space.
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

/// A block of the guest's memory. Its drop poisons it.
struct Block {
    alive: AtomicU64,
    offset: u64,
    memory: Vec<u8>,
}

/// Returns the byte at an address, which is the same in every block.
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

    /// Reads the byte at an address in this block. Returns `false` if the block is freed or the
    /// byte is wrong.
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

/// The operations of both lists.
trait Map: Sync {
    /// Looks addresses up until `stop` is set.
    fn look_up(&self, addresses: Addresses, stop: &AtomicBool) -> Looked;
    /// Removes a block, and adds a new block in another, free place.
    fn exchange(&self);
}

#[derive(Default)]
struct Looked {
    lookups: u64,
    wrong: u64,
}

impl Looked {
    /// Counts the result of a lookup. A lookup of a fixed block must succeed.
    fn count(&mut self, address: u64, found: Option<bool>) {
        self.lookups += 1;
        let fixed = (address / BLOCK) % 2 == 0;
        self.wrong += u64::from(!found.unwrap_or(!fixed));
    }
}

/// The addresses that a guest accesses: many in one block, then many in another.
struct Addresses {
    random: u64,
    place: u64,
    left: u64,
}

impl Addresses {
    fn new(seed: u64) -> Self {
        Self { random: 0x9e37_79b9_7f4a_7c15 ^ seed, place: 0, left: 0 }
    }

    fn next(&mut self) -> u64 {
        // Marsaglia's xorshift generator.
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

/// The state that only the holder of the big lock may touch.
struct Machine {
    /// Free places in the address space.
    free: Vec<u64>,
    plugged: Vec<u64>,
    /// Blocks that were still in use in their callback.
    not_free: u64,
}

/// A reader in one section. The compiler ensures that the reader forgets its last block before the
/// section ends.
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
    fn new() -> Result<Self, async_rcu::error::BuildError> {
        let machine = GlobalLock::new(Machine {
            free: (0..FIXED - 1).map(|n| 2 * n + 1).collect(),
            plugged: Vec::new(),
            not_free: 0,
        });
        let rcu = Rcu::builder().name("ram").global_lock(&machine).build()?;
        let blocks = RcuList::new_in(&rcu);
        blocks.append((0..FIXED).map(|n| Block::at_place(2 * n)));
        Ok(Self { blocks, machine, rcu })
    }

    fn plug(&self, machine: &mut Machine) {
        // If the callbacks are late, no place is free, and this exchange is left out.
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
            // This runs under the lock, after the last reader has left.
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
            let mut reader = Reader { map: self, guard: &guard, last: None };
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

/// The old list under a mutex, which moves the found block to the front.
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

    /// Takes out the first block that matches.
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
        (0..FIXED).rev().for_each(|n| chain.push_front(Block::at_place(2 * n)));
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

/// Looks addresses up on several threads while another thread exchanges blocks. Returns the lookups
/// and the number of exchanges.
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
    println!("{name:10} {threads:>7} {:>16.1} {exchanges:>10} {wrong:>6}", rate / 1e6);
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
    println!("RcuList / Mutex: {:.1} on one thread, {:.1} on {threads}", ratios[0], ratios[1]);
    let (made, freed) = (BLOCKS_MADE.load(Relaxed), BLOCKS_FREED.load(Relaxed));
    println!("{made} blocks were added and {freed} freed; {wrong} lookups were wrong");
    Ok(wrong == 0 && made == freed)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("ram_list: failed: a lookup was wrong, or not every block was freed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("ram_list: {error}");
            ExitCode::FAILURE
        }
    }
}
