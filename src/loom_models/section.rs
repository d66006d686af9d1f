//! Enter, leave, start, scan: no version is freed under a reader. Threads may register at any time.

use super::{Cell, at_fences, engine, enter, leave, reads, replace};
use loom::thread;

/// A reader that registers while the writer is at work.
#[test]
fn loom_models_a_reader_and_a_writer() {
    at_fences(|| {
        let (registry, engine) = engine();
        let cell = Cell::new();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                let record = registry.acquire();
                enter(record);
                cell.look();
                leave(record);
            })
        };
        replace(&engine, &cell);
        reader.join().unwrap();
    });
}

/// Another thread's start and scan must not end the writer's grace period too early.
#[test]
fn loom_models_two_starters() {
    loom::model(|| {
        let (registry, engine) = engine();
        let cell = Cell::new();
        let record = registry.acquire();
        let reader = reads(record, &cell);
        let other = {
            let engine = engine.clone();
            thread::spawn(move || {
                engine.try_start_and_scan();
            })
        };
        replace(&engine, &cell);
        reader.join().unwrap();
        other.join().unwrap();
    });
}

/// One thread takes a cookie. Another one starts and ends the cookie's grace period.
#[test]
fn loom_models_a_cookie() {
    loom::model(|| {
        let (registry, engine) = engine();
        let cell = Cell::new();
        let record = registry.acquire();
        let reader = reads(record, &cell);
        let starter = {
            let engine = engine.clone();
            thread::spawn(move || {
                engine.start();
                engine.scan();
            })
        };
        cell.unlink();
        let cookie = engine.next();
        // A switch that costs no preemption, of which loom has few.
        thread::yield_now();
        if engine.has_elapsed(cookie) {
            cell.free();
        }
        reader.join().unwrap();
        starter.join().unwrap();
    });
}

/// Nested sections end with the last leave, and a second section of the same thread counts anew.
#[test]
fn loom_models_nested_sections() {
    loom::model(|| {
        let (registry, engine) = engine();
        let cell = Cell::new();
        let record = registry.acquire();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                enter(record);
                enter(record);
                leave(record);
                cell.look();
                leave(record);
                enter(record);
                cell.look();
                leave(record);
            })
        };
        replace(&engine, &cell);
        reader.join().unwrap();
    });
}

/// A record is given up and taken again while a grace period waits for its first section.
#[test]
fn loom_models_a_record_used_again() {
    loom::model(|| {
        let (registry, engine) = engine();
        let cell = Cell::new();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let record = registry.acquire();
                    // SAFETY: acquired here, paired, and then given up.
                    unsafe {
                        enter(record);
                        cell.look();
                        leave(record);
                        registry.orphan(record);
                    }
                }
            })
        };
        replace(&engine, &cell);
        reader.join().unwrap();
    });
}

/// A reader registers, and a third thread scans, beside the writer. A scan that does not find the
/// record must not end a grace period that the record's section holds up.
#[test]
fn loom_models_a_record_that_a_scan_does_not_find() {
    loom::model(|| {
        let (registry, engine) = engine();
        let cell = Cell::new();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                let record = registry.acquire();
                enter(record);
                cell.look();
                leave(record);
            })
        };
        let scanner = {
            let engine = engine.clone();
            thread::spawn(move || engine.scan())
        };
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
        let (registry, engine) = engine();
        let cell = Cell::new();
        let ending = {
            let cell = cell.clone();
            thread::spawn(move || {
                let record = registry.acquire();
                // SAFETY: this thread's record, paired; not entered again after it is given up.
                unsafe {
                    enter(record);
                    registry.orphan(record);
                    cell.look();
                    leave(record);
                }
            })
        };
        let beginning = thread::spawn(move || {
            let record = registry.acquire();
            enter(record);
            leave(record);
        });
        replace(&engine, &cell);
        ending.join().unwrap();
        beginning.join().unwrap();
    });
}
