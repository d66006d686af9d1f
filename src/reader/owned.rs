//! Reader words of owned guards: claimed by one thread, released by any.
//!
//! # Invariants
//! 1. Only the record's thread claims a word (Acquire load of 0, then Release store of a sequence),
//!    marks blocks as skipped or not, and adds blocks. The holder of a guard stores 0 into its
//!    word, once.
//! 2. Groups of blocks are only added, at the head of the list (Release), and never freed.
//! 3. A skipped block has no claimed word. The thread clears the mark (Release) before it claims a
//!    word of the block. It sets the mark (Release) only after it read every word of the block as 0
//!    (Acquire). So a scan that reads the mark (Acquire) comes after the accesses of every earlier
//!    section of the block and before those of every later one, as if it had read the zeros. Scans
//!    never write the mark.
//! 4. The block under the cursor is not skipped.

use super::sequence::Sequence;
use super::word::Word;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, AtomicPtr, Ordering, UnsafeCell};
use std::ptr;

crate::sys::prim::model_const! {
    /// Words of a block. With its flag, a block fills four cache lines.
    const WORDS: usize = 31, loom 1;
}

/// Full blocks that a claim looks at before it adds new blocks. Bounds the time of a claim.
const LOOK: usize = 64;
crate::sys::prim::model_const! {
    /// Claims between two rounds that skip idle blocks, and blocks that a round looks at.
    const ROUND: u32 = 256, loom 1;
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Block {
    /// Scans pass over the block.
    skipped: AtomicBool,
    words: [Word; WORDS],
}

impl Block {
    fn new() -> Self {
        Self { skipped: AtomicBool::new(false), words: std::array::from_fn(|_| Word::new()) }
    }

    fn is_idle(&self) -> bool {
        self.words.iter().all(|word| word.holds().is_none())
    }

    fn free_word(&self) -> Option<&Word> {
        // Acquire, in `holds`: what the last holder did comes before the claim.
        self.words.iter().find(|word| word.holds().is_none())
    }
}

#[derive(Debug)]
struct Group {
    blocks: Box<[Block]>,
    older: *const Group,
}

/// The position of a block in the list of groups.
#[derive(Clone, Copy, Debug)]
struct Position {
    group: *const Group,
    index: usize,
}

/// The state that only the record's thread touches.
#[derive(Debug)]
struct Cursor {
    /// The word claimed last, which the next claim tries first. Null before the first claim.
    word: *const Word,
    /// The block of that word.
    position: Position,
    /// The block at which the next round begins.
    sweep: Position,
    /// Claims left until the next round.
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
        let nowhere = Position { group: ptr::null(), index: 0 };
        Self {
            newest: AtomicPtr::new(ptr::null_mut()),
            cursor: UnsafeCell::new(Cursor {
                word: ptr::null(),
                position: nowhere,
                sweep: nowhere,
                budget: ROUND,
                blocks: 0,
            }),
        }
    }

    /// Claims a word and opens its section.
    ///
    /// # Safety
    /// The record belongs to this thread (invariant 1).
    #[inline]
    #[track_caller]
    pub(crate) unsafe fn claim(&self, sequence: &Sequence) -> &'static Word {
        let quick = self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1. No reference to the cursor outlives this closure.
            let cursor = unsafe { &mut *cursor };
            if cursor.word.is_null() || cursor.budget == 0 {
                return None;
            }
            cursor.budget -= 1;
            // SAFETY: the pointer is not null, so it leads into a group (invariant 2).
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

    /// Puts the cursor on a free word in a block that is not skipped, and returns the word.
    #[cold]
    unsafe fn find(&self) -> &'static Word {
        self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1.
            let cursor = unsafe { &mut *cursor };
            if cursor.budget == 0 {
                cursor.budget = ROUND;
                self.skip_idle(cursor);
            }
            let mut at = cursor.position;
            for _ in 0..cursor.blocks.min(LOOK) {
                let block = block(at);
                if let Some(word) = block.free_word() {
                    return settle(cursor, at, block, word);
                }
                at = self.after(at);
            }
            let at = self.grow(cursor);
            let block = block(at);
            settle(cursor, at, block, &block.words[0])
        })
    }

    /// Adds half as many blocks as there are, at least one, and returns the first of them.
    fn grow(&self, cursor: &mut Cursor) -> Position {
        let more = (cursor.blocks / 2).max(1);
        let group = Box::leak(Box::new(Group {
            blocks: (0..more).map(|_| Block::new()).collect(),
            older: self.newest.load(Ordering::Relaxed),
        }));
        cursor.blocks += more;
        let at = Position { group, index: 0 };
        if cursor.sweep.group.is_null() {
            cursor.sweep = at;
        }
        // Release: a scan that finds the group finds it whole. A scan that does not find the group
        // read its limit before, as if it had read the zeros in it.
        self.newest.store(group, Ordering::Release);
        at
    }

    /// Marks some idle blocks as skipped (invariant 3), but not the cursor's block (invariant 4).
    fn skip_idle(&self, cursor: &mut Cursor) {
        for _ in 0..cursor.blocks.min(ROUND as usize) {
            let at = cursor.sweep;
            cursor.sweep = self.after(at);
            let is_cursor =
                ptr::eq(at.group, cursor.position.group) && at.index == cursor.position.index;
            let block = block(at);
            if !is_cursor && !block.skipped.load(Ordering::Relaxed) && block.is_idle() {
                delay::at(Window::Skipping);
                block.skipped.store(true, Ordering::Release);
            }
        }
    }

    /// Returns the next block, from the newest group to the oldest, then the newest again.
    fn after(&self, at: Position) -> Position {
        // SAFETY: positions point to groups, which are never freed (invariant 2).
        let group = unsafe { &*at.group };
        if at.index + 1 < group.blocks.len() {
            return Position { index: at.index + 1, ..at };
        }
        let older = match group.older.is_null() {
            false => group.older,
            true => self.newest.load(Ordering::Relaxed),
        };
        Position { group: older, index: 0 }
    }

    /// Calls `f` for every word that may hold a section. For scans, on any thread.
    #[inline]
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Word)) {
        let mut group = self.newest.load(Ordering::Acquire).cast_const();
        while !group.is_null() {
            // SAFETY: groups in the list are whole, and never freed (invariant 2).
            let g = unsafe { &*group };
            for block in &g.blocks {
                if !block.skipped.load(Ordering::Acquire) {
                    block.words.iter().for_each(&mut f);
                }
            }
            group = g.older;
        }
    }

    pub(crate) fn held(&self) -> usize {
        let mut held = 0;
        self.for_each(|word| held += usize::from(word.holds().is_some()));
        held
    }

    /// Marks all idle blocks as skipped, when the record's thread gives the record up. The cursor
    /// is reset, so that invariant 4 holds for the next owner.
    ///
    /// # Safety
    /// The record belongs to this thread (invariant 1).
    pub(crate) unsafe fn retire(&self) {
        self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1.
            let cursor = unsafe { &mut *cursor };
            cursor.word = ptr::null();
            let mut at = cursor.position;
            for _ in 0..cursor.blocks {
                let block = block(at);
                if block.is_idle() {
                    block.skipped.store(true, Ordering::Release);
                }
                at = self.after(at);
            }
        });
    }
}

fn block(at: Position) -> &'static Block {
    // SAFETY: `grow` and `after` make positions, which point to a group (invariant 2).
    unsafe { &(&(*at.group).blocks)[at.index] }
}

/// Puts the cursor on a free word, after it clears the mark of the block (invariants 3 and 4).
fn settle(
    cursor: &mut Cursor,
    at: Position,
    block: &'static Block,
    word: &'static Word,
) -> &'static Word {
    if block.skipped.load(Ordering::Relaxed) {
        block.skipped.store(false, Ordering::Release);
        delay::at(Window::Unskipped);
    }
    cursor.position = at;
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
    fn later_claims_take_a_past_peak_out_of_scans_and_it_comes_back() {
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
    fn a_block_with_a_held_word_is_never_skipped() {
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
        // SAFETY: the test has one thread.
        unsafe { words.retire() };
        assert_eq!(words.held(), 10);
        let one = claim(&words, &sequence);
        assert_eq!(words.held(), 11);
        one.close();
        held.iter().step_by(50).for_each(|word| word.close());
        assert_eq!(words.held(), 0);
    }
}
