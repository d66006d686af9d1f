//! Reader words of owned guards: claimed by one thread, released by any.
//!
//! The words are in blocks. The record's thread claims words of one block, the *current* one, until
//! that is full. Then it looks for another block with a free word, a few at a time, round and
//! round. If it finds none, it takes an idle block, and adds blocks only if there is none.
//!
//! # Invariants
//! 1. Only the record's thread claims a word (Acquire load of 0, then Release store of a sequence),
//!    and only in the current block. The holder of a guard stores 0 into its word, once.
//! 2. Groups of blocks are only added, at the head of the list (Release), and never freed.
//! 3. A skipped block has no claimed word. The mark is changed under the lock of `blocks`. It is
//!    set (Release) by any thread that read every word of the block as 0 (Acquire) under the lock,
//!    and cleared (Release) before the block becomes the current one. So a scan that reads the mark
//!    (Acquire) comes after the accesses of every earlier section of the block and before those of
//!    every later one, as if it had read the zeros. The same holds for a group's count of used
//!    blocks.
//! 4. The current block is not skipped. It changes under the lock.
//! 5. `idle` has the skipped blocks, each once.
//!
//! # Past peaks
//! Idle blocks are skipped by the record's thread now and then, and by a thread that scans and
//! finds more idle words than held ones, again and again.

use super::sequence::Sequence;
use super::word::Word;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, AtomicPtr, AtomicUsize, Mutex, Ordering, UnsafeCell};
use std::iter;
use std::ptr;

crate::sys::prim::model_const! {
    /// Words of a block. With its mark, a block fills four cache lines.
    const WORDS: usize = 31, loom 1;
}

/// The most blocks of a group.
const GROUP: usize = 64;

/// Full blocks that a claim looks at before it takes an idle one. Bounds the time of a claim.
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
        Self { skipped: AtomicBool::new(true), words: std::array::from_fn(|_| Word::new()) }
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
    /// How many blocks are not skipped. Scans pass over the group if there are none.
    used: AtomicUsize,
    older: Option<&'static Group>,
    blocks: Box<[Block]>,
}

/// The position of a block in the list of groups.
#[derive(Clone, Copy, Debug)]
struct Position {
    group: &'static Group,
    index: usize,
}

impl Position {
    fn block(self) -> &'static Block {
        &self.group.blocks[self.index]
    }

    /// Changes the mark of the block. The caller has the lock, so `used` may be read Relaxed.
    fn set_skipped(self, skipped: bool) {
        let used = self.group.used.load(Ordering::Relaxed);
        let used_now = if skipped { used - 1 } else { used + 1 };
        self.block().skipped.store(skipped, Ordering::Release);
        self.group.used.store(used_now, Ordering::Release);
    }
}

/// The state that only the record's thread touches.
#[derive(Debug)]
struct Cursor {
    /// The word claimed last, which the next claim tries first. Null before the first claim.
    word: *const Word,
    /// The current block.
    block: Option<&'static Block>,
    /// Claims left until the next round.
    budget: u32,
}

#[derive(Debug)]
struct Blocks {
    current: Option<&'static Block>,
    /// Where the next search for a free word begins.
    search: Option<Position>,
    /// Where the next round begins.
    sweep: Option<Position>,
    idle: Vec<Position>,
    /// Blocks in all groups.
    count: usize,
}

/// All owned words of one record.
#[derive(Debug)]
pub(crate) struct OwnedWords {
    newest: AtomicPtr<Group>,
    cursor: UnsafeCell<Cursor>,
    blocks: Mutex<Blocks>,
}

