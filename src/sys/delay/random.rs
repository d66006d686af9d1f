//! Delays at random: mostly short ones, now and then one that lets everything else go on.
//!
//! A thread goes through calm passages and rough ones by turns. In a calm one nothing is delayed: there are faults that show only
//! where all goes fast, such as a store that is still in its buffer.
//!
//! Each thread draws from a stream of its own. Which stream it has depends on the order in which threads come here, so a seed
//! makes runs alike and not the same.

use super::Window;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// While it is rough, one window in so many is where the thread stops.
const HOT: u64 = 32;
const COLD: u64 = 4;

/// Windows before the weather changes, at the most.
const SPELL: u64 = 2_000;

/// Steps of a spin, and microseconds of a sleep, at the most.
const SPIN: u64 = 2_000;
const SLEEP: u64 = 200;

static STREAMS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    // Without destructors, so that they work while the thread's others run.
    /// Xorshift's state; 0 before the first draw.
    static STREAM: Cell<u64> = const { Cell::new(0) };
    /// Windows left until the weather changes.
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static ROUGH: Cell<bool> = const { Cell::new(false) };
}

fn first() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = SEED.get_or_init(|| {
        let seed = std::env::var("ASYNC_RCU_DELAY_SEED").ok();
        seed.and_then(|text| text.parse().ok()).unwrap_or(1)
    });
    let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
    seed.wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1
}

fn draw() -> u64 {
    let mut x = match STREAM.get() {
        0 => first(),
        x => x,
    };
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STREAM.set(x);
    x >> 16
}

#[inline]
pub(crate) fn at(window: Window) {
    match LEFT.get() {
        0 => change(),
        left => LEFT.set(left - 1),
    }
    if ROUGH.get() {
        rough(window);
    }
}

#[cold]
fn change() {
    let drawn = draw();
    ROUGH.set(drawn % 2 == 0);
    LEFT.set(drawn / 2 % SPELL);
}

fn rough(window: Window) {
    let one_in = if window <= Window::Published {
        HOT
    } else {
        COLD
    };
    let drawn = draw();
    if drawn % one_in != 0 {
        return;
    }
    let (kind, how_long) = (drawn / one_in % 16, drawn / one_in / 16);
    match kind {
        0 => thread::sleep(Duration::from_micros(how_long % SLEEP)),
        1..=3 => thread::yield_now(),
        _ => (0..how_long % SPIN).for_each(|_| std::hint::spin_loop()),
    }
}
