//! Device hot-unplug under a big lock, the way an emulator does it.
//!
//! `cargo run --example global_lock`
//!
//! The machine's slow state (which slots are taken, what was logged) is under one global lock. Its fast state, the map from
//! addresses to devices, is read by every I/O request without a lock, under RCU. Unplugging a device takes it out of
//! the map at once; tearing it down, which needs the slow state, is left to a callback that runs under the lock when no
//! request can see the device any more. Whoever then wants the slot again drains under the lock: that lets the lock go,
//! waits for the callbacks, and locks again.
//!
//! Look at: no request ever meets a device that is torn down, and the slot is free when `drain` returns.

use async_rcu::{GlobalLock, Rcu, RcuCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A device as requests see it. `open` is false once it is torn down.
struct Device {
    name: &'static str,
    slot: usize,
    open: AtomicBool,
    requests: AtomicU64,
}

/// What only the holder of the big lock may touch.
#[derive(Default)]
struct Machine {
    slots: [Option<&'static str>; 4],
    log: Vec<String>,
}

/// What every request reads: which device answers at an address.
type IoMap = BTreeMap<u16, Arc<Device>>;

struct Emulator {
    rcu: Rcu,
    big_lock: GlobalLock<Machine>,
    io: RcuCell<IoMap>,
}

impl Emulator {
    fn new() -> Result<Self, async_rcu::BuildError> {
        let big_lock = GlobalLock::new(Machine::default());
        let rcu = Rcu::builder()
            .name("machine")
            .executor(tokio::runtime::Handle::current())
            .global_lock(&big_lock)
            .build()?;
        Ok(Self {
            io: RcuCell::new_in(&rcu, IoMap::new()),
            rcu,
            big_lock,
        })
    }

    /// A request from the guest: no lock, no count. `None` where nothing answers.
    fn io(&self, address: u16) -> Option<&'static str> {
        self.io.with(|map| {
            let device = map.get(&address)?;
            // The section protects more than memory: teardown waits for it too.
            assert!(
                device.open.load(Ordering::Acquire),
                "request met a device that is torn down"
            );
            device.requests.fetch_add(1, Ordering::Relaxed);
            Some(device.name)
        })
    }

    async fn plug(&self, name: &'static str, address: u16) -> Result<(), String> {
        let mut machine = self.big_lock.lock().await;
        if machine.slots.iter().all(Option::is_some) {
            // Perhaps one is being unplugged: lets the lock go, waits for the callbacks, and locks again.
            machine = machine.drain(&self.rcu).await;
        }
        let slot = machine.slots.iter().position(Option::is_none);
        let slot = slot.ok_or_else(|| format!("no slot is free for {name}"))?;
        machine.slots[slot] = Some(name);
        let device = Arc::new(Device {
            name,
            slot,
            open: AtomicBool::new(true),
            requests: AtomicU64::new(0),
        });
        self.io.update(|map| {
            let mut map = map.clone();
            map.insert(address, Arc::clone(&device));
            map
        });
        Ok(())
    }

    fn unplug(&self, address: u16) {
        let mut gone = None;
        self.io.update(|map| {
            let mut map = map.clone();
            gone = map.remove(&address);
            map
        });
        let Some(device) = gone else { return };
        // After a grace period, under the lock, with the machine's state in hand.
        self.big_lock.call(&self.rcu, move |machine| {
            device.open.store(false, Ordering::Release);
            machine.slots[device.slot] = None;
            machine.log.push(format!(
                "{} is torn down after {} requests",
                device.name,
                device.requests.load(Ordering::Relaxed)
            ));
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let emulator = Arc::new(Emulator::new()?);
    for (slot, name) in ["disk", "net", "sound", "tablet"].into_iter().enumerate() {
        emulator.plug(name, 0x100 * slot as u16).await?;
    }

    // Guests that never stop asking, on every thread.
    let stop = Arc::new(AtomicBool::new(false));
    let guests: Vec<_> = (0..2)
        .map(|_| {
            let (emulator, stop) = (Arc::clone(&emulator), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut answered = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    for address in [0x000, 0x100, 0x200, 0x300] {
                        answered += u64::from(emulator.io(address).is_some());
                    }
                }
                answered
            })
        })
        .collect();

    // All slots are taken; each round unplugs one and plugs another into its slot.
    for round in 0..100 {
        let address = 0x100 * (round % 4);
        emulator.unplug(address);
        emulator.plug("replacement", address).await?;
    }

    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for guest in guests {
        answered += guest.join().map_err(|_| "a request failed")?;
    }

    let machine = emulator.big_lock.lock().await.drain(&emulator.rcu).await;
    println!("{answered} requests were answered, none by a device that was torn down");
    println!(
        "{} devices were unplugged; the last: {}",
        machine.log.len(),
        machine.log.last().map_or("none", String::as_str)
    );
    assert_eq!(machine.log.len(), 100);
    assert!(machine.slots.iter().all(Option::is_some));
    Ok(())
}