impl OwnedWords {
    pub(crate) fn new() -> Self {
        Self {
            newest: AtomicPtr::new(ptr::null_mut()),
            cursor: UnsafeCell::new(Cursor { word: ptr::null(), block: None, budget: ROUND }),
            blocks: Mutex::new(Blocks {
                current: None,
                search: None,
                sweep: None,
                idle: Vec::new(),
                count: 0,
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

    /// Puts the cursor on a free word, if necessary in another block, and returns the word.
    #[cold]
    unsafe fn find(&self) -> &'static Word {
        self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1.
            let cursor = unsafe { &mut *cursor };
            if cursor.budget == 0 {
                cursor.budget = ROUND;
                self.skip_idle(ROUND as usize);
            }
            let mut free = cursor.block.and_then(Block::free_word);
            while free.is_none() {
                let block = self.move_on();
                cursor.block = Some(block);
                free = block.free_word();
            }
            let word = free.expect("the loop ends with a word");
            cursor.word = word;
            word
        })
    }

    /// Makes another block the current one: one with a free word.
    fn move_on(&self) -> &'static Block {
        let mut blocks = self.blocks.lock();
        let block = self.next_with_free_word(&mut blocks).unwrap_or_else(|| {
            if blocks.idle.is_empty() {
                let count = blocks.count;
                self.skip_idle_in(&mut blocks, count);
                // With only a few, the next look at all blocks would come soon.
                if blocks.idle.len() <= count / 16 {
                    self.grow(&mut blocks);
                }
            }
            let at = blocks.idle.pop().expect("blocks were added");
            at.set_skipped(false);
            delay::at(Window::Unskipped);
            at.block()
        });
        blocks.current = Some(block);
        block
    }

