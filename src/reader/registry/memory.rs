//! Giving back the memory that a registry does not need any more.

use super::Registry;
use crate::callback::queue::Detached;
use crate::sys::prim::Ordering;

impl Registry {
    /// Closes the stocks of the records in use to which memory has come back. Returns whether a
    /// heavy fence and [`empty_stocks`](Self::empty_stocks) must follow. The caller holds the
    /// domain's lock for collecting, until then.
    pub(crate) fn close_stocks(&self) -> bool {
        let left = self.signals.queues.take_left();
        if left {
            // So that no record becomes free meanwhile, which opens its stock.
            let _slots = self.slots.lock();
            self.groups().flatten().for_each(|record| record.queue.close_stock());
        }
        left
    }

    /// Takes out the memory that has come back to the records in use. The caller frees it outside
    /// of its locks.
    ///
    /// # Safety
    /// The caller holds the domain's lock for collecting since it called
    /// [`close_stocks`](Self::close_stocks), and has passed a heavy fence after that.
    pub(crate) unsafe fn empty_stocks(&self) -> Vec<Detached> {
        // So that no record becomes free meanwhile, whose memory would be taken too.
        let _slots = self.slots.lock();
        let records = self.groups().flatten();
        // SAFETY: passed on. The slots are locked.
        let memory = records.map(|record| unsafe { record.queue.empty_stock() });
        memory.filter(|memory| !memory.is_empty()).collect()
    }

    /// Frees the memory of the queues in groups that a past peak has left.
    ///
    /// # Safety
    /// The caller holds the domain's lock for collecting.
    pub(crate) unsafe fn trim(&self) {
        if !self.untrimmed.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut slots = self.slots.lock();
        // The first group stays as it is, since threads come and go.
        let all = slots.groups.iter_mut().skip(1);
        for slot in all.filter(|slot| slot.is_free() && !slot.trimmed) {
            slot.trimmed = true;
            for record in &slot.group.records {
                // SAFETY: the record is free, and the slots are locked: there is no producer, and
                // no callback is unfinished. The caller is the only collector.
                unsafe { record.queue.trim() };
            }
        }
    }
}
