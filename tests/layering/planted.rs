//! Planted violations, and code that must pass: what the scanner finds and what it leaves alone.

use crate::tokens::tokens;
use crate::{MAX_LINES, check};

const LIB: (&str, &str) = (
    "lib.rs",
    "mod cell;\npub(crate) use cell::Hidden;\npub use cell::RcuCell;\npub use domain::{Rcu as Rcu2, Rcu};",
);

/// The violations of `text` as `src/NAME`, beside a small `lib.rs`.
fn violations(name: &str, text: &str) -> Vec<String> {
    check(&[LIB, (name, text)].map(|(name, text)| (name.to_owned(), text.to_owned())))
}

/// `text` as `src/NAME` is found out once, at `line`, with `what` in the message.
#[track_caller]
fn caught(name: &str, text: &str, line: usize, what: &str) {
    let found = violations(name, text);
    assert_eq!(found.len(), 1, "{text:?} as {name}: {found:?}");
    assert!(
        found[0].starts_with(&format!("src/{name}:{line}: ")),
        "{text:?}: {found:?}"
    );
    assert!(found[0].contains(what), "{text:?}: {found:?}");
}

#[track_caller]
fn clean(name: &str, text: &str) {
    assert_eq!(violations(name, text), [""; 0], "{text:?} as {name}");
}

#[test]
fn each_floor_sees_itself_and_what_is_below() {
    for (height, floor) in crate::FLOORS.iter().enumerate() {
        for (target_height, target) in crate::FLOORS.iter().enumerate() {
            let (name, text) = (format!("{floor}/x.rs"), format!("use crate::{target}::Y;"));
            if target_height <= height {
                clean(&name, &text);
            } else {
                caught(
                    &name,
                    &text,
                    1,
                    &format!("`{target}` is floor {target_height}"),
                );
            }
        }
    }
}

#[test]
fn every_form_of_an_upward_import_is_caught() {
    let upward = "`grace_period` is floor 2, `domain` is floor 5";
    for text in [
        "use crate::domain::Rcu;",
        "pub use crate::domain::Rcu;",
        "pub(crate) use crate::domain::Rcu;",
        "pub(in crate::grace_period) use crate::domain::Rcu;",
        "use crate::domain;",
        "use crate::domain::*;",
        "use crate::domain as above;",
        "use crate::{domain::Rcu};",
        "use crate::{sys::{atomic, event::{self, Event}}, reader::Word, domain::Rcu};",
        "use {crate::domain::Rcu, std::fmt};",
        "use super::super::domain::Rcu;",
        "use super::{Own, super::domain::Rcu};",
        "use self::super::super::domain::Rcu;",
        "use crate::r#domain::Rcu;",
        "fn f(rcu: &crate::domain::Rcu) {}",
        "fn f() { super::super::domain::start(); }",
        "fn f() { <crate::domain::Rcu as Clone>::clone(&x); }",
        "fn f() { let _ = Vec::<crate::domain::Rcu>::new(); }",
        "mod inner { fn f() { super::super::super::domain::start(); } }",
        "macro_rules! m { () => { $crate::domain::start() } }",
        "macro_rules! m { () => { use $crate::domain::Rcu; } }",
        "#[derive(crate::domain::Made)] struct S;",
        "#[cfg(test)] mod tests { use crate::domain::Rcu; }",
        "fn f<'a>(x: &'a u8) -> impl Sized + use<'a> { crate::domain::g(x) }",
        "let c = '\"'; use crate::domain::Rcu; let d = '\"';",
        "let c = '\\''; use crate::domain::Rcu; let d = b'\\'';",
        "let s = \"\\\"\"; use crate::domain::Rcu; let s = r#\"\"\"#;",
        "/* /* */ */ use crate::domain::Rcu;",
    ] {
        caught("grace_period/engine.rs", &format!("\n{text}\n"), 2, upward);
    }
}

#[test]
fn the_line_is_that_of_the_name() {
    let text = "//! a\n\nuse crate::{\n    sys::X, // b\n    domain::{\n        Rcu,\n    },\n};\n";
    caught("grace_period/mod.rs", text, 6, "crate::domain::Rcu");
}

