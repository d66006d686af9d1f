//! The page's buttons apart from the reload. They cause trouble on purpose and within limits, so
//! that its effects can be seen.
//!
//! The buttons are for a demonstration. A production server would not let its clients block grace
//! periods. So the server refuses them unless it listens on the loopback or `--allow-buttons` is
//! given.

use std::fmt;
use std::future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_rcu::cell::OwnedRcuRef;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::live::Live;
use crate::routes::Routes;

/// The largest number of guards that the button may hold at once.
pub(crate) const MOST_HOLDS: usize = 8;
/// The shortest and the longest time of a held guard, in seconds.
pub(crate) const HOLD_SECONDS: RangeInclusive<f64> = 0.1..=60.0;
/// The largest number of pending callbacks of all floods together.
pub(crate) const MOST_CALLBACKS: u32 = 1_000_000;
/// The number of callbacks after which a flood yields to requests.
const CALLBACKS_AT_ONCE: u32 = 1000;

/// The bytes that one callback of a flood frees.
const FREIGHT: [u8; 64] = [0; 64];

pub(crate) struct Buttons {
    allowed: bool,
    holds: Arc<Semaphore>,
    callbacks: Arc<Semaphore>,
}

/// The reason why a button was refused.
#[derive(Debug, PartialEq)]
pub(crate) enum Denied {
    /// The server can be reached from other machines, and `--allow-buttons` is not given.
    NotHere,
    Seconds(f64),
    Callbacks(u32),
    TooManyHolds,
    /// The number of callbacks that could still be queued.
    TooManyCallbacks(u32, usize),
    Closing,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (HOLD_SECONDS.start(), HOLD_SECONDS.end());
        match self {
            Self::NotHere => f.write_str(
                "other machines can reach the server: start it with --allow-buttons to allow this",
            ),
            Self::Seconds(seconds) => {
                write!(f, "a guard can be held for {least} to {most} seconds, not {seconds}")
            }
            Self::Callbacks(callbacks) => {
                write!(f, "a flood has 1 to {MOST_CALLBACKS} callbacks, not {callbacks}")
            }
            Self::TooManyHolds => {
                write!(f, "the limit of held guards ({MOST_HOLDS}) is reached: wait until one ends")
            }
            Self::TooManyCallbacks(callbacks, room) => write!(
                f,
                "{callbacks} callbacks are too many: all floods together may have {MOST_CALLBACKS} \
                 pending callbacks, and room for {room} is left"
            ),
            Self::Closing => f.write_str("the server is shutting down"),
        }
    }
}

impl Buttons {
    pub(crate) fn new(allowed: bool) -> Self {
        Self {
            allowed,
            holds: Arc::new(Semaphore::new(MOST_HOLDS)),
            callbacks: Arc::new(Semaphore::new(MOST_CALLBACKS as usize)),
        }
    }

    pub(crate) fn allowed(&self) -> bool {
        self.allowed
    }

    /// Holds the version in use for a time, as a slow request would, and queues a callback that
    /// waits for the holder. Returns the number of the version. A `polite` holder ends early when
    /// it is asked to: by a force, or when it stalls others.
    pub(crate) fn hold(
        &self,
        routes: &Routes,
        live: &Live,
        seconds: f64,
        polite: bool,
    ) -> Result<u64, Denied> {
        self.check()?;
        if !HOLD_SECONDS.contains(&seconds) {
            return Err(Denied::Seconds(seconds));
        }
        let hold = Arc::clone(&self.holds).try_acquire_owned();
        let hold = hold.map_err(|_| Denied::TooManyHolds)?;
        // A stall report names this line.
        let table = routes.table().read_owned();
        routes.table().rcu().call(|| ());
        let version = table.version();
        let closing = live.closing();
        let held = live.spawn(async move {
            let asked = async {
                match polite {
                    true => OwnedRcuRef::guard(&table).release_requested().await,
                    false => future::pending().await,
                }
            };
            tokio::select! {
                () = sleep(Duration::from_secs_f64(seconds)) => {}
                () = asked => {}
                () = closing => {}
            }
            drop(table);
            drop(hold);
        });
        if held { Ok(version) } else { Err(Denied::Closing) }
    }

    /// Queues callbacks, each of which frees some memory. If the client goes away meanwhile, the
    /// flood ends.
    pub(crate) async fn flood(&self, routes: &Routes, callbacks: u32) -> Result<(), Denied> {
        self.check()?;
        if !(1..=MOST_CALLBACKS).contains(&callbacks) {
            return Err(Denied::Callbacks(callbacks));
        }
        let room = Arc::clone(&self.callbacks).try_acquire_many_owned(callbacks);
        let Ok(room) = room else {
            return Err(Denied::TooManyCallbacks(callbacks, self.room()));
        };
        // The room is taken until the last callback has run, or is never queued.
        let room = Arc::new(room);
        let rcu = routes.table().rcu();
        for queued in 1..=callbacks {
            let (freight, room) = (Box::new(FREIGHT), Arc::clone(&room));
            rcu.call(move || drop((freight, room)));
            if queued % CALLBACKS_AT_ONCE == 0 {
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Forces grace periods, and asks the holders of guards to release them.
    pub(crate) fn force(&self, routes: &Routes) -> Result<(), Denied> {
        self.check()?;
        routes.table().rcu().force();
        Ok(())
    }

    /// Returns how many more callbacks floods may queue.
    pub(crate) fn room(&self) -> usize {
        self.callbacks.available_permits()
    }

    fn check(&self) -> Result<(), Denied> {
        if self.allowed { Ok(()) } else { Err(Denied::NotHere) }
    }
}
