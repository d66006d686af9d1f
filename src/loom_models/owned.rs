//! Owned words: claimed by one thread, released by another; growth, skipped blocks, refresh.

use super::*;
use loom::sync::mpsc::channel;

/// Models a thread that runs `claims` on one record, beside a writer that replaces the version.
fn claims_beside_a_writer(fewer: usize, claims: fn(&'static Record, &'static Cell)) {
    check_with_fewer(fewer, move || {
        let (registry, engine, cell) = engine_and_cell();
        let record = registry.acquire();
        let claimer = thread::spawn(move || claims(record, cell));
        replace(engine, cell);
        claimer.join().unwrap();
    });
}

/// One thread claims the word. Another one uses and releases it.
#[test]
fn loom_models_an_owned_guard_travels() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let record = registry.acquire();
        let (send, receive) = channel();
        let holder = thread::spawn(move || {
            let word = receive.recv().unwrap();
            cell.look();
            leave_owned(record, word);
        });
        let claimer = thread::spawn(move || send.send(claim(record)).unwrap());
        replace(engine, cell);
        join_all([claimer, holder]);
    });
}

/// Two words at once need a second block, and a word that was released is claimed again.
#[test]
fn loom_models_owned_words_grow_and_are_used_again() {
    claims_beside_a_writer(0, |record, cell| {
        let first = claim(record);
        let second = claim(record);
        leave_owned(record, first);
        cell.look();
        leave_owned(record, second);
        // This claim marks an idle block as skipped, and clears the mark of the block it takes.
        let third = claim(record);
        cell.look();
        leave_owned(record, third);
    });
}

/// A refresh lets grace periods pass, and what is read after it is protected.
#[test]
fn loom_models_refresh() {
    claims_beside_a_writer(0, |record, cell| {
        let word = claim(record);
        cell.look();
        refresh_owned(record, word);
        cell.look();
        leave_owned(record, word);
    });
}

/// A word is refreshed on another thread beside a claim by the record's thread. The word is never
/// free in between, so the two sections do not share it.
#[test]
fn loom_models_refresh_beside_a_claim() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let record = registry.acquire();
        let word = claim(record);
        let holder = thread::spawn(move || {
            refresh_owned(record, word);
            leave_owned(record, word);
        });
        let writer = thread::spawn(|| {
            cell.unlink();
            let seq = engine.start();
            engine.scan();
            if engine.has_elapsed(seq) {
                cell.free();
            }
        });
        let other = claim(record);
        cell.look();
        leave_owned(record, other);
        join_all([holder, writer]);
    });
}

/// A word of a skipped block is claimed: scans see the claim.
#[test]
fn loom_models_a_skipped_block_comes_back() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let record = registry.acquire();
        let (first, second) = (claim(record), claim(record));
        leave_owned(record, first);
        let holder = thread::spawn(move || {
            // The claim finds its block full, skips the idle one, and takes a word from that.
            let third = claim(record);
            leave_owned(record, second);
            cell.look();
            leave_owned(record, third);
        });
        replace(engine, cell);
        holder.join().unwrap();
    });
}

/// Later claims mark an idle block as skipped. A scan that passes over the block comes after the
/// reads of its sections.
#[test]
fn loom_models_an_idle_block_is_skipped() {
    claims_beside_a_writer(0, |record, cell| {
        let (first, second) = (claim(record), claim(record));
        cell.look();
        leave_owned(record, first);
        leave_owned(record, second);
        // One of these claims takes the second block again, the other skips the first one.
        leave_owned(record, claim(record));
        leave_owned(record, claim(record));
    });
}

/// A thread that scans skips idle blocks, beside claims of the record's thread.
#[test]
fn loom_models_another_thread_skips_idle_blocks() {
    check_with_fewer(1, || {
        let (registry, engine, cell) = engine_and_cell();
        let record = registry.acquire();
        let (first, second) = (claim(record), claim(record));
        leave_owned(record, first);
        leave_owned(record, second);
        let claimer = thread::spawn(move || {
            for _ in 0..2 {
                let word = claim(record);
                cell.look();
                leave_owned(record, word);
            }
        });
        record.skip_idle();
        replace(engine, cell);
        claimer.join().unwrap();
    });
}

/// A block with a word that is held is not skipped.
#[test]
fn loom_models_a_held_block_is_not_skipped() {
    claims_beside_a_writer(1, |record, cell| {
        let (held, other) = (claim(record), claim(record));
        leave_owned(record, other);
        (0..2).for_each(|_| leave_owned(record, claim(record)));
        cell.look();
        leave_owned(record, held);
    });
}