#[test]
fn a_group_is_searched_to_its_end() {
    let found = violations(
        "sys/mod.rs",
        "use crate::{sys::A, grace_period::{B, c::D}, reader::E};\nuse crate::grace_period::F;",
    );
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn super_is_counted_from_the_module_that_it_stands_in() {
    clean(
        "grace_period/engine/scan.rs",
        "use super::super::waiters::W; use super::Engine;",
    );
    clean(
        "grace_period/mod.rs",
        "mod a { mod b { use super::super::X; fn f() { super::super::y(); } } }",
    );
    clean(
        "grace_period/mod.rs",
        "mod a { use super::X; } mod b { use super::X; }",
    );
    caught(
        "grace_period/mod.rs",
        "mod a {}\nuse super::domain::X;",
        2,
        "floor 5",
    );
    caught(
        "grace_period/engine/mod.rs",
        "use super::super::domain::X;",
        1,
        "floor 5",
    );
    caught(
        "grace_period/engine/scan.rs",
        "use super::super::super::domain::X;",
        1,
        "floor 5",
    );
}

#[test]
fn comments_documentation_and_literals_do_not_count() {
    clean(
        "grace_period/mod.rs",
        r####"
//! [`crate::domain::Rcu`], std::thread::spawn
/// use crate::domain::Rcu;
/* use crate::domain::Rcu; /* std::sync::atomic::fence */ tokio::runtime::Handle */
#[doc = "crate::domain::Rcu"]
const S: &str = "use crate::domain::Rcu; \" std::thread::spawn";
const R: &str = r##"use crate::domain::Rcu; "# std::thread::spawn"##;
const B: &[u8] = b"rustix::x \" crate::domain::x";
const C: &CStr = cr#"rustix::x " crate::domain::x"#;
fn f<'a>(c: &'a str) -> char { '"' }
// "
"####,
    );
}

#[test]
fn the_facade_hides_the_direction_from_lower_floors() {
    caught(
        "domain/rcu.rs",
        "use crate::RcuCell;",
        1,
        "goes through lib.rs",
    );
    caught(
        "grace_period/mod.rs",
        "use super::*;",
        1,
        "goes through lib.rs",
    );
    caught(
        "grace_period/mod.rs",
        "use crate as root;",
        1,
        "hides what is imported",
    );
    caught(
        "grace_period/mod.rs",
        "use crate::{self as root};",
        1,
        "hides what is imported",
    );
    caught(
        "grace_period/mod.rs",
        "use super as root;",
        1,
        "hides what is imported",
    );
    caught(
        "grace_period/mod.rs",
        "extern crate self as root;",
        1,
        "hides what is imported",
    );
    clean(
        "grace_period/mod.rs",
        "pub(crate) struct X; pub(super) fn f() {} pub(in crate::grace_period) fn g() {}",
    );
}

#[test]
fn cell_sees_exports_service_guards_and_atomics() {
    clean(
        "cell.rs",
        "use crate::{Rcu, Rcu2}; use crate::domain::Core; use super::RcuCell; use crate::cell::X;",
    );
    clean(
        "cell.rs",
        "use crate::reader::{ReadGuard, guard::Guard}; mod tests { use super::*; }",
    );
    clean(
        "cell/mod.rs",
        "use crate::sys::prim::{AtomicPtr, Ordering};",
    );
    caught(
        "cell/mod.rs",
        "use crate::sys::event::Event;",
        1,
        "public facade",
    );
    caught("cell/mod.rs", "use crate::sys;", 1, "public facade");
    caught("cell.rs", "use crate::reader::Word;", 1, "public facade");
    caught(
        "cell.rs",
        "use crate::grace_period::Engine;",
        1,
        "public facade",
    );
    caught("cell.rs", "use crate::Hidden;", 1, "not among the names");
    caught(
        "cell.rs",
        "use crate::collections::RcuList;",
        1,
        "nothing imports",
    );
}

