//! Owned words: claimed by one thread, released by another; growth, parking, refresh.

use super::{Cell, check_with_fewer, engine, replace};
use loom::sync::mpsc::channel;
use loom::thread;

/// Claimed here, used and released there.
#[test]
fn loom_models_an_owned_guard_travels() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        let (send, receive) = channel();
        let holder = {
            let cell = cell.clone();
            thread::spawn(move || {
                let word: &'static crate::reader::word::Word = receive.recv().unwrap();
                cell.look();
                record.reader.leave_owned(word);
            })
        };
        let claimer = thread::spawn(move || {
            // SAFETY: the record is this thread's.
            send.send(unsafe { record.reader.claim(record.hub()) })
                .unwrap();
        });
        replace(&engine, &cell);
        claimer.join().unwrap();
        holder.join().unwrap();
    });
}

/// Two at once need a second block, and a word is claimed again after somebody else released it.
#[test]
fn loom_models_owned_words_grow_and_are_used_again() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        let claimer = {
            let cell = cell.clone();
            thread::spawn(move || {
                // SAFETY: the record is this thread's.
                let first = unsafe { record.reader.claim(record.hub()) };
                // SAFETY: likewise.
                let second = unsafe { record.reader.claim(record.hub()) };
                record.reader.leave_owned(first);
                cell.look();
                record.reader.leave_owned(second);
                // The sweep parks what is idle, and the claim unparks what it takes.
                // SAFETY: likewise.
                let third = unsafe { record.reader.claim(record.hub()) };
                cell.look();
                record.reader.leave_owned(third);
            })
        };
        replace(&engine, &cell);
        claimer.join().unwrap();
    });
}

/// A refresh lets grace periods pass, and what is read after it is protected.
#[test]
fn loom_models_refresh() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        let holder = {
            let cell = cell.clone();
            thread::spawn(move || {
                // SAFETY: the record is this thread's.
                let word = unsafe { record.reader.claim(record.hub()) };
                cell.look();
                record.reader.refresh_owned(word);
                cell.look();
                record.reader.leave_owned(word);
            })
        };
        replace(&engine, &cell);
        holder.join().unwrap();
    });
}

/// A refresh elsewhere beside a claim by the record's thread: the word is never free in between, so the two sections
/// never share one.
#[test]
fn loom_models_refresh_beside_a_claim() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        // SAFETY: the record is this thread's.
        let word = unsafe { record.reader.claim(record.hub()) };
        let holder = thread::spawn(move || {
            record.reader.refresh_owned(word);
            record.reader.leave_owned(word);
        });
        let writer = {
            let (cell, engine) = (cell.clone(), engine.clone());
            thread::spawn(move || {
                cell.unlink();
                let seq = engine.start();
                engine.scan();
                if engine.has_elapsed(seq) {
                    cell.free();
                }
            })
        };
        // SAFETY: the record is this thread's.
        let other = unsafe { record.reader.claim(record.hub()) };
        cell.look();
        record.reader.leave_owned(other);
        holder.join().unwrap();
        writer.join().unwrap();
    });
}

/// A block that was parked is claimed from again: scans see the claim.
#[test]
fn loom_models_a_parked_block_comes_back() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        // SAFETY: the record is this thread's.
        let (first, second) = unsafe {
            (
                record.reader.claim(record.hub()),
                record.reader.claim(record.hub()),
            )
        };
        record.reader.leave_owned(first);
        let holder = {
            let cell = cell.clone();
            thread::spawn(move || {
                // Finds its block full, parks the idle one, and takes a word from there.
                // SAFETY: the record is handed to this thread.
                let third = unsafe { record.reader.claim(record.hub()) };
                record.reader.leave_owned(second);
                cell.look();
                record.reader.leave_owned(third);
            })
        };
        replace(&engine, &cell);
        holder.join().unwrap();
    });
}

/// A block that is idle is parked by later claims: a scan that passes it by comes after what was read in it.
#[test]
fn loom_models_an_idle_block_is_parked() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        let claimer = {
            let cell = cell.clone();
            thread::spawn(move || {
                // SAFETY: the record is this thread's.
                let claim = || unsafe { record.reader.claim(record.hub()) };
                let (first, second) = (claim(), claim());
                cell.look();
                record.reader.leave_owned(first);
                record.reader.leave_owned(second);
                // Of these the one takes the second's block again, and the other parks the first's.
                record.reader.leave_owned(claim());
                record.reader.leave_owned(claim());
            })
        };
        replace(&engine, &cell);
        claimer.join().unwrap();
    });
}

/// A block with a word that is held is not.
#[test]
fn loom_models_a_held_block_is_not_parked() {
    check_with_fewer(1, || {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        let claimer = {
            let cell = cell.clone();
            thread::spawn(move || {
                // SAFETY: the record is this thread's.
                let claim = || unsafe { record.reader.claim(record.hub()) };
                let (held, other) = (claim(), claim());
                record.reader.leave_owned(other);
                (0..2).for_each(|_| record.reader.leave_owned(claim()));
                cell.look();
                record.reader.leave_owned(held);
            })
        };
        replace(&engine, &cell);
        claimer.join().unwrap();
    });
}
