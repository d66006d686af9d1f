//! The sleep on sections that hold a grace period up: nobody sleeps for ever.

use super::{Cell, ModelCore, engine, reads};
use crate::grace_period::engine::Engine;
use crate::reader::sequence::{Seq, Sequence};
use crate::sys::barrier;
use loom::thread;

/// What the grace-period thread does until `seq` has elapsed.
fn sleep_until(core: ModelCore, engine: &Engine<()>, seq: Seq) {
    loop {
        core.hub.event.reset();
        if engine.scan() >= seq {
            return;
        }
        engine.ask_holdout(seq);
        barrier::heavy();
        let outlook = engine.scan_asked(seq);
        if outlook.elapsed < seq && !outlook.unasked {
            core.hub.event.wait(None);
        }
    }
}

/// Two readers, one of which may enter after the sleeper has asked one.
#[test]
fn loom_models_the_last_reader_wakes_the_sleeper() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let readers: Vec<_> = (0..2).map(|_| reads(core.acquire(), &cell)).collect();
        cell.unlink();
        let seq = engine.start();
        sleep_until(core, &engine, seq);
        cell.free();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// Two owned words of one record, which says of one that it is asked, released by two threads.
#[test]
fn loom_models_two_words_of_one_record() {
    loom::model(|| {
        let (core, engine) = engine();
        let record = core.acquire();
        // SAFETY: the record is this thread's.
        let words = unsafe {
            [
                record.reader.claim(record.hub()),
                record.reader.claim(record.hub()),
            ]
        };
        let seq = engine.start();
        let leavers = words.map(|word| thread::spawn(move || record.reader.leave_owned(word)));
        sleep_until(core, &engine, seq);
        for leaver in leavers {
            leaver.join().unwrap();
        }
    });
}

/// One section ends just before the sleeper asks it, and another, whose number is old, begins just after: the sleeper must
/// notice that the second would not wake it.
#[test]
fn loom_models_a_late_section_with_an_old_number() {
    loom::model(|| {
        let (core, engine) = engine();
        let (early, late) = (core.acquire(), core.acquire());
        // SAFETY: both records are this thread's so far.
        let (early_word, late_word) = unsafe {
            (
                early.reader.claim(early.hub()),
                late.reader.claim(late.hub()),
            )
        };
        late.reader.leave_owned(late_word);
        let stale = Sequence::starting_at(Seq::FIRST);
        let seq = engine.start();
        let leaver = thread::spawn(move || early.reader.leave_owned(early_word));
        let latecomer = thread::spawn(move || {
            // It loaded the sequence before the start, and stores it only now.
            late_word.open(&stale);
            late.reader.leave_owned(late_word);
        });
        sleep_until(core, &engine, seq);
        leaver.join().unwrap();
        latecomer.join().unwrap();
    });
}

/// The same record has a section that began later, is not in the way, and stays: not the one to ask.
#[test]
fn loom_models_a_section_that_began_later() {
    loom::model(|| {
        let (core, engine) = engine();
        let record = core.acquire();
        // SAFETY: the record is this thread's.
        let holdout = unsafe { record.reader.claim(record.hub()) };
        let seq = engine.start();
        // SAFETY: the same.
        let bystander = unsafe { record.reader.claim(record.hub()) };
        let leaver = thread::spawn(move || record.reader.leave_owned(holdout));
        sleep_until(core, &engine, seq);
        leaver.join().unwrap();
        record.reader.leave_owned(bystander);
    });
}

/// The section that is about to be asked ends, unasked, and its word is used again for one that is not in the way, and
/// stays: the sleeper must not take that for one that will wake it.
#[test]
fn loom_models_a_word_that_is_used_again() {
    loom::model(|| {
        let (core, engine) = engine();
        let record = core.acquire();
        // SAFETY: the record is this thread's.
        let [again, other] = unsafe {
            [
                record.reader.claim(record.hub()),
                record.reader.claim(record.hub()),
            ]
        };
        let seq = engine.start();
        let first = thread::spawn(move || {
            record.reader.leave_owned(again);
            again.open(&core.hub.sequence);
        });
        let second = thread::spawn(move || record.reader.leave_owned(other));
        sleep_until(core, &engine, seq);
        first.join().unwrap();
        second.join().unwrap();
        record.reader.leave_owned(again);
    });
}
