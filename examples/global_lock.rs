//! Device hot-unplug under a big lock, as in a machine emulator.
//!
//! `cargo run --example global_lock`
//!
//! A global lock guards the machine's slow state: which slots are taken, and the log. The fast
//! state is the map from addresses to devices. Every I/O request reads the map under RCU, without a
//! lock. To unplug a device, the machine takes it out of the map at once. A callback tears the
//! device down when no request can see it any more; the callback runs under the lock, since it
//! needs the slow state. A thread that wants the slot again drains under the lock: the drain
//! releases the lock, waits for the callbacks, and takes the lock again.
//!
//! The example shows that no request ever meets a device that is torn down, and that the slot is
//! free when `drain` returns.

use async_rcu::{GlobalLock, Rcu, RcuCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A device as requests see it. `open` is false after the teardown.
struct Device {
    name: &'static str,
    slot: usize,
    open: AtomicBool,
    requests: AtomicU64,
}

/// The state that only the holder of the big lock may touch.
#[derive(Default)]
struct Machine {
    slots: [Option<&'static str>; 4],
    log: Vec<String>,
}

/// The state that every request reads: the device at each address.
type IoMap = BTreeMap<u16, Arc<Device>>;

struct Emulator {
    rcu: Rcu,
    big_lock: GlobalLock<Machine>,
    io: RcuCell<IoMap>,
}

impl Emulator {
    fn new() -> Result<Self, async_rcu::error::BuildError> {
        let big_lock = GlobalLock::new(Machine::default());
        let rcu = Rcu::builder()
            .name("machine")
            .executor(tokio::runtime::Handle::current())
            .global_lock(&big_lock)
            .build()?;
        Ok(Self { io: RcuCell::new_in(&rcu, IoMap::new()), rcu, big_lock })
    }

    /// Handles a request from the guest, without a lock or a reference count. Returns `None` if no
    /// device answers at the address.
    fn io(&self, address: u16) -> Option<&'static str> {
        self.io.with(|map| {
            let device = map.get(&address)?;
            // The section protects more than memory: the teardown waits for the section too.
            assert!(
                device.open.load(Ordering::Acquire),
                "a request met a device that is torn down"
            );
            device.requests.fetch_add(1, Ordering::Relaxed);
            Some(device.name)
        })
    }

    async fn plug(&self, name: &'static str, address: u16) -> Result<(), String> {
        let mut machine = self.big_lock.lock().await;
        if machine.slots.iter().all(Option::is_some) {
            // Another device may be going away. The drain releases the lock, waits for the
            // callbacks, and takes the lock again.
            machine = machine.drain(&self.rcu).await;
        }
        let slot = machine.slots.iter().position(Option::is_none);
        let slot =
            slot.ok_or_else(|| format!("{name} cannot be plugged in: all slots are taken"))?;
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
        // This runs after a grace period, under the lock, with the machine's state.
        self.big_lock.call(&self.rcu, move |machine| {
            device.open.store(false, Ordering::Release);
            machine.slots[device.slot] = None;
            machine.log.push(format!(
                "{} was torn down after {} requests",
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

    // Guest threads that send requests all the time.
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

    // All slots are taken. Each round unplugs one device and plugs another into its slot.
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
    println!("{answered} requests were answered, none of them by a device that was torn down");
    println!(
        "{} devices were unplugged; the last: {}",
        machine.log.len(),
        machine.log.last().map_or("none", String::as_str)
    );
    assert_eq!(machine.log.len(), 100);
    assert!(machine.slots.iter().all(Option::is_some));
    Ok(())
}
