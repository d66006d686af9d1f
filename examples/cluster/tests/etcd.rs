//! The scenarios of failures with etcd as the store. They are skipped with a message if etcd is not
//! installed; see ci/cluster.sh.
#![cfg(feature = "etcd")]

mod common;

use common::scenarios;
use common::servers::EtcdServer;

#[test]
fn a_killed_node_does_not_block() {
    scenarios::a_killed_node_does_not_block::<EtcdServer>();
}

#[test]
fn the_store_is_restarted() {
    scenarios::the_store_is_restarted::<EtcdServer>();
}

#[test]
fn a_node_sleeps_past_its_lease_and_a_compaction() {
    scenarios::a_node_sleeps_past_its_lease_and_a_compaction::<EtcdServer>();
}

#[test]
fn a_node_under_its_lease_sleeps_past_a_compaction() {
    scenarios::a_node_under_its_lease_sleeps_past_a_compaction::<EtcdServer>();
}

#[test]
fn deltas_come_twice_late_and_never() {
    scenarios::deltas_come_twice_late_and_never::<EtcdServer>();
}

#[test]
fn an_updater_dies_and_is_succeeded() {
    scenarios::an_updater_dies_and_is_succeeded::<EtcdServer>();
}

#[test]
fn an_updater_that_slept_through_its_term_changes_nothing() {
    scenarios::an_updater_that_slept_through_its_term_changes_nothing::<EtcdServer>();
}

#[test]
fn a_node_is_cut_off() {
    scenarios::a_node_is_cut_off::<EtcdServer>(1);
}
