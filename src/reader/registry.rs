//! All records of a domain: a list for scans, and the slots that threads take and give back.
//!
//! # States of a record
//! `free` (in `Slots::free`) `-> taken` (a thread's) `-> orphan` (in `Slots::orphans`: its thread gave it up, sections or
//! callbacks may be left) `-> free`, by whoever next collects orphans and finds it idle. All moves are made under the
//! slots' lock; the list of all records is only ever added to and is read without it, so a scan never waits for a
//! registration, nor a registration for a scan.
//!
//! Records are made in groups, half as many as there are each time: a scan walks through arrays, where the processor can fetch
//! many records at once, and not along a chain, where it cannot.
//!
//! # Invariants
//! 1. Groups of records, and cores, are never freed.
//! 2. A taken record belongs to exactly one thread.

use super::hub::Hub;
use super::location::Origin;
use super::record::Reader;
use super::sequence::Seq;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicPtr, AtomicUsize, Mutex, Ordering};
use crate::sys::thread::{self, Thread};
use std::ptr;
use std::slice;

crate::sys::prim::model_const! {
    /// Records of the first group, and the least number in every other group.
    const GROUP: usize = 4, loom 1;
}

/// What a floor above keeps beside each thread's reader word.
pub(crate) trait Local: Send + Sync + 'static {
    fn new() -> Self;
    /// Whether nothing of a past thread is left in it.
    fn is_idle(&self) -> bool;
    /// A new domain begins: counts start again. Nobody else has access.
    fn reset(&self);
}

/// One thread's part in one domain.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Record<L: Local> {
    pub(crate) reader: Reader,
    /// Its place in `Slots::owners`.
    index: usize,
    core: &'static Core<L>,
    pub(crate) local: L,
}

/// Whose a record is, or was last.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) thread: Thread,
    /// It gave the record up: what is open there was left behind or is held elsewhere.
    pub(crate) ended: bool,
}

/// An open section, for a report.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) seen: Seq,
    pub(crate) origin: Origin,
    pub(crate) owned: bool,
    pub(crate) owner: Owner,
}

#[derive(Debug)]
struct Group<L: Local> {
    records: Box<[Record<L>]>,
    older: *const Group<L>,
}

/// A domain's hub and records. Never freed; used again by a later domain.
#[derive(Debug)]
pub(crate) struct Core<L: Local> {
    pub(crate) hub: &'static Hub,
    newest: AtomicPtr<Group<L>>,
    slots: Mutex<Slots<L>>,
    /// Orphans in `slots`, to know without the lock that there are none.
    orphans: AtomicUsize,
}

#[derive(Debug)]
struct Slots<L: Local> {
    /// Of each record, in the order in which they were made.
    owners: Vec<Owner>,
    free: Vec<&'static Record<L>>,
    orphans: Vec<&'static Record<L>>,
    /// Records whose threads a fork has left behind, or whose guards. They are not used again.
    vanished: Vec<&'static Record<L>>,
}