#[test]
fn collections_see_exports_alone() {
    clean(
        "collections/list.rs",
        "use crate::{Rcu, RcuCell}; use super::map::Map; use crate::collections::x; \
         use crate::sys::prim::AtomicPtr; use crate::cell::{Holder, DomainRef};",
    );
    for target in ["sys", "domain", "reader"] {
        caught(
            "collections/list.rs",
            &format!("use crate::{target}::ReadGuard;"),
            1,
            "public facade",
        );
    }
    caught(
        "collections/list.rs",
        "use crate::cell::RcuCell;",
        1,
        "nothing imports",
    );
    caught(
        "collections/list.rs",
        "use crate::*;",
        1,
        "not among the names",
    );
    caught(
        "guide/patterns.rs",
        "use crate::domain::Rcu;",
        1,
        "public facade",
    );
}

#[test]
fn lib_and_the_loom_models_see_everything_and_are_seen_by_none() {
    clean(
        "lib.rs",
        "use crate::domain::Rcu; use sys::X; use guide::Y;",
    );
    clean(
        "loom_models/queue.rs",
        "use crate::domain::Rcu; use crate::{sys, RcuCell}; use loom::thread;",
    );
    caught(
        "domain/mod.rs",
        "use crate::loom_models::x;",
        1,
        "nothing imports",
    );
    caught("cell.rs", "use crate::guide::x;", 1, "nothing imports");
}

#[test]
fn a_file_without_a_floor_is_caught() {
    let found = violations("util/mod.rs", "");
    assert!(
        found.len() == 1 && found[0].contains("`util` is on no floor"),
        "{found:?}"
    );
}

#[test]
fn confined_names_are_caught_in_every_form() {
    let atomic = "`std::sync::atomic` is named in src/sys alone";
    let thread = "`std::thread` is named in src/sys alone";
    for (text, what) in [
        ("use std::sync::atomic::AtomicU64;", atomic),
        ("use std::sync::{Arc, atomic::{AtomicU64}};", atomic),
        ("use std::{fmt, sync::atomic};", atomic),
        ("use ::std::sync::atomic as a;", atomic),
        ("use core::sync::atomic::fence;", "`core::sync::atomic`"),
        ("use std::sync::*;", atomic),
        ("fn f() { std::sync::atomic::fence(o); }", atomic),
        ("fn f() -> ::std::sync::atomic::Ordering { o }", atomic),
        ("use std::sync; fn f() { sync::atomic::fence(o); }", atomic),
        (
            "use std::{sync as s}; fn f() { s::atomic::fence(o); }",
            atomic,
        ),
        ("use std::thread;", thread),
        ("use std::thread::{LocalKey, spawn};", thread),
        ("fn f() { std::thread::yield_now(); }", thread),
        ("#[cfg(test)] fn f() {} mod m { use std::thread; }", thread),
        ("#[cfg(not(test))] mod m { use std::thread; }", thread),
        ("#[cfg(any(test, unix))] mod m { use std::thread; }", thread),
        ("#[cfg(test)] mod m {} use std::thread;", thread),
        ("#[cfg(test)] fn f() { mod m { use std::thread; } }", thread),
        (
            "#[cfg(feature = \"test\")] mod m { use std::thread; }",
            thread,
        ),
        (
            "use tokio::runtime::Handle;",
            "`tokio::runtime` is named in src/dispatch alone",
        ),
        ("use tokio::{sync::oneshot, runtime};", "`tokio::runtime`"),
        ("fn f() { tokio::spawn(x); }", "`tokio::spawn`"),
        (
            "use rustix::thread::futex;",
            "`rustix` is named in src/sys alone",
        ),
        ("extern crate rustix;", "`rustix`"),
        ("use windows_sys as w;", "`windows_sys`"),
        ("fn f() { windows_sys::Win32::f(); }", "`windows_sys`"),
        ("fn f() { loom::model(g); }", "`loom`"),
    ] {
        caught("domain/driver.rs", text, 1, what);
        // lib.rs may import what it likes, but this is no import between floors.
        let lib = check(&[("lib.rs".to_owned(), text.to_owned())]);
        assert_eq!(lib.len(), 1, "{text:?} in lib.rs: {lib:?}");
    }
}

