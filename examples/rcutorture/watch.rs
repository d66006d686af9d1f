//! The watchdog: waits that do not end, and a pipe in which nothing moves.
//!
//! Whoever waits says so. Time is counted in the watchdog's own ticks: where the machine stood still, or this process got no
//! processor, the watchdog did not run either, and nobody is blamed. The stall reports of the domains under torture are put
//! off by an hour, so that their timers do not repair what was lost.

use super::latency::Kind;
use super::run::Run;
use super::world::World;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);

/// So long it waits for figures that the domain may no longer be able to tell.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Watch {
    limit: u64,
    now: AtomicU64,
    next: AtomicU64,
    waits: Mutex<BTreeMap<u64, Wait>>,
    worlds: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Wait {
    since: u64,
    what: &'static str,
    domain: String,
}

#[derive(Debug)]
struct Watched {
    world: Weak<World>,
    passed: u64,
    since: u64,
}

/// Somebody waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    run: &'a Run,
    id: u64,
    kind: Option<Kind>,
    began: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(kind) = self.kind {
            self.run.latencies.record(kind, self.began.elapsed());
        }
        self.run.watch.waits().remove(&self.id);
    }
}

impl Run {
    /// The caller begins to wait for a domain; how long, is recorded as `kind`.
    pub(super) fn waits(&self, domain: &str, kind: Kind) -> Waiting<'_> {
        self.waits_for(domain, kind.name(), Some(kind))
    }

    pub(super) fn waits_for(
        &self,
        domain: &str,
        what: &'static str,
        kind: Option<Kind>,
    ) -> Waiting<'_> {
        let watch = &self.watch;
        let id = watch.next.fetch_add(1, Ordering::Relaxed);
        let since = watch.now.load(Ordering::Relaxed);
        let domain = domain.to_owned();
        watch.waits().insert(
            id,
            Wait {
                since,
                what,
                domain,
            },
        );
        Waiting {
            run: self,
            id,
            kind,
            began: Instant::now(),
        }
    }
}

impl Watch {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit: u64::try_from(limit.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX),
            now: AtomicU64::new(0),
            next: AtomicU64::new(0),
            waits: Mutex::new(BTreeMap::new()),
            worlds: Mutex::new(Vec::new()),
        }
    }

    fn waits(&self) -> MutexGuard<'_, BTreeMap<u64, Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worlds(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.worlds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after a world's pipe as long as there is the world.
    pub(super) fn look_after(&self, world: &Arc<World>) {
        self.worlds().push(Watched {
            world: Arc::downgrade(world),
            passed: 0,
            since: self.now.load(Ordering::Relaxed),
        });
    }

    /// What hangs, by name.
    fn hanging(&self) -> Vec<String> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let limit = self.limit;
        let seconds = |ticks: u64| ticks as f64 * TICK.as_secs_f64();
        let mut found: Vec<_> = self
            .waits()
            .values()
            .filter(|wait| now - wait.since > limit)
            .map(|wait| {
                let age = seconds(now - wait.since);
                format!(
                    "HANG: domain {}: {} has not ended after {age:.0} s",
                    wait.domain, wait.what
                )
            })
            .collect();
        for watched in &mut *self.worlds() {
            let Some(world) = watched.world.upgrade() else {
                continue;
            };
            let passed = world.ledger.passed();
            let given_away = world.given_away();
            if passed != watched.passed || given_away == 0 {
                (watched.passed, watched.since) = (passed, now);
            } else if now - watched.since > limit {
                let age = seconds(now - watched.since);
                let name = world.name;
                found.push(format!(
                    "HANG: domain {name}: {given_away} elements wait for a grace period, and for {age:.0} s none has passed a grace period"
                ));
            }
        }
        found
    }
}

/// Starts the watchdog. It ends when the sender is dropped; where it finds something, it calls `bark` and is done.
pub(super) fn start(run: &Arc<Run>, bark: impl FnOnce() + Send + 'static) -> mpsc::Sender<()> {
    let (alive, ended) = mpsc::channel::<()>();
    let run = Arc::clone(run);
    thread::spawn(move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
            let found = run.watch.hanging();
            if found.is_empty() {
                continue;
            }
            for what in found.iter().take(20) {
                eprintln!("rcutorture: {what}");
                run.board.report(what);
            }
            tell(&run);
            bark();
            return;
        }
    });
    alive
}

/// What the domains say of themselves, as far as they still do.
fn tell(run: &Run) {
    let worlds: Vec<_> = run
        .watch
        .worlds()
        .iter()
        .filter_map(|w| w.world.upgrade())
        .collect();
    for world in worlds {
        let (send, told) = mpsc::channel();
        let name = world.name;
        thread::spawn(move || {
            // Nobody listens any more where it took too long.
            let _ = send.send(world.rcu.stats());
        });
        match told.recv_timeout(PATIENCE) {
            Ok(stats) => eprintln!("rcutorture: domain {name}: {stats:#?}"),
            Err(_) => eprintln!(
                "rcutorture: domain {name}: its figures are not to be had, somebody holds its lock"
            ),
        }
    }
}