impl<L: Local> Core<L> {
    pub(crate) fn leak(first: Seq) -> &'static Core<L> {
        Box::leak(Box::new(Core {
            hub: Box::leak(Box::new(Hub::new(first))),
            newest: AtomicPtr::new(ptr::null_mut()),
            slots: Mutex::new(Slots {
                owners: Vec::new(),
                free: Vec::new(),
                orphans: Vec::new(),
                vanished: Vec::new(),
            }),
            orphans: AtomicUsize::new(0),
        }))
    }

    /// A record for one thread, which owns it until it calls [`Record::orphan`].
    pub(crate) fn acquire(&'static self) -> &'static Record<L> {
        let mut slots = self.slots.lock();
        if slots.free.is_empty() {
            self.collect_in(&mut slots);
        }
        let owner = Owner {
            thread: thread::current(),
            ended: false,
        };
        if slots.free.is_empty() {
            self.grow(&mut slots);
        }
        let record = slots
            .free
            .pop()
            .expect("a group was added where there was none");
        slots.owners[record.index] = owner;
        record
    }

    /// Adds a group of free records.
    fn grow(&'static self, slots: &mut Slots<L>) {
        let first = slots.owners.len();
        let more = (first / 2).max(GROUP);
        let nobody = Owner {
            thread: thread::current(),
            ended: true,
        };
        slots.owners.resize(first + more, nobody);
        let group: &'static Group<L> = Box::leak(Box::new(Group {
            records: (first..first + more)
                .map(|index| Record {
                    reader: Reader::new(self.hub),
                    index,
                    core: self,
                    local: L::new(),
                })
                .collect(),
            // Groups are added under the lock, so the newest stands still.
            older: self.newest.load(Ordering::Relaxed),
        }));
        // Release: a scan that finds the group finds it whole. One that does not find it loaded `fenced` before, so the
        // sections that it misses began after the fence of every grace period that it can end.
        self.newest
            .store(ptr::from_ref(group).cast_mut(), Ordering::Release);
        slots.free.extend(group.records.iter().rev());
    }

    /// All records, those of the newest group first.
    #[inline]
    pub(crate) fn records(&self) -> Records<L> {
        Records {
            group: [].iter(),
            next: self.newest.load(Ordering::Acquire),
        }
    }

    /// Frees the orphans that are idle by now.
    pub(crate) fn collect_orphans(&self) {
        if self.orphans.load(Ordering::Relaxed) != 0 {
            self.collect_in(&mut self.slots.lock());
        }
    }

    fn collect_in(&self, slots: &mut Slots<L>) {
        let Slots { free, orphans, .. } = slots;
        orphans.retain(|record| {
            // Acquire, on every word and count: the next owner comes after all that the last one did.
            let idle = record.reader.is_idle() && record.local.is_idle();
            if idle {
                free.push(record);
            }
            !idle
        });
        self.orphans.store(orphans.len(), Ordering::Relaxed);
    }

    /// The sections that hold up grace period `wanted`, oldest first, at most `most` of them, and how many there are.
    pub(crate) fn sections_before(&self, wanted: Seq, most: usize) -> (Vec<Section>, usize) {
        let mut found: Vec<(Seq, Origin, bool, usize)> = Vec::new();
        let mut all = 0;
        for record in self.records() {
            record.reader.for_each_section(|seen, origin, owned| {
                if seen < wanted {
                    all += 1;
                    found.push((seen, origin, owned, record.index));
                    // There may be a million: now and then the youngest go.
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
        let named = found
            .into_iter()
            .map(|(seen, origin, owned, index)| Section {
                seen,
                origin,
                owned,
                owner: slots.owners[index].clone(),
            });
        (named.collect(), all)
    }

    /// How many records there are, used or not.
    pub(crate) fn size(&self) -> usize {
        self.slots.lock().owners.len()
    }

    /// Records that belong to a living thread.
    pub(crate) fn threads(&self) -> usize {
        let slots = self.slots.lock();
        slots.owners.len() - slots.free.len() - slots.orphans.len() - slots.vanished.len()
    }

    /// In the child of a fork: every thread is gone but the one with this record. Those records are never given up, as a
    /// thread may have been in the middle of queuing something.
    pub(crate) fn lose_all_but(&'static self, own: Option<&'static Record<L>>) {
        let mut slots = self.slots.lock();
        let Slots {
            owners,
            free,
            orphans,
            vanished,
        } = &mut *slots;
        let mut known = vec![false; owners.len()];
        for record in free.iter().chain(&*orphans).chain(&*vanished).chain(&own) {
            known[record.index] = true;
        }
        for record in self.records().filter(|record| !known[record.index]) {
            owners[record.index].ended = true;
            vanished.push(record);
        }
    }

    /// In the child of a fork: ends every section of threads that it has left behind, or that had ended before: their guards
    /// were sent on, and those who held them are gone.
    ///
    /// # Safety
    /// Nothing that was read in them is used any more. No thread has ended since the fork.
    pub(crate) unsafe fn clear_vanished(&self) {
        let mut slots = self.slots.lock();
        let Slots {
            orphans, vanished, ..
        } = &mut *slots;
        // Not to be used again, as such a guard may yet be dropped.
        orphans.retain(|record| {
            let open = !record.reader.is_idle();
            if open {
                vanished.push(record);
            }
            !open
        });
        self.orphans.store(orphans.len(), Ordering::Relaxed);
        for record in vanished {
            // SAFETY: passed on; the record's thread is gone.
            unsafe { record.reader.clear() };
        }
    }

    /// For a domain that has ended: whether every record is free, so that another may have the core. If so, the counts
    /// start again.
    pub(crate) fn try_reuse(&self) -> bool {
        let mut slots = self.slots.lock();
        self.collect_in(&mut slots);
        let whole = slots.free.len() == slots.owners.len();
        if whole {
            slots.free.iter().for_each(|record| record.local.reset());
        }
        whole
    }
}

impl<L: Local> Record<L> {
    pub(crate) fn hub(&self) -> &'static Hub {
        self.core.hub
    }

    /// Gives the record up: it is free for another thread as soon as its sections have ended and its callbacks finished.
    ///
    /// # Safety
    /// Only by the thread that it belongs to, which does not enter, claim or queue here again. Sections that are open
    /// may be left later.
    pub(crate) unsafe fn orphan(&'static self) {
        // SAFETY: passed on.
        unsafe { self.reader.retire() };
        delay::at(Window::Orphaned);
        let mut slots = self.core.slots.lock();
        slots.orphans.push(self);
        slots.owners[self.index].ended = true;
        self.core.collect_in(&mut slots);
    }

    /// Whether no section is open and nothing is queued here.
    pub(crate) fn is_idle(&self) -> bool {
        self.reader.is_idle() && self.local.is_idle()
    }
}

/// Iterator over all records of a core.
#[derive(Debug)]
pub(crate) struct Records<L: Local> {
    group: slice::Iter<'static, Record<L>>,
    next: *const Group<L>,
}

impl<L: Local> Records<L> {
    fn next_group(&mut self) -> Option<slice::Iter<'static, Record<L>>> {
        // SAFETY: null or a group, which is never freed (invariant 1); published whole by the Release at the newest.
        let group: &'static Group<L> = unsafe { self.next.as_ref() }?;
        self.next = group.older;
        Some(group.records.iter())
    }
}

impl<L: Local> Iterator for Records<L> {
    type Item = &'static Record<L>;

    #[inline]
    fn next(&mut self) -> Option<&'static Record<L>> {
        loop {
            if let Some(record) = self.group.next() {
                return Some(record);
            }
            self.group = self.next_group()?;
        }
    }

    #[inline]
    fn fold<B, F: FnMut(B, &'static Record<L>) -> B>(mut self, init: B, mut f: F) -> B {
        let mut all = self.group.by_ref().fold(init, &mut f);
        while let Some(group) = self.next_group() {
            all = group.fold(all, &mut f);
        }
        all
    }
}

