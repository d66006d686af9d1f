//! Values that poison themselves when dropped.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: u64 = 0x600D_DA7A_600D_DA7A;
const POISON: u64 = 0xDEAD_BEEF_DEAD_BEEF;

/// What was made and dropped in a world, and seen that must not be.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) created: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Readers that saw a value that was dropped, or became another one.
    pub(super) poisoned: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) updates: AtomicU64,
}

impl Ledger {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Values that are not dropped yet.
    pub(super) fn alive(&self) -> u64 {
        let dropped = self.dropped.load(Ordering::Relaxed);
        self.created.load(Ordering::Relaxed).saturating_sub(dropped)
    }
}

/// Knows what it is, and after its drop that it is no more, in words that allocators do not use for lists of free blocks.
/// Atomics, so that looking at one that another thread drops is a finding and not a data race.
#[derive(Debug)]
pub(super) struct Value {
    _of_the_allocator: [u64; 2],
    id: AtomicU64,
    check: AtomicU64,
    ledger: Arc<Ledger>,
}

/// What a reader saw first, to compare with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl Value {
    pub(super) fn new(ledger: &Arc<Ledger>) -> Self {
        // Unique: what comes to lie in the same place has another one.
        let id = ledger.created.fetch_add(1, Ordering::Relaxed);
        Self {
            _of_the_allocator: [0; 2],
            id: AtomicU64::new(id),
            check: AtomicU64::new(id ^ MAGIC),
            ledger: Arc::clone(ledger),
        }
    }

    fn id(&self) -> Option<u64> {
        let this = black_box(self);
        let id = this.id.load(Ordering::Relaxed);
        (this.check.load(Ordering::Relaxed) == id ^ MAGIC).then_some(id)
    }

    /// The first look. The ledger is the reader's own: that of a value that is gone is gone too.
    pub(super) fn look(&self, ledger: &Ledger) -> Seen {
        match self.id() {
            Some(id) => Seen(id),
            None => {
                Ledger::add(&ledger.poisoned);
                Seen(POISON)
            }
        }
    }

    /// Looks again: it must be whole, and the same.
    pub(super) fn look_again(&self, seen: Seen, ledger: &Ledger) {
        if self.id() != Some(seen.0) {
            Ledger::add(&ledger.poisoned);
        }
    }

    /// The only one who has it looks, and it is dropped.
    #[expect(
        clippy::boxed_local,
        reason = "it is poisoned where readers might still look: not in a copy"
    )]
    pub(super) fn bury(self: Box<Self>, ledger: &Ledger) {
        let seen = self.look(ledger);
        self.look_again(seen, ledger);
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let id = self.id.swap(POISON, Ordering::Relaxed);
        let check = self.check.swap(POISON, Ordering::Relaxed);
        if check != id ^ MAGIC {
            // Dropped twice.
            Ledger::add(&self.ledger.poisoned);
        }
        Ledger::add(&self.ledger.dropped);
        black_box(&*self);
    }
}
