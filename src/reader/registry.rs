//! What all readers of a domain share: its signals, the list of its records, and the free records.
//!
//! # States of a record
//! | state | kept in | meaning |
//! |---|---|---|
//! | free | `free` | any thread may take it |
//! | taken | | it belongs to one thread |
//! | orphan | `orphans` | its thread gave it up; sections or callbacks may be left in it |
//! | vanished | `vanished` | a fork left its thread or its guards behind; it is not used again |
//!
//! An orphan becomes free when a thread that collects orphans finds it idle. All changes are made
//! under the lock of the slots. The list of all records only grows, and is read without the lock.
//! So scans and registrations do not wait for each other.
//!
//! Records are made in groups, each half as large as all before it together. So a scan walks
//! through arrays, which the processor prefetches, and not along a chain.
//!
//! # Reuse
//! Registries and records are never freed, since a section's end reads `wake_requested` after its
//! word is 0, when the domain may be gone. A registry serves another domain when its own has ended
//! and all its records are free.
//!
//! # Invariants
//! 1. Registries and groups of records are never freed.
//! 2. A taken record belongs to exactly one thread.

use super::location::Opening;
use super::record::Record;
use super::sequence::Seq;
use super::signals::Signals;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, AtomicPtr, AtomicUsize, Mutex, Ordering};
use crate::sys::thread::{self, Thread};
use std::ptr;

crate::sys::prim::model_const! {
    /// The least number of records in a group, and the number in the first.
    const GROUP: usize = 4, loom 1;
}

/// The thread that a record belongs to, or belonged to last.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) thread: Thread,
    /// The thread gave the record up. Its open sections were leaked, or are held elsewhere.
    pub(crate) ended: bool,
}

/// An open section, for reports.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) seen: Seq,
    pub(crate) opening: Opening,
    pub(crate) owned: bool,
    pub(crate) owner: Owner,
}

#[derive(Debug)]
struct Group {
    records: Box<[Record]>,
    older: *const Group,
}

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Registry {
    /// First, so that the hot paths find the signals at the registry's own address.
    pub(crate) signals: Signals,
    newest: AtomicPtr<Group>,
    slots: Mutex<Slots>,
    /// The number of orphans in `slots`, to be read without the lock.
    orphans: AtomicUsize,
    /// The domain has ended: threads give up their records here when they next register anywhere.
    ended: AtomicBool,
}

#[derive(Debug)]
struct Slots {
    /// One for each record, in the order of their indices.
    owners: Vec<Owner>,
    free: Vec<&'static Record>,
    orphans: Vec<&'static Record>,
    vanished: Vec<&'static Record>,
}

