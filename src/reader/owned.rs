//! Reader words for guards that leave their thread: claimed by one thread, released by any.
//!
//! # Invariants
//! 1. Only the record's thread claims a word (Acquire load of 0, then Release store of a sequence), parks, unparks and
//!    grows. Whoever holds a guard stores 0 into its word, once.
//! 2. Groups of blocks are only added, at the head of the list (Release), and never freed.
//! 3. A claimed word is never in a parked block: the thread unparks (Release) before it claims, and parks (Release) only
//!    after it read every word of the block as 0 (Acquire). A scan that reads `parked` (Acquire) and passes the block by
//!    therefore comes after the accesses of every section that ever was in it, and before every one that will be, the
//!    same as if it had read its zeros. Scans never write it.
//! 4. The block under the cursor is not parked.

use super::sequence::Sequence;
use super::word::Word;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, AtomicPtr, Ordering, UnsafeCell};
use std::ptr;

crate::sys::prim::model_const! {
    /// Words of a block. With its flag, a block fills four cache lines.
    const WORDS: usize = 31, loom 1;
}

/// Full blocks that a claim looks at before it adds new ones: bounds a claim's time, and growth stays geometric.
const LOOK: usize = 64;
crate::sys::prim::model_const! {
    /// Claims between two rounds of parking, and blocks that a round looks at.
    const ROUND: u32 = 256, loom 1;
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Block {
    parked: AtomicBool,
    words: [Word; WORDS],
}

impl Block {
    fn new() -> Self {
        Self {
            parked: AtomicBool::new(false),
            words: std::array::from_fn(|_| Word::new()),
        }
    }

    fn is_idle(&self) -> bool {
        self.words.iter().all(|word| word.holds().is_none())
    }

    fn free_word(&self) -> Option<&Word> {
        // Acquire, by `holds`: what the last holder did comes before the claim.
        self.words.iter().find(|word| word.holds().is_none())
    }
}

#[derive(Debug)]
struct Group {
    blocks: Box<[Block]>,
    older: *const Group,
}

/// A place in the list of groups. Walks newest to oldest and round again.
#[derive(Clone, Copy, Debug)]
struct Place {
    group: *const Group,
    index: usize,
}

/// What only the record's thread touches.
#[derive(Debug)]
struct Cursor {
    /// The word claimed last, tried first. Null before the first claim.
    word: *const Word,
    /// The block that it is in.
    place: Place,
    /// Where the next round of parking begins.
    sweep: Place,
    /// Claims left until then.
    budget: u32,
    /// Blocks in all groups.
    blocks: usize,
}

/// All owned words of one record.
#[derive(Debug)]
pub(crate) struct OwnedWords {
    newest: AtomicPtr<Group>,
    cursor: UnsafeCell<Cursor>,
}

impl OwnedWords {
    pub(crate) fn new() -> Self {
        let nowhere = Place {
            group: ptr::null(),
            index: 0,
        };
        Self {
            newest: AtomicPtr::new(ptr::null_mut()),
            cursor: UnsafeCell::new(Cursor {
                word: ptr::null(),
                place: nowhere,
                sweep: nowhere,
                budget: ROUND,
                blocks: 0,
            }),
        }
    }

    /// Claims a word and opens its section.
    ///
    /// # Safety
    /// Only by the thread that the record belongs to (invariant 1).
    #[inline]
    #[track_caller]
    pub(crate) unsafe fn claim(&self, sequence: &Sequence) -> &'static Word {
        let quick = self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1: nobody else touches the cursor, and no reference to it outlives this closure.
            let cursor = unsafe { &mut *cursor };
            if cursor.word.is_null() || cursor.budget == 0 {
                return None;
            }
            cursor.budget -= 1;
            // SAFETY: not null, so it points into a group, and those are never freed (invariant 2).
            let word = unsafe { &*cursor.word };
            word.holds().is_none().then_some(word)
        });
        let word = match quick {
            Some(word) => word,
            // SAFETY: passed on.
            None => unsafe { self.find() },
        };
        delay::at(Window::Claiming);
        word.open(sequence);
        word
    }

    /// A free word in a block that is not parked, and the cursor on it.
    #[cold]
    unsafe fn find(&self) -> &'static Word {
        self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1.
            let cursor = unsafe { &mut *cursor };
            if cursor.budget == 0 {
                cursor.budget = ROUND;
                self.park_some(cursor);
            }
            let mut place = cursor.place;
            for _ in 0..cursor.blocks.min(LOOK) {
                let block = block(place);
                if let Some(word) = block.free_word() {
                    return settle(cursor, place, block, word);
                }
                place = self.after(place);
            }
            let place = self.grow(cursor);
            let block = block(place);
            settle(cursor, place, block, &block.words[0])
        })
    }

    /// Adds half as many blocks as there are, at least one.
    fn grow(&self, cursor: &mut Cursor) -> Place {
        let more = (cursor.blocks / 2).max(1);
        let group = Box::leak(Box::new(Group {
            blocks: (0..more).map(|_| Block::new()).collect(),
            older: self.newest.load(Ordering::Relaxed),
        }));
        cursor.blocks += more;
        let place = Place { group, index: 0 };
        if cursor.sweep.group.is_null() {
            cursor.sweep = place;
        }
        // Release: a scan that finds the group finds it whole. A scan that does not find it read its limit before, and is
        // the same as one that read the zeros in it (as with the registry's head).
        self.newest.store(group, Ordering::Release);
        place
    }

    /// Looks at some blocks and parks those that are idle (invariant 3), but the cursor's (invariant 4).
    fn park_some(&self, cursor: &mut Cursor) {
        for _ in 0..cursor.blocks.min(ROUND as usize) {
            let place = cursor.sweep;
            cursor.sweep = self.after(place);
            let here = place.group == cursor.place.group && place.index == cursor.place.index;
            let block = block(place);
            if !here && !block.parked.load(Ordering::Relaxed) && block.is_idle() {
                delay::at(Window::Parking);
                block.parked.store(true, Ordering::Release);
            }
        }
    }

    fn after(&self, place: Place) -> Place {
        // SAFETY: places point to groups, which are never freed (invariant 2).
        let group = unsafe { &*place.group };
        if place.index + 1 < group.blocks.len() {
            return Place {
                index: place.index + 1,
                ..place
            };
        }
        let older = match group.older.is_null() {
            false => group.older,
            true => self.newest.load(Ordering::Relaxed),
        };
        Place {
            group: older,
            index: 0,
        }
    }

    /// Every word that may hold a section. For scans: any thread, at any time.
    #[inline]
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Word)) {
        let mut group = self.newest.load(Ordering::Acquire).cast_const();
        while !group.is_null() {
            // SAFETY: from the list, whose groups are never freed (invariant 2); published whole by Release.
            let g = unsafe { &*group };
            for block in &g.blocks {
                if !block.parked.load(Ordering::Acquire) {
                    block.words.iter().for_each(&mut f);
                }
            }
            group = g.older;
        }
    }

    /// How many sections are open.
    pub(crate) fn held(&self) -> usize {
        let mut held = 0;
        self.for_each(|word| held += usize::from(word.holds().is_some()));
        held
    }

    /// The record's thread goes: parks all that is idle, so that scans no longer look at it.
    ///
    /// # Safety
    /// As [`claim`](Self::claim); and the cursor is forgotten, so that invariant 4 holds for the next owner.
    pub(crate) unsafe fn retire(&self) {
        self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1.
            let cursor = unsafe { &mut *cursor };
            cursor.word = ptr::null();
            let mut place = cursor.place;
            for _ in 0..cursor.blocks {
                let block = block(place);
                if block.is_idle() {
                    block.parked.store(true, Ordering::Release);
                }
                place = self.after(place);
            }
        });
    }
}

