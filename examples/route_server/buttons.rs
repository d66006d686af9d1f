//! What the page's buttons do beside a reload: trouble, made on purpose and within limits, to see what becomes of it.
//!
//! This is for a demonstration. A server that others rely on would not let its clients hold up grace periods, which is
//! why these are refused unless the server listens on the loopback, or is told to allow them.

use std::fmt;
use std::future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_rcu::OwnedRcuRef;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::live::Live;
use crate::routes::Routes;

/// So many guards may be held for show at once.
pub(crate) const MOST_HOLDS: usize = 8;
/// So long each may be held, in seconds.
pub(crate) const HOLD_SECONDS: RangeInclusive<f64> = 0.1..=60.0;
/// So many callbacks may wait of all floods together.
pub(crate) const MOST_CALLBACKS: u32 = 1_000_000;
/// After so many callbacks a flood lets requests have the thread.
const CALLBACKS_AT_ONCE: u32 = 1000;

/// What one callback of a flood frees.
const FREIGHT: [u8; 64] = [0; 64];

pub(crate) struct Buttons {
    allowed: bool,
    holds: Arc<Semaphore>,
    callbacks: Arc<Semaphore>,
}

/// Why a button does nothing.
#[derive(Debug, PartialEq)]
pub(crate) enum Denied {
    /// The server can be reached by others, and was not told to allow it.
    NotHere,
    Seconds(f64),
    Callbacks(u32),
    TooManyHolds,
    /// So many more could be queued.
    TooManyCallbacks(u32, usize),
    Closing,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (HOLD_SECONDS.start(), HOLD_SECONDS.end());
        match self {
            Self::NotHere => f.write_str(
                "the server can be reached from other machines: this button works only with --allow-buttons there",
            ),
            Self::Seconds(seconds) => write!(
                f,
                "a guard can be held for {least} to {most} seconds, not {seconds}"
            ),
            Self::Callbacks(callbacks) => write!(
                f,
                "a flood is of 1 to {MOST_CALLBACKS} callbacks, not {callbacks}"
            ),
            Self::TooManyHolds => {
                write!(f, "{MOST_HOLDS} guards are held, and that is the most")
            }
            Self::TooManyCallbacks(callbacks, room) => write!(
                f,
                "{callbacks} callbacks would be too many: of the {MOST_CALLBACKS} that floods may have waiting, {room} are \
                 free"
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

    /// Keeps the version in use for a time, as a request that is slow to end would, and queues a callback for it to hold
    /// up. Tells which version. A `polite` holder lets go when it is asked to: by a force, or once it stalls others.
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
        // The line that a stall report names.
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
        if held {
            Ok(version)
        } else {
            Err(Denied::Closing)
        }
    }

    /// Queues so many callbacks, each of which frees some memory. Should the client go away meanwhile, no more are queued.
    pub(crate) async fn flood(&self, routes: &Routes, callbacks: u32) -> Result<(), Denied> {
        self.check()?;
        if !(1..=MOST_CALLBACKS).contains(&callbacks) {
            return Err(Denied::Callbacks(callbacks));
        }
        let room = Arc::clone(&self.callbacks).try_acquire_many_owned(callbacks);
        let Ok(room) = room else {
            return Err(Denied::TooManyCallbacks(callbacks, self.room()));
        };
        // Taken until the last one has run, or will never be queued.
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

    /// Asks that grace periods end now, and who holds them up to let go.
    pub(crate) fn force(&self, routes: &Routes) -> Result<(), Denied> {
        self.check()?;
        routes.table().rcu().force();
        Ok(())
    }

    /// How many more callbacks floods may queue.
    pub(crate) fn room(&self) -> usize {
        self.callbacks.available_permits()
    }

    fn check(&self) -> Result<(), Denied> {
        if self.allowed {
            Ok(())
        } else {
            Err(Denied::NotHere)
        }
    }
}