impl Registry {
    /// Makes a registry, which is never freed.
    pub(crate) fn leak(first: Seq) -> &'static Registry {
        Box::leak(Box::new(Registry {
            signals: Signals::new(first),
            newest: AtomicPtr::new(ptr::null_mut()),
            slots: Mutex::new(Slots {
                owners: Vec::new(),
                free: Vec::new(),
                orphans: Vec::new(),
                vanished: Vec::new(),
            }),
            orphans: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        }))
    }

    /// Starts serving a domain.
    pub(crate) fn begin(&self) {
        self.signals.release.begin();
        self.ended.store(false, Ordering::Release);
    }

    /// Stops serving a domain.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Returns a record that the current thread owns until it calls [`orphan`](Self::orphan).
    pub(crate) fn acquire(&'static self) -> &'static Record {
        let mut slots = self.slots.lock();
        if slots.free.is_empty() {
            self.collect_in(&mut slots);
        }
        if slots.free.is_empty() {
            self.grow(&mut slots);
        }
        let record = slots.free.pop().expect("a group was added if there was no free record");
        slots.owners[record.index] = Owner { thread: thread::current(), ended: false };
        record
    }

    fn grow(&'static self, slots: &mut Slots) {
        let first = slots.owners.len();
        let more = (first / 2).max(GROUP);
        let owner = Owner { thread: thread::current(), ended: true };
        slots.owners.resize(first + more, owner);
        let group: &'static Group = Box::leak(Box::new(Group {
            records: (first..first + more).map(|index| Record::new(&self.signals, index)).collect(),
            // Groups are added under the lock, so no other thread changes `newest`.
            older: self.newest.load(Ordering::Relaxed),
        }));
        // Release: a scan that finds the group finds it whole. A scan that does not find it loaded
        // `fenced` before, so the sections that it misses began after the fence of every grace
        // period that it can end.
        self.newest.store(ptr::from_ref(group).cast_mut(), Ordering::Release);
        slots.free.extend(group.records.iter().rev());
    }

    /// Returns all records, those of the newest group first.
    #[inline]
    pub(crate) fn records(&self) -> impl Iterator<Item = &'static Record> + use<> {
        self.groups().flatten()
    }

    /// Returns all records, group by group, for loops that have to be fast.
    #[inline(always)]
    pub(crate) fn groups(&self) -> Groups {
        Groups(self.newest.load(Ordering::Acquire))
    }

    /// Moves idle orphans to the free records.
    pub(crate) fn collect_orphans(&self) {
        if self.orphans.load(Ordering::Relaxed) != 0 {
            self.collect_in(&mut self.slots.lock());
        }
    }

    fn collect_in(&self, slots: &mut Slots) {
        let Slots { free, orphans, .. } = slots;
        orphans.retain(|record| {
            // Acquire: the next owner comes after all that the last one did.
            let idle = record.is_idle();
            if idle {
                free.push(record);
            }
            !idle
        });
        self.orphans.store(orphans.len(), Ordering::Relaxed);
    }

    /// Returns the sections that hold up grace period `wanted`, oldest first, at most `most` of
    /// them, and how many there are.
    pub(crate) fn sections_before(&self, wanted: Seq, most: usize) -> (Vec<Section>, usize) {
        let mut found: Vec<(Seq, Opening, bool, usize)> = Vec::new();
        let mut all = 0;
        for record in self.records() {
            record.for_each_section(|seen, opening, owned| {
                if seen < wanted {
                    all += 1;
                    found.push((seen, opening, owned, record.index));
                    // There may be a million: the youngest are dropped now and then.
                    if found.len() > 2 * most {
                        found.select_nth_unstable_by_key(most, |found| found.0);
                        found.truncate(most);
                    }
                }
            });
        }
        found.sort_by_key(|found| found.0);
        found.truncate(most);
        let slots = self.slots.lock();
        let named = found.into_iter().map(|(seen, opening, owned, index)| Section {
            seen,
            opening,
            owned,
            owner: slots.owners[index].clone(),
        });
        (named.collect(), all)
    }

    /// Returns how many records there are, used or not.
    pub(crate) fn size(&self) -> usize {
        self.slots.lock().owners.len()
    }

    /// Returns how many records belong to a living thread.
    pub(crate) fn threads(&self) -> usize {
        let slots = self.slots.lock();
        slots.owners.len() - slots.free.len() - slots.orphans.len() - slots.vanished.len()
    }

    /// In the child of a fork: marks the records of all threads but this one as vanished. Such a
    /// record is not used again, since its thread may have been in the middle of a `call`.
    pub(crate) fn lose_all_but(&'static self, own: Option<&'static Record>) {
        let mut slots = self.slots.lock();
        let Slots { owners, free, orphans, vanished } = &mut *slots;
        let mut known = vec![false; owners.len()];
        for record in free.iter().chain(&*orphans).chain(&*vanished).chain(&own) {
            known[record.index] = true;
        }
        for record in self.records().filter(|record| !known[record.index]) {
            owners[record.index].ended = true;
            vanished.push(record);
        }
    }

    /// In the child of a fork: ends the open sections of vanished and orphan records.
    ///
    /// # Safety
    /// No thread uses what these sections have read. No thread has ended since the fork.
    pub(crate) unsafe fn clear_vanished(&self) {
        let mut slots = self.slots.lock();
        let Slots { orphans, vanished, .. } = &mut *slots;
        // Such an orphan is not used again, since the section's guard may still be dropped.
        orphans.retain(|record| {
            let open = record.has_section();
            if open {
                vanished.push(record);
            }
            !open
        });
        self.orphans.store(orphans.len(), Ordering::Relaxed);
        for record in vanished {
            // SAFETY: passed on. No thread owns the record.
            unsafe { record.clear() };
        }
    }

    /// If every record is free, resets the queues and returns `true`: another domain may have the
    /// registry. The caller's domain has ended.
    pub(crate) fn try_reuse(&self) -> bool {
        let mut slots = self.slots.lock();
        self.collect_in(&mut slots);
        let whole = slots.free.len() == slots.owners.len();
        if whole {
            for record in &slots.free {
                // SAFETY: the record is free and the domain has ended, so no thread uses the queue.
                unsafe { record.queue.reset() };
            }
        }
        whole
    }

    /// Gives a record up. It becomes free when its sections have ended and its callbacks have
    /// finished.
    ///
    /// # Safety
    /// The record belongs to this thread, which does not enter, claim or queue here again. It may
    /// leave open sections later.
    pub(crate) unsafe fn orphan(&self, record: &'static Record) {
        // SAFETY: passed on.
        unsafe { record.retire() };
        delay::at(Window::Orphaned);
        let mut slots = self.slots.lock();
        slots.orphans.push(record);
        slots.owners[record.index].ended = true;
        self.collect_in(&mut slots);
    }
}

/// The groups of records, the newest first.
#[derive(Debug)]
pub(crate) struct Groups(*const Group);

impl Iterator for Groups {
    type Item = &'static [Record];

    #[inline]
    fn next(&mut self) -> Option<&'static [Record]> {
        // SAFETY: null or a group, which is never freed (invariant 1), and whole, since `newest`
        // was stored with Release.
        let group: &'static Group = unsafe { self.0.as_ref() }?;
        self.0 = group.older;
        Some(&group.records)
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_used_again_only_when_its_sections_have_ended() {
        let registry = Registry::leak(Seq::FIRST);
        let first = registry.acquire();
        assert_eq!(registry.threads(), 1);
        // SAFETY: this thread acquired the record, and leaves once for each enter.
        unsafe {
            first.enter(first.signals());
            first.enter(first.signals());
            registry.orphan(first);
            assert_eq!(registry.threads(), 0);
            assert!(!registry.try_reuse());
            let second = registry.acquire();
            assert!(!std::ptr::eq(first, second));
            first.leave();
            registry.collect_orphans();
            assert!(!first.is_idle());
            first.leave();
            registry.collect_orphans();
            let third = registry.acquire();
            assert!(std::ptr::eq(first, third));
            registry.orphan(second);
            registry.orphan(third);
        }
        assert!(registry.try_reuse());
        assert_eq!(registry.records().count(), GROUP);
    }

    #[test]
    fn groups_grow_and_every_record_is_walked_through_once() {
        let registry = Registry::leak(Seq::FIRST);
        let taken: Vec<_> = (0..100).map(|_| registry.acquire()).collect();
        let mut walked: Vec<_> = registry.records().map(|record| record.index).collect();
        walked.sort_unstable();
        assert!(walked.iter().copied().eq(0..registry.records().count()));
        assert!((100..150).contains(&registry.records().count()));
        assert_eq!(registry.threads(), 100);
        // SAFETY: this thread acquired the records, and opened no section.
        taken.into_iter().for_each(|record| unsafe { registry.orphan(record) });
        assert_eq!(registry.threads(), 0);
    }
}