fn block(place: Place) -> &'static Block {
    // SAFETY: places are made by `grow` and `after` only, so they point to a group, which is never freed (invariant 2).
    unsafe { &(&(*place.group).blocks)[place.index] }
}

/// Puts the cursor on a free word, and unparks its block first (invariant 3, invariant 4).
fn settle(
    cursor: &mut Cursor,
    place: Place,
    block: &'static Block,
    word: &'static Word,
) -> &'static Word {
    if block.parked.load(Ordering::Relaxed) {
        block.parked.store(false, Ordering::Release);
        delay::at(Window::Unparked);
    }
    cursor.place = place;
    cursor.word = word;
    word
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::super::sequence::Seq;
    use super::*;

    fn claim(words: &OwnedWords, sequence: &Sequence) -> &'static Word {
        // SAFETY: the test has one thread.
        unsafe { words.claim(sequence) }
    }

    #[test]
    fn grows_past_a_block_and_uses_words_again() {
        let sequence = Sequence::starting_at(Seq::FIRST);
        let words = OwnedWords::new();
        let held: Vec<_> = (0..1000).map(|_| claim(&words, &sequence)).collect();
        assert_eq!(words.held(), 1000);
        held.iter().for_each(|word| word.close());
        assert_eq!(words.held(), 0);
        // SAFETY: the test has one thread.
        let blocks = || words.cursor.with(|c| unsafe { (*c).blocks });
        let before = blocks();
        let again: Vec<_> = (0..1000).map(|_| claim(&words, &sequence)).collect();
        assert_eq!(words.held(), 1000);
        assert_eq!(before, blocks(), "a second peak needs no more room");
        again.iter().for_each(|word| word.close());
    }

    #[test]
    fn a_past_peak_is_parked_by_later_claims_and_comes_back() {
        let sequence = Sequence::starting_at(Seq::FIRST);
        let words = OwnedWords::new();
        let held: Vec<_> = (0..10_000).map(|_| claim(&words, &sequence)).collect();
        held.iter().for_each(|word| word.close());
        for _ in 0..4 * ROUND {
            claim(&words, &sequence).close();
        }
        let mut seen = 0;
        words.for_each(|_| seen += 1);
        assert_eq!(seen, WORDS, "only the cursor's block is left to scan");
        let held: Vec<_> = (0..10_000).map(|_| claim(&words, &sequence)).collect();
        assert_eq!(words.held(), 10_000);
        held.iter().for_each(|word| word.close());
    }

    #[test]
    fn a_held_word_is_never_parked() {
        let sequence = Sequence::starting_at(Seq::FIRST);
        let words = OwnedWords::new();
        let held: Vec<_> = (0..500).map(|_| claim(&words, &sequence)).collect();
        for (i, word) in held.iter().enumerate() {
            if i % 50 != 0 {
                word.close();
            }
        }
        for _ in 0..8 * ROUND {
            claim(&words, &sequence).close();
        }
        assert_eq!(words.held(), 10);
        // SAFETY: one thread.
        unsafe { words.retire() };
        assert_eq!(words.held(), 10);
        let one = claim(&words, &sequence);
        assert_eq!(words.held(), 11);
        one.close();
        held.iter().step_by(50).for_each(|word| word.close());
        assert_eq!(words.held(), 0);
    }
}
