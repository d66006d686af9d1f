//! Watchers of a cell: either the writer finds the watcher, or the watcher finds what was written.
//! In the end a watcher has the newest version, and a waiting one is woken.
//!
//! The protocol rests on SeqCst accesses. Nothing is freed, and the domain's thread stays stopped:
//! the models of `cell` show the guards.

use super::*;

type Cell = &'static RcuCell<Value>;

fn store(cell: Cell, number: u32) {
    forget(cell.swap(Value::new(number)));
}

fn writer(cell: Cell) -> JoinHandle<()> {
    thread::spawn(move || store(cell, 2))
}

fn subscribe_beside_a_store(cell: Cell) {
    let writer = writer(cell);
    let mut watcher = cell.subscribe();
    writer.join().unwrap();
    assert_eq!(watcher.latest().expect("the cell is there").look(), 2);
    forget(watcher);
}

/// A thread subscribes while another stores.
#[test]
fn loom_models_a_subscription_beside_a_store() {
    each_way(|| subscribe_beside_a_store(stopped_cell()));
}

/// The same if the cell has had a watcher before.
#[test]
fn loom_models_a_second_subscription_beside_a_store() {
    each_way(|| {
        let cell = stopped_cell();
        drop(cell.subscribe());
        subscribe_beside_a_store(cell);
    });
}

/// A waiting watcher is woken.
#[test]
fn loom_models_a_watcher_is_woken() {
    each_way(|| {
        let cell = stopped_cell();
        let mut watcher = cell.subscribe();
        let writer = writer(cell);
        let new = block_on(watcher.changed(), None).unwrap();
        assert_eq!(new.expect("the cell is there").look(), 2);
        writer.join().unwrap();
        forget(watcher);
    });
}

/// The last of two writers leaves the newest version.
#[test]
fn loom_models_two_stores_beside_a_watcher() {
    each_way(|| {
        let cell = stopped_cell();
        let mut watcher = cell.subscribe();
        let writer = writer(cell);
        store(cell, 3);
        writer.join().unwrap();
        let newest = cell.with(Value::look);
        assert_eq!(watcher.latest().expect("the cell is there").look(), newest);
        forget(watcher);
    });
}
