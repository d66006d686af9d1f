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
//! An orphan becomes free when a thread that collects orphans finds it idle. An orphan without open
//! sections may also be taken by another thread, while callbacks are left in its queue. All changes
//! are made under the lock of the slots. The list of all records only grows, and is read without
//! the lock. So scans and registrations do not wait for each other.
//!
//! Records are made in groups, each half as large as all before it together. So a scan walks
//! through arrays, which the processor prefetches, and not along a chain.
//!
//! # Past peaks
//! Threads get the free record with the lowest number, so that the groups of a past peak become
//! free as a whole. A group whose records are all free is *skipped*: scans and collections pass
//! over it. The mark is set (Release) under the lock, after every word of the group was read as 0
//! and every queue as idle (Acquire). It is cleared before a record of the group is taken. So a
//! scan that reads the mark (Acquire) comes after the accesses of every earlier section, and before
//! those of every later one, as if it had read the zeros.
//!
//! # Reuse
//! Registries and records are never freed, since a section's end reads `wake_requested` after its
//! word is 0, when the domain may be gone. A registry serves another domain when its own has ended
//! and all its records are free.
//!
//! # Invariants
//! 1. Registries and groups of records are never freed.
//! 2. A taken record belongs to exactly one thread.

mod memory;

use super::location::Opening;
use super::record::Record;
use super::sequence::Seq;
use super::signals::Signals;
use crate::callback::queue::Detached;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, AtomicPtr, AtomicUsize, Mutex, Ordering};
use crate::sys::thread::{self, Thread};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::iter;
use std::ptr;

crate::sys::prim::model_const! {
    /// The least number of records in a group, and the number in the first.
    const GROUP: usize = 4, loom 1;
}

/// Orphans that a thread looks at when it begins or ends, and in a turn of the grace-period thread.
/// It goes on as long as it finds idle ones.
const LOOKS: usize = 16;

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
    older: Option<&'static Group>,
    skipped: AtomicBool,
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
    /// A group was skipped since the last [`trim`](Self::trim).
    untrimmed: AtomicBool,
    /// The domain has ended: threads give up their records here when they next register anywhere.
    ended: AtomicBool,
}

#[derive(Debug)]
struct Slots {
    /// One for each record, in the order of their indices.
    owners: Vec<Owner>,
    /// One for each group, in the order of the indices of their records.
    groups: Vec<GroupSlot>,
    /// The indices of the free records.
    free: BinaryHeap<Reverse<usize>>,
    orphans: VecDeque<&'static Record>,
    vanished: Vec<&'static Record>,
}

#[derive(Debug)]
struct GroupSlot {
    group: &'static Group,
    /// The index of the first record.
    first: usize,
    free: usize,
    /// No record was taken since the queues gave their memory back.
    trimmed: bool,
}

impl GroupSlot {
    fn is_free(&self) -> bool {
        self.free == self.group.records.len()
    }
}

impl Slots {
    fn group_of(&mut self, index: usize) -> &mut GroupSlot {
        let after = self.groups.partition_point(|group| group.first <= index);
        &mut self.groups[after - 1]
    }

    /// Takes the free record with the lowest index.
    fn take(&mut self) -> Option<&'static Record> {
        let Reverse(index) = self.free.pop()?;
        let slot = self.group_of(index);
        slot.group.skipped.store(false, Ordering::Release);
        slot.free -= 1;
        slot.trimmed = false;
        Some(&slot.group.records[index - slot.first])
    }

    /// Makes an idle record free. Returns whether its group is to be trimmed.
    fn give(&mut self, record: &'static Record) -> bool {
        self.free.push(Reverse(record.index));
        let slot = self.group_of(record.index);
        slot.free += 1;
        if slot.is_free() {
            delay::at(Window::Skipping);
            slot.group.skipped.store(true, Ordering::Release);
        }
        slot.is_free() && slot.first != 0
    }
}