/// Nothing beside the reader word: for tests of this floor and the next.
#[cfg(test)]
impl Local for () {
    fn new() -> Self {}
    fn is_idle(&self) -> bool {
        true
    }
    fn reset(&self) {}
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_used_again_only_when_its_sections_have_ended() {
        let core = Core::<()>::leak(Seq::FIRST);
        let first = core.acquire();
        assert_eq!(core.threads(), 1);
        // SAFETY: this thread acquired it, and leaves once for each enter.
        unsafe {
            first.reader.enter(first.hub());
            first.reader.enter(first.hub());
            first.orphan();
            assert_eq!(core.threads(), 0);
            assert!(!core.try_reuse());
            let second = core.acquire();
            assert!(!std::ptr::eq(first, second));
            first.reader.leave();
            core.collect_orphans();
            assert!(!first.is_idle());
            first.reader.leave();
            core.collect_orphans();
            let third = core.acquire();
            assert!(std::ptr::eq(first, third));
            second.orphan();
            third.orphan();
        }
        assert!(core.try_reuse());
        assert_eq!(core.records().count(), GROUP);
    }

    #[test]
    fn groups_grow_and_every_record_is_walked_through_once() {
        let core = Core::<()>::leak(Seq::FIRST);
        let taken: Vec<_> = (0..100).map(|_| core.acquire()).collect();
        let mut walked: Vec<_> = core.records().map(|record| record.index).collect();
        walked.sort_unstable();
        assert!(walked.iter().copied().eq(0..core.records().count()));
        assert!((100..150).contains(&core.records().count()));
        let mut folded = 0;
        core.records().for_each(|record| folded += record.index);
        assert_eq!(folded, walked.iter().sum::<usize>());
        assert_eq!(core.threads(), 100);
        // SAFETY: this thread acquired them, and opened nothing.
        taken
            .into_iter()
            .for_each(|record| unsafe { record.orphan() });
        assert_eq!(core.threads(), 0);
    }
}