    /// Looks at some blocks that are not skipped.
    fn next_with_free_word(&self, blocks: &mut Blocks) -> Option<&'static Block> {
        let mut at = blocks.search?;
        for _ in 0..blocks.count.min(LOOK) {
            at = self.after(at);
            let block = at.block();
            if !block.skipped.load(Ordering::Relaxed) && block.free_word().is_some() {
                blocks.search = Some(at);
                return Some(block);
            }
        }
        blocks.search = Some(at);
        None
    }

    /// Adds half as many blocks as there are, at least one. They are idle.
    fn grow(&self, blocks: &mut Blocks) {
        let mut more = (blocks.count / 2).max(1);
        blocks.count += more;
        while more != 0 {
            let size = more.min(GROUP);
            more -= size;
            let group: &'static Group = Box::leak(Box::new(Group {
                used: AtomicUsize::new(0),
                older: self.newest(),
                blocks: (0..size).map(|_| Block::new()).collect(),
            }));
            blocks.idle.extend((0..size).rev().map(|index| Position { group, index }));
            let first = Position { group, index: 0 };
            blocks.search.get_or_insert(first);
            blocks.sweep.get_or_insert(first);
            // Release: a scan that finds the group finds it whole. A scan that does not find the
            // group read its limit before, as if it had read the zeros in it.
            self.newest.store(ptr::from_ref(group).cast_mut(), Ordering::Release);
        }
    }

    /// Marks idle blocks as skipped, of so many that the call looks at. For any thread.
    pub(super) fn skip_idle(&self, most: usize) {
        if self.newest().is_none() {
            return;
        }
        // In portions, since the record's thread may wait for the lock.
        let mut left = most.min(self.blocks.lock().count);
        while left != 0 {
            let portion = left.min(ROUND as usize);
            self.skip_idle_in(&mut self.blocks.lock(), portion);
            left -= portion;
        }
    }

    fn skip_idle_in(&self, blocks: &mut Blocks, most: usize) {
        let Some(mut at) = blocks.sweep else { return };
        for _ in 0..blocks.count.min(most) {
            let block = at.block();
            let is_current = blocks.current.is_some_and(|current| ptr::eq(current, block));
            if !is_current && !block.skipped.load(Ordering::Relaxed) && block.is_idle() {
                delay::at(Window::Skipping);
                at.set_skipped(true);
                blocks.idle.push(at);
            }
            at = self.after(at);
        }
        blocks.sweep = Some(at);
    }

    /// Returns the next block, from the newest group to the oldest, then the newest again.
    fn after(&self, at: Position) -> Position {
        if at.index + 1 < at.group.blocks.len() {
            return Position { index: at.index + 1, ..at };
        }
        Position { group: at.group.older.or(self.newest()).unwrap_or(at.group), index: 0 }
    }

    #[inline(always)]
    fn newest(&self) -> Option<&'static Group> {
        // SAFETY: null or a group, which is never freed (invariant 2), and whole, since it was
        // stored with Release.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }

    /// Calls `f` for every word that may hold a section. For scans, on any thread.
    #[inline]
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Word)) {
        let mut next = self.newest();
        while let Some(group) = next {
            if group.used.load(Ordering::Acquire) != 0 {
                for block in &group.blocks {
                    if !block.skipped.load(Ordering::Acquire) {
                        block.words.iter().for_each(&mut f);
                    }
                }
            }
            next = group.older;
        }
    }

    /// Returns whether a word is held. Acquire: if not, all sections ended before this.
    pub(crate) fn any_held(&self) -> bool {
        iter::successors(self.newest(), |group| group.older).any(|group| {
            let mut used = group.blocks.iter().filter(|b| !b.skipped.load(Ordering::Acquire));
            group.used.load(Ordering::Acquire) != 0 && used.any(|block| !block.is_idle())
        })
    }

    pub(crate) fn held(&self) -> usize {
        let mut held = 0;
        self.for_each(|word| held += usize::from(word.holds().is_some()));
        held
    }

    /// Skips all idle blocks, when the record's thread gives the record up. No block is the current
    /// one then.
    ///
    /// # Safety
    /// The record belongs to this thread (invariant 1).
    pub(crate) unsafe fn retire(&self) {
        self.cursor.with_mut(|cursor| {
            // SAFETY: invariant 1.
            let cursor = unsafe { &mut *cursor };
            cursor.word = ptr::null();
            cursor.block = None;
        });
        if self.newest().is_some() {
            let mut blocks = self.blocks.lock();
            blocks.current = None;
            self.skip_idle_in(&mut blocks, usize::MAX);
        }
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::super::sequence::Seq;
    use super::*;
    use std::collections::VecDeque;

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
        let blocks = || words.blocks.lock().count;
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
        assert_eq!(seen, WORDS, "only the current block is left to scan");
        let held: Vec<_> = (0..10_000).map(|_| claim(&words, &sequence)).collect();
        assert_eq!(words.held(), 10_000);
        held.iter().for_each(|word| word.close());
    }

    #[test]
    fn a_past_peak_is_taken_out_of_scans_without_its_thread() {
        let sequence = Sequence::starting_at(Seq::FIRST);
        let words = OwnedWords::new();
        let held: Vec<_> = (0..10_000).map(|_| claim(&words, &sequence)).collect();
        let (kept, closed) = held.split_at(3);
        closed.iter().for_each(|word| word.close());
        words.skip_idle(usize::MAX);
        let mut seen = 0;
        words.for_each(|_| seen += 1);
        assert_eq!(seen, 2 * WORDS, "the block of the held words, and the current one");
        let again: Vec<_> = (0..10_000).map(|_| claim(&words, &sequence)).collect();
        assert_eq!(words.held(), 10_003);
        again.iter().chain(kept).for_each(|word| word.close());
    }

    #[test]
    fn guards_that_come_and_go_beside_long_ones_need_no_more_room() {
        let sequence = Sequence::starting_at(Seq::FIRST);
        // Long ones in a row, and one in each block.
        for apart in [1, WORDS] {
            let words = OwnedWords::new();
            let all: Vec<_> = (0..3000 * apart).map(|_| claim(&words, &sequence)).collect();
            let between = all.iter().enumerate().filter(|(n, _)| n % apart != 0);
            between.for_each(|(_, word)| word.close());
            let mut short = VecDeque::new();
            let mut before = 0;
            for n in 0..300_000 {
                short.push_back(claim(&words, &sequence));
                if short.len() > 100 {
                    short.pop_front().unwrap().close();
                }
                if n == 10_000 {
                    before = words.blocks.lock().count;
                }
            }
            assert_eq!(words.blocks.lock().count, before);
            assert_eq!(words.held(), 3100);
            short.iter().for_each(|word| word.close());
            all.iter().step_by(apart).for_each(|word| word.close());
        }
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
