//! Sleeping while sections hold a grace period up: the sleep ends when the grace period can end.

use super::*;
use crate::reader::sequence::{Seq, Sequence};

/// Does what the grace-period thread does until `seq` has elapsed.
fn sleep_until(registry: &'static Registry, engine: &Engine, seq: Seq) {
    let event = &registry.signals.event;
    loop {
        event.reset();
        if engine.scan() >= seq {
            return;
        }
        engine.request_wake(seq);
        barrier::heavy();
        let outlook = engine.scan_before_sleep(seq);
        if outlook.elapsed < seq && !outlook.without_wake {
            event.wait(None);
        }
    }
}

/// Two readers, one of which may enter after the sleeper has requested a wake-up from the other.
#[test]
fn loom_models_the_last_reader_wakes_the_sleeper() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let readers = [(); 2].map(|()| in_section(registry.acquire(), || cell.look()));
        cell.unlink();
        let seq = engine.start();
        sleep_until(registry, engine, seq);
        cell.free();
        join_all(readers);
    });
}

/// Two owned words of one record are released by two threads. The record holds one request.
#[test]
fn loom_models_two_words_of_one_record() {
    loom::model(|| {
        let (registry, engine) = engine();
        let record = registry.acquire();
        let words = [claim(record), claim(record)];
        let seq = engine.start();
        let leavers = words.map(|word| thread::spawn(move || leave_owned(record, word)));
        sleep_until(registry, engine, seq);
        join_all(leavers);
    });
}

/// One section ends just before the sleeper requests a wake-up from it. A section with an old
/// number begins just after. The sleeper must notice that the latter would not wake it.
#[test]
fn loom_models_a_late_section_with_an_old_number() {
    loom::model(|| {
        let (registry, engine) = engine();
        let (early, late) = (registry.acquire(), registry.acquire());
        let (early_word, late_word) = (claim(early), claim(late));
        leave_owned(late, late_word);
        let stale = Sequence::starting_at(Seq::FIRST);
        let seq = engine.start();
        let leaver = thread::spawn(move || leave_owned(early, early_word));
        let latecomer = thread::spawn(move || {
            // This section loaded the sequence before the start, and stores it only now.
            late_word.open(&stale);
            leave_owned(late, late_word);
        });
        sleep_until(registry, engine, seq);
        join_all([leaver, latecomer]);
    });
}

/// A later section of the same record does not hold the grace period up, and stays. The sleeper
/// must request nothing from it.
#[test]
fn loom_models_a_section_that_began_later() {
    loom::model(|| {
        let (registry, engine) = engine();
        let record = registry.acquire();
        let holdout = claim(record);
        let seq = engine.start();
        let bystander = claim(record);
        let leaver = thread::spawn(move || leave_owned(record, holdout));
        sleep_until(registry, engine, seq);
        leaver.join().unwrap();
        leave_owned(record, bystander);
    });
}

/// A section ends before the request for its wake-up is made. Its word is used again for a section
/// that does not hold the grace period up, and stays. The sleeper must not rely on that section.
#[test]
fn loom_models_a_word_that_is_used_again() {
    loom::model(|| {
        let (registry, engine) = engine();
        let record = registry.acquire();
        let [again, other] = [claim(record), claim(record)];
        let seq = engine.start();
        let first = thread::spawn(move || {
            leave_owned(record, again);
            again.open(&registry.signals.sequence);
        });
        let second = thread::spawn(move || leave_owned(record, other));
        sleep_until(registry, engine, seq);
        join_all([first, second]);
        leave_owned(record, again);
    });
}