impl Registry {
    /// Makes a registry, which is never freed.
    pub(crate) fn leak(first: Seq) -> &'static Registry {
        Box::leak(Box::new(Registry {
            signals: Signals::new(first),
            newest: AtomicPtr::new(ptr::null_mut()),
            slots: Mutex::new(Slots {
                owners: Vec::new(),
                groups: Vec::new(),
                free: BinaryHeap::new(),
                orphans: VecDeque::new(),
                vanished: Vec::new(),
            }),
            orphans: AtomicUsize::new(0),
            untrimmed: AtomicBool::new(false),
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
        // The lowest of both, so that few records are in use.
        let record = self.take_orphan(&mut slots).or_else(|| slots.take());
        let record = record.unwrap_or_else(|| {
            self.grow(&mut slots);
            slots.take().expect("a group was added")
        });
        slots.owners[record.index] = Owner { thread: thread::current(), ended: false };
        record
    }

    /// Takes an orphan without open sections, if its index is below that of every free record.
    /// Callbacks may be left in its queue: the lock passes the queue's producing end on.
    fn take_orphan(&self, slots: &mut Slots) -> Option<&'static Record> {
        let looks = slots.orphans.len().min(LOOKS);
        slots.orphans.rotate_left(looks);
        let lowest = slots.free.peek().map_or(usize::MAX, |Reverse(index)| *index);
        let looked_at = slots.orphans.iter().enumerate().rev().take(looks);
        // Acquire, in `has_section`: the next owner comes after all that the last one did.
        let fits = |(_, r): &(usize, &&'static Record)| r.index < lowest && !r.has_section();
        let at = looked_at.filter(fits).min_by_key(|(_, record)| record.index)?.0;
        let record = slots.orphans.remove(at);
        self.orphans.store(slots.orphans.len(), Ordering::Relaxed);
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
            older: self.newest(),
            skipped: AtomicBool::new(true),
        }));
        // Release: a scan that finds the group finds it whole. A scan that does not find it loaded
        // `fenced` before, so the sections that it misses began after the fence of every grace
        // period that it can end.
        self.newest.store(ptr::from_ref(group).cast_mut(), Ordering::Release);
        slots.groups.push(GroupSlot { group, first, free: more, trimmed: true });
        slots.free.extend((first..first + more).map(Reverse));
    }

    /// Returns all records, used or not, those of the newest group first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &'static Record> + use<> {
        self.all_groups().flat_map(|group| &group.records)
    }

    /// Returns the records that may be in use, group by group: all that have an open section or an
    /// unfinished callback.
    #[inline(always)]
    pub(crate) fn groups(&self) -> impl Iterator<Item = &'static [Record]> + use<> {
        let in_use = |group: &&Group| !group.skipped.load(Ordering::Acquire);
        self.all_groups().filter(in_use).map(|group| &*group.records)
    }

    #[inline(always)]
    fn all_groups(&self) -> impl Iterator<Item = &'static Group> + use<> {
        iter::successors(self.newest(), |group| group.older)
    }

    #[inline(always)]
    fn newest(&self) -> Option<&'static Group> {
        // SAFETY: null or a group, which is never freed (invariant 1), and whole, since it was
        // stored with Release.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }

    /// Moves idle orphans to the free records.
    pub(crate) fn collect_orphans(&self) {
        if self.orphans.load(Ordering::Relaxed) != 0 {
            let memory = self.collect_in(&mut self.slots.lock(), LOOKS);
            drop(memory);
        }
    }

    /// Looks at so many orphans, and at more as long as every second one is idle. Returns the
    /// memory of the queues of those that are free now. The caller drops it outside of the lock.
    fn collect_in(&self, slots: &mut Slots, looks: usize) -> Vec<Detached> {
        let mut memory = Vec::new();
        let mut idle = 0;
        for looked in 0..slots.orphans.len() {
            if looked >= looks && looked > 2 * idle {
                break;
            }
            let Some(record) = slots.orphans.pop_front() else { break };
            // Acquire: the next owner comes after all that the last one did.
            if record.is_idle() {
                idle += 1;
                // SAFETY: the record is idle, and no thread can take it: there is no producer or
                // finisher. The slots are locked.
                let came = unsafe { record.queue.take_memory() };
                memory.extend(Some(came).filter(|came| !came.is_empty()));
                if slots.give(record) {
                    self.untrimmed.store(true, Ordering::Relaxed);
                }
            } else {
                slots.orphans.push_back(record);
            }
        }
        self.orphans.store(slots.orphans.len(), Ordering::Relaxed);
        memory
    }

    /// Returns the sections that hold up grace period `wanted`, oldest first, at most `most` of
    /// them, and how many there are.
    pub(crate) fn sections_before(&self, wanted: Seq, most: usize) -> (Vec<Section>, usize) {
        let mut found: Vec<(Seq, Opening, bool, usize)> = Vec::new();
        let mut all = 0;
        for record in self.groups().flatten() {
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
        let Slots { owners, free, orphans, vanished, .. } = &mut *slots;
        let mut known = vec![false; owners.len()];
        free.iter().for_each(|&Reverse(index)| known[index] = true);
        for record in orphans.iter().chain(&*vanished).chain(&own) {
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
        let memory = self.collect_in(&mut slots, usize::MAX);
        let whole = slots.free.len() == slots.owners.len();
        if whole {
            for record in self.records() {
                // SAFETY: the record is free and the domain has ended, so no thread uses the queue.
                unsafe { record.queue.reset() };
            }
        }
        drop(slots);
        drop(memory);
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
        unsafe {
            record.retire();
            record.queue.stock.give_up();
        }
        delay::at(Window::Orphaned);
        let mut slots = self.slots.lock();
        slots.orphans.push_back(record);
        slots.owners[record.index].ended = true;
        let memory = self.collect_in(&mut slots, LOOKS);
        drop(slots);
        drop(memory);
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use crate::callback::Callback;
    use crate::callback::queue::CallbackList;

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

    #[test]
    fn a_past_peak_of_threads_is_not_scanned() {
        let registry = Registry::leak(Seq::FIRST);
        let scanned = || registry.groups().flatten().count();
        assert_eq!(scanned(), 0);
        let peak: Vec<_> = (0..1000).map(|_| registry.acquire()).collect();
        assert!(scanned() >= 1000);
        // SAFETY: this thread acquired the records, and opened no section.
        peak.into_iter().for_each(|record| unsafe { registry.orphan(record) });
        assert_eq!(scanned(), 0);
        let one = registry.acquire();
        assert_eq!((one.index, scanned()), (0, GROUP));
        // SAFETY: as above.
        unsafe { registry.orphan(one) };
        assert!(registry.try_reuse());
    }

    #[test]
    fn threads_that_end_while_callbacks_wait_use_one_record_in_turn() {
        let registry = Registry::leak(Seq::FIRST);
        let held = registry.acquire();
        let mut list = CallbackList::new();
        for _ in 0..1000 {
            let record = registry.acquire();
            // SAFETY: this thread acquired the record, and opens no section.
            unsafe {
                record.queue.push(Callback::new(|_| ()));
                registry.orphan(record);
            }
            assert_eq!(record.index, 1);
        }
        let record = registry.records().find(|record| record.index == 1).unwrap();
        // SAFETY: this is the only thread.
        unsafe {
            record.queue.collect(&mut list);
            assert_eq!(list.len(), 1000);
            registry.collect_orphans();
            assert!(!registry.try_reuse(), "callbacks are unfinished");
            drop(list);
            registry.orphan(held);
        }
        assert!(registry.try_reuse());
    }

    #[test]
    fn the_queues_of_a_past_peak_give_their_memory_back_and_are_used_again() {
        let registry = Registry::leak(Seq::FIRST);
        for _ in 0..2 {
            let peak: Vec<_> = (0..100).map(|_| registry.acquire()).collect();
            // SAFETY: this is the only thread.
            unsafe {
                for record in &peak {
                    (0..200).for_each(|_| record.queue.push(Callback::new(|_| ())));
                }
                let mut list = CallbackList::new();
                peak.iter().for_each(|record| record.queue.collect(&mut list));
                assert_eq!(list.len(), 20_000);
                drop(list);
                peak.iter().for_each(|record| registry.orphan(record));
                registry.trim();
            }
            let kept = registry.records().filter(|record| record.queue.has_chunks()).count();
            assert_eq!(kept, GROUP);
        }
    }
}
