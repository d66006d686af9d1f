//! Tests of the program: the demonstration, and the refusal of wrong arguments.

use std::process::{Command, Output};

fn cluster(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cluster")).args(args).output().expect("the program starts")
}

#[test]
fn without_a_command_it_demonstrates_and_ends_well() {
    let done = cluster(&[]);
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
    for part in
        ["does not wait any more for node-1", "is mute", "inherited 1 files", "one file is left"]
    {
        assert!(told.contains(part), "{part:?} is missing:\n{told}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path().display().to_string();
    let file = format!("{dir}/file");
    std::fs::write(&file, "").expect("a file");
    let cases: [(&[&str], &str); 11] = [
        (&["demo", "--nodes", "1"], "at least two nodes"),
        (
            &["node", "--name", "a", "--dir", &dir, "--store", "redis://x"],
            "etcd://HOST:PORT or postgres://",
        ),
        (
            &["node", "--name", "a", "--dir", &dir, "--store", "etcd://x", "--prefix", "A/b"],
            "--prefix \"A/b\"",
        ),
        (
            &["node", "--name", "a", "--dir", &dir, "--store", "etcd://x", "--ttl-ms", "1"],
            "1 is not in 200",
        ),
        (
            &["node", "--name", "a", "--dir", &dir, "--store", "etcd://x", "--faults", "thrice=1"],
            "\"thrice\" is not twice, late or never",
        ),
        (&["put", "--dir", &dir, "--store", "etcd://x"], "<CHANGES>"),
        (&["put", "--dir", &dir, "--store", "etcd://x", "=1"], "use KEY=VALUE to set"),
        (&["bench", "--nodes", "0"], "at least one node"),
        (&["bench", "--nodes", "3..2"], "3 is more than 2"),
        (&["bench", "--puts", "0"], "0 is not in 1"),
        (&["bench", "--nodes", "x"], "invalid digit"),
    ];
    for (args, why) in cases {
        let done = cluster(args);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success(), "{args:?} is accepted");
        assert!(said.contains(why), "{args:?}: {said}");
    }
}

#[cfg(feature = "etcd")]
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let done =
        cluster(&["put", "--dir", "/dev/null/files", "--store", "etcd://127.0.0.1:1", "x=1"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("--dir /dev/null/files"), "{said}");
}

#[cfg(not(feature = "etcd"))]
#[test]
fn a_store_that_was_left_out_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path().display().to_string();
    let done = cluster(&["put", "--dir", &dir, "--store", "etcd://127.0.0.1:1", "x=1"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("--features etcd"), "{said}");
}

#[test]
fn the_bench_prints_a_row_for_each_number_of_nodes() {
    let done = cluster(&["bench", "--nodes", "1..2", "--puts", "3", "--hold-ms", "5"]);
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
    for row in ["| 1 | - |", "| 2 | - |", "| 1 | 5 ms |", "| 2 | 5 ms |"] {
        assert!(told.contains(row), "no {row:?}:\n{told}");
    }
}