#[test]
fn confined_names_are_free_at_home_and_in_tests() {
    clean(
        "sys/atomic.rs",
        "pub(crate) use std::sync::atomic::*; use std::thread; use rustix::x; use loom::y;",
    );
    clean(
        "dispatch/handle.rs",
        "use tokio::runtime::Handle; fn f() { tokio::task::yield_now(); }",
    );
    caught(
        "sys/atomic.rs",
        "use tokio::runtime::Handle;",
        1,
        "src/dispatch alone",
    );
    caught("dispatch/handle.rs", "use std::thread;", 1, "src/sys alone");
    for text in [
        "#[cfg(test)] mod tests { use std::thread; fn f() { if a { b } std::thread::spawn(c); } }",
        "#[cfg(test)]\n#[allow(x)]\npub(crate) mod tests { mod inner { use std::thread; } }",
        "#[cfg(all(test, not(rcu_loom)))] mod tests { use std::sync::atomic::AtomicU8; }",
        "#[cfg(all(unix, any(test, all(test, x))))] mod tests { use std::thread; }",
        "#![cfg(test)] use std::thread;",
        "#[cfg(test)] mod tests { use std::thread as t; } fn f() { t::x(); }",
        "#[cfg(test)] mod tests { use std::sync; fn f() { sync::atomic::fence(o); } }",
    ] {
        clean("domain/driver.rs", text);
    }
}

#[test]
fn a_test_module_may_be_a_file_of_its_own() {
    let check = |declared: &str| {
        let files = [
            ("grace_period/mod.rs", declared),
            ("grace_period/tests.rs", "mod a;"),
            ("grace_period/tests/a.rs", "use std::thread;"),
        ];
        check(&files.map(|(name, text)| (name.to_owned(), text.to_owned()))).len()
    };
    assert_eq!(check("#[cfg(test)] mod tests;"), 0);
    assert_eq!(check("#[cfg(test)] mod tests { mod a; }"), 0);
    assert_eq!(check("mod tests;"), 1);
    assert_eq!(check("#[cfg(test)] mod other; mod tests;"), 1);
}

#[test]
fn innocent_names_pass() {
    clean(
        "reader/local.rs",
        "use std::thread::{AccessError, LocalKey}; thread_local! { static X: u8 = 0; }",
    );
    clean(
        "reader/local.rs",
        "std::thread_local! { static X: u8 = 0; } fn f(k: &std::thread::LocalKey<u8>) {}",
    );
    clean(
        "reader/local.rs",
        "use std::sync::{Arc, Mutex}; use tokio::sync::oneshot;",
    );
    clean(
        "reader/local.rs",
        "fn f(thread: T) { thread.runtime; self.task::<X>(); my::std::thread(); }",
    );
    clean(
        "reader/local.rs",
        "use crate::sys::{thread, atomic}; fn f() { thread::spawn(x); atomic::fence(o); }",
    );
    clean(
        "grace_period/mod.rs",
        "use self::engine::Engine; mod engine; fn f() { self::engine::g(); Self::h(); }",
    );
}

#[test]
fn a_long_file_is_caught() {
    assert_eq!(
        violations("grace_period/mod.rs", &"\n".repeat(MAX_LINES)),
        [""; 0]
    );
    let found = violations("grace_period/mod.rs", &"\n".repeat(MAX_LINES + 1));
    assert!(
        found.len() == 1 && found[0].contains("551 lines"),
        "{found:?}"
    );
}

#[test]
fn tokens_are_split_as_rust_does() {
    let split = |text: &str| {
        tokens(text)
            .into_iter()
            .map(|token| token.text)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(split("a::b<'c, 'd>::e"), "a :: b < 'c , 'd > :: e");
    assert_eq!(split("a('b', '\\u{1F600}', '\\\\', ' ')c"), "a ( , , , ) c");
    assert_eq!(
        split("r#fn br\"\\\" x 1.0_f32 0..2"),
        "fn x 1 . 0_f32 0 . . 2"
    );
    assert_eq!(split("b'\"' x b'\\'' y"), "x y");
    assert_eq!(split("x // y\nz /*\n*/ w"), "x z w");
    assert_eq!(split("unfinished \"a\\"), "unfinished");
    let lines: Vec<_> = tokens("a\n\"\n\n\" b\n/*\n*/c")
        .iter()
        .map(|token| token.line)
        .collect();
    assert_eq!(lines, [1, 4, 6]);
}
