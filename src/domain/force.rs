//! Forcing grace periods to end soon: Linux's expedited grace periods, QEMU's force notifiers.
//!
//! A caller sets `requested` and kicks the grace-period thread. The next turn takes the request,
//! starts a grace period for all queued callbacks, and asks the sections that hold grace periods up
//! to end. A drain forces too, and so does a caller that meets the limit of the backlog.

use super::Domain;
use super::rcu::Rcu;
use super::stall::report::ForceEvent;
use crate::dispatch::Schedule;
use crate::dispatch::blocking;
use crate::dispatch::panics::PanicSource;
use crate::reader::sequence::Seq;
use crate::sys::prim::{AtomicBool, AtomicU64, Mutex, Ordering, opaque_debug};
use crate::sys::unwind::quietly;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

type ForceHook = Arc<dyn Fn(&ForceEvent) + Send + Sync>;

pub(super) struct Force {
    requested: AtomicBool,
    /// Grace periods that started at once because of a force or a drain.
    pub(super) started: AtomicU64,
    hooks: Mutex<Hooks>,
    /// The grace-period thread is calling the hooks.
    telling: AtomicBool,
}

#[derive(Default)]
struct Hooks {
    next: u64,
    all: BTreeMap<u64, ForceHook>,
}

impl Force {
    pub(super) fn new() -> Self {
        Self {
            requested: AtomicBool::new(false),
            started: AtomicU64::new(0),
            hooks: Mutex::new(Hooks::default()),
            telling: AtomicBool::new(false),
        }
    }

    /// Takes the request: returns whether there was one.
    pub(super) fn take(&self) -> bool {
        self.requested.swap(false, Ordering::AcqRel)
    }

    /// In the child of a fork: the thread that called hooks may be gone.
    pub(super) fn after_fork(&self) {
        self.telling.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

impl Domain {
    /// Requests a force. Returns `false` if no grace-period thread can be started.
    pub(crate) fn force(self: &Arc<Self>) -> bool {
        let on_gp_thread = blocking::gp_thread_of() == self.dispatcher.id();
        if on_gp_thread && self.force.telling.load(Ordering::Relaxed) {
            // A hook forces while a force is under way.
            return true;
        }
        self.force.requested.swap(true, Ordering::AcqRel);
        self.kick()
    }

    /// Asks the sections that hold up `awaited` to end, if `urgent` or if the backlog is full.
    /// Calls the hooks if `urgent`.
    pub(super) fn tell_holders(&self, awaited: Seq, urgent: bool) {
        let backlog = self.dispatcher.backlog.as_ref();
        if !urgent && !backlog.is_some_and(|backlog| backlog.is_full()) {
            return;
        }
        self.registry.signals.release.request(awaited.min(self.engine.fenced()));
        if !urgent {
            return;
        }
        let hooks: Vec<ForceHook> = self.force.hooks.lock().all.values().cloned().collect();
        if hooks.is_empty() {
            return;
        }
        let (holders, holders_total) = self.holders(awaited);
        if holders_total == 0 {
            return;
        }
        let event = ForceEvent {
            domain: self.dispatcher.name.clone(),
            holders,
            holders_total,
            pending: self.pending(),
        };
        self.force.telling.store(true, Ordering::Relaxed);
        for hook in hooks {
            let event = &event;
            // The closure drops the hook too: it may be the last owner.
            let called = quietly(move || hook(event));
            if let Err(message) = called {
                self.dispatcher.report(PanicSource::Hook, message, None);
            }
        }
        self.force.telling.store(false, Ordering::Relaxed);
    }
}

impl Rcu {
    /// Forces the grace periods under way to end soon. Queued callbacks do not wait for the batch
    /// interval. The sections that hold grace periods up are asked to end, through
    /// [`is_release_requested`](crate::ReadGuard::is_release_requested),
    /// [`release_requested`](crate::OwnedReadGuard::release_requested) and
    /// [`on_force`](Self::on_force).
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// let mut guard = rcu.read_owned();
    /// rcu.call(|| println!("the guard no longer holds this up"));
    /// rcu.force();
    /// while !guard.is_release_requested() {
    ///     std::thread::yield_now();                  // the grace-period thread makes the request
    /// }
    /// guard.refresh();
    /// # rcu.blocking_drain();
    /// ```
    pub fn force(&self) {
        self.domain().force();
    }

    /// Calls `f` with the sections that hold grace periods up, each time that these grace periods
    /// are forced: by [`force`](Self::force), a drain, or a full backlog. The drop of the
    /// [`ForceNotifier`] removes the hook.
    ///
    /// `f` runs on the grace-period thread, must be short, and must not wait for the domain. A
    /// force inside `f` does nothing. If `f` captures a handle of the domain, the domain lives as
    /// long as the notifier.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # let rcu = async_rcu::Rcu::new();
    /// let (send, events) = mpsc::channel();
    /// let _notifier = rcu.on_force(move |event| drop(send.send(event.holders_total)));
    /// let guard = rcu.read_owned();
    /// rcu.call(|| ());
    /// rcu.force();
    /// assert_eq!(events.recv()?, 1);
    /// # drop(guard);
    /// # Ok::<(), mpsc::RecvError>(())
    /// ```
    pub fn on_force(&self, f: impl Fn(&ForceEvent) + Send + Sync + 'static) -> ForceNotifier {
        let domain = self.domain();
        let hook = Arc::new(f);
        let mut hooks = domain.force.hooks.lock();
        let id = hooks.next;
        hooks.next += 1;
        hooks.all.insert(id, hook);
        ForceNotifier { domain: Arc::downgrade(domain), id }
    }
}

/// A hook of [`Rcu::on_force`]. Its drop removes the hook, and does not wait for a call under way.
///
/// ```
/// # let rcu = async_rcu::Rcu::new();
/// use std::sync::mpsc;
/// let (send, events) = mpsc::channel();
/// let notifier = rcu.on_force(move |_| drop(send.send(())));
/// drop(notifier);                                // no longer called
/// assert_eq!(events.recv(), Err(mpsc::RecvError));
/// ```
#[must_use = "the hook is removed when this is dropped"]
pub struct ForceNotifier {
    domain: Weak<Domain>,
    id: u64,
}

impl Drop for ForceNotifier {
    fn drop(&mut self) {
        if let Some(domain) = self.domain.upgrade() {
            let hook = domain.force.hooks.lock().all.remove(&self.id);
            drop(hook);
        }
    }
}

opaque_debug!(ForceNotifier, "ForceNotifier");
