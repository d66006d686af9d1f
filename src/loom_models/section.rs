//! Enter, leave, start, scan: no version is freed under a reader. Threads may register at any time.

use super::*;

/// A reader that registers while the writer is at work.
#[test]
fn loom_models_a_reader_and_a_writer() {
    at_fences(|| {
        replace_beside(|registry, cell| section(registry.acquire(), || cell.look()));
    });
}

/// Another thread's start and scan must not end the writer's grace period too early.
#[test]
fn loom_models_two_starters() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let reader = in_section(registry.acquire(), || cell.look());
        let other = thread::spawn(|| engine.try_start_and_scan());
        replace(engine, cell);
        reader.join().unwrap();
        other.join().unwrap();
    });
}

/// One thread takes a cookie. Another one starts and ends the cookie's grace period.
#[test]
fn loom_models_a_cookie() {
    at_fences(|| {
        let (registry, engine, cell) = engine_and_cell();
        let reader = in_section(registry.acquire(), || cell.look());
        let starter = thread::spawn(|| {
            engine.start();
            engine.scan();
        });
        cell.unlink();
        let cookie = engine.next();
        // A switch that costs no preemption, of which loom has few.
        thread::yield_now();
        if engine.has_elapsed(cookie) {
            cell.free();
        }
        join_all([reader, starter]);
    });
}

/// Nested sections end with the last leave, and a second section of the same thread counts anew.
#[test]
fn loom_models_nested_sections() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let record = registry.acquire();
        let reader = thread::spawn(move || {
            section(record, || {
                section(record, || ());
                cell.look();
            });
            section(record, || cell.look());
        });
        replace(engine, cell);
        reader.join().unwrap();
    });
}

/// A record is given up and taken again while a grace period waits for its first section.
#[test]
fn loom_models_a_record_used_again() {
    loom::model(|| {
        replace_beside(|registry, cell| {
            for _ in 0..2 {
                let record = registry.acquire();
                section(record, || cell.look());
                // SAFETY: acquired here.
                unsafe { registry.orphan(record) };
            }
        });
    });
}

/// A reader registers, and a third thread scans, beside the writer. A scan that does not find the
/// record must not end a grace period that the record's section holds up.
#[test]
fn loom_models_a_record_that_a_scan_does_not_find() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let reader = thread::spawn(|| section(registry.acquire(), || cell.look()));
        let scanner = thread::spawn(|| engine.scan());
        cell.unlink();
        let seq = engine.start();
        if engine.has_elapsed(seq) {
            cell.free();
        }
        scanner.join().unwrap();
        reader.join().unwrap();
    });
}

/// A thread gives its record up inside a section, which it leaves later. Until then no other thread
/// gets the record.
#[test]
fn loom_models_a_section_left_after_its_threads_end() {
    loom::model(|| {
        let (registry, engine, cell) = engine_and_cell();
        let ending = thread::spawn(|| {
            let record = registry.acquire();
            enter(record);
            // SAFETY: acquired here, and not entered again.
            unsafe { registry.orphan(record) };
            cell.look();
            leave(record);
        });
        let beginning = thread::spawn(|| section(registry.acquire(), || ()));
        replace(engine, cell);
        join_all([ending, beginning]);
    });
}
