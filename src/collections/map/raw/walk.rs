//! Over all entries, while writers go on.
//!
//! A walk goes through the *hashes*, from 0 upwards: it looks for the open bucket that is home to the next hash, shows the
//! entries of the hashes that this bucket and all on the way there are home to, and goes on behind them. Intervals nest,
//! so what a change of size splits or joins, before or behind the walk, is neither shown twice nor left out: a key that is
//! there throughout is in one slot of the chain that the walk chose for its hash, from then on, and in it also when the
//! bucket is moved meanwhile, for moved ones are left as they are.

use super::Hashed;
use super::bucket::Bucket;
use super::meta::SLOTS;
use super::table::Table;
use std::ops::RangeInclusive;

pub(crate) struct Walk<'s, E> {
    root: &'s Table<E>,
    /// The next hash to look for; `None` behind the last.
    next: Option<u64>,
    /// The rest of the chain, and the slot in it.
    chain: Option<&'s Bucket<E>>,
    slot: usize,
    /// What the chain is shown for.
    hashes: RangeInclusive<u64>,
}

impl<'s, E: Hashed> Walk<'s, E> {
    /// `root`: the current table, in the section that lasts for `'s`.
    pub(crate) fn new(root: &'s Table<E>) -> Self {
        Self {
            root,
            next: Some(0),
            chain: None,
            slot: 0,
            hashes: 0..=0,
        }
    }

    /// To the next chain.
    fn turn(&mut self) -> Option<&'s Bucket<E>> {
        let first = self.next?;
        let (_, bucket, _, last) = self.root.open_home(first);
        self.next = last.checked_add(1);
        self.hashes = first..=last;
        self.slot = 0;
        self.chain = Some(bucket);
        self.chain
    }
}

impl<E> Clone for Walk<'_, E> {
    fn clone(&self) -> Self {
        Self {
            hashes: self.hashes.clone(),
            ..*self
        }
    }
}

impl<'s, E: Hashed> Iterator for Walk<'s, E> {
    type Item = &'s E;

    fn next(&mut self) -> Option<&'s E> {
        loop {
            let bucket = match self.chain {
                Some(bucket) => bucket,
                None => self.turn()?,
            };
            while self.slot < SLOTS {
                let entry = bucket.entry(self.slot);
                self.slot += 1;
                match entry {
                    Some(entry) if self.hashes.contains(&entry.hash()) => return Some(entry),
                    _ => {}
                }
            }
            self.chain = bucket.overflow();
            self.slot = 0;
        }
    }
}
