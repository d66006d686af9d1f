//! Enter, leave, start, scan: no version is freed under a reader, and registration may come at any time.

use super::{Cell, at_fences, engine, reads, replace};
use loom::thread;

/// A reader that registers while the writer is at work.
#[test]
fn loom_models_a_reader_and_a_writer() {
    at_fences(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                let record = core.acquire();
                // SAFETY: this thread's record, paired.
                unsafe { record.reader.enter(record.hub()) };
                cell.look();
                unsafe { record.reader.leave() };
            })
        };
        replace(&engine, &cell);
        reader.join().unwrap();
    });
}

/// Somebody else starts and scans beside the writer: his scan must not end the writer's grace period too early.
#[test]
fn loom_models_two_starters() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
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

/// A cookie is taken by one and its grace period started and ended by another.
#[test]
fn loom_models_a_cookie() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
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
        // The others' turn, without a preemption: loom has few.
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
        let (core, engine) = engine();
        let cell = Cell::new();
        let record = core.acquire();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                // SAFETY: handed to this thread, which alone uses it, paired.
                unsafe {
                    record.reader.enter(record.hub());
                    record.reader.enter(record.hub());
                    record.reader.leave();
                    cell.look();
                    record.reader.leave();
                    record.reader.enter(record.hub());
                    cell.look();
                    record.reader.leave();
                }
            })
        };
        replace(&engine, &cell);
        reader.join().unwrap();
    });
}

/// A record goes from one thread to another while a grace period waits for the first one's section.
#[test]
fn loom_models_a_record_used_again() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let record = core.acquire();
                    // SAFETY: acquired here, paired, and then given up.
                    unsafe {
                        record.reader.enter(record.hub());
                        cell.look();
                        record.reader.leave();
                        record.orphan();
                    }
                }
            })
        };
        replace(&engine, &cell);
        reader.join().unwrap();
    });
}

/// A reader registers, and somebody else scans, beside the writer: the record that the scan does not find is one whose sections
/// the scan's limit does not end.
#[test]
fn loom_models_a_record_that_a_scan_does_not_find() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                let record = core.acquire();
                // SAFETY: this thread's record, paired.
                unsafe { record.reader.enter(record.hub()) };
                cell.look();
                // SAFETY: its pair.
                unsafe { record.reader.leave() };
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

/// A thread gives its record up inside a section, and leaves that later: until then nobody else has the record.
#[test]
fn loom_models_a_section_left_after_its_threads_end() {
    loom::model(|| {
        let (core, engine) = engine();
        let cell = Cell::new();
        let ending = {
            let cell = cell.clone();
            thread::spawn(move || {
                let record = core.acquire();
                // SAFETY: this thread's record, paired; not entered again after it is given up.
                unsafe {
                    record.reader.enter(record.hub());
                    record.orphan();
                    cell.look();
                    record.reader.leave();
                }
            })
        };
        let beginning = thread::spawn(move || {
            let record = core.acquire();
            // SAFETY: this thread's record, paired.
            unsafe {
                record.reader.enter(record.hub());
                record.reader.leave();
            }
        });
        replace(&engine, &cell);
        ending.join().unwrap();
        beginning.join().unwrap();
    });
}
