//! Planted violations that the rules must find, and code that the rules must leave alone.

use crate::{Files, MAX_LINES, check, circles, long_lines};

const LIB: &str =
    "mod cell; pub(crate) fn hidden() {} pub use cell::RcuCell; pub use service::Rcu;";

fn files(files: &[(&str, &str)]) -> Files {
    let owned = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
    files.iter().map(owned).collect()
}

/// Checks that `text` as `src/NAME`, beside a small `lib.rs`, has one violation that says `what`,
/// or none if `what` is empty.
#[track_caller]
fn expect(name: &str, text: &str, what: &str) {
    let found = check(&files(&[("lib.rs", LIB), (name, text)]));
    assert_eq!(
        found.len(),
        usize::from(!what.is_empty()),
        "{name}: {text}: {found:?}"
    );
    assert!(
        found.iter().all(|found| found.contains(what)),
        "{name}: {text}: {found:?}"
    );
}

#[test]
fn rule_1_each_floor_imports_itself_and_lower_floors() {
    for (height, floor) in crate::FLOORS.iter().enumerate() {
        for (target_height, target) in crate::FLOORS.iter().enumerate() {
            let up = format!("`{target}` is above `{floor}`");
            let what = if target_height > height { &up } else { "" };
            expect(
                &format!("{floor}/x.rs"),
                &format!("use crate::{target}::Y;"),
                what,
            );
        }
    }
}

#[test]
fn rule_1_an_upward_import_is_found_in_every_form() {
    let [low, .., high] = crate::FLOORS;
    for text in [
        "use crate::HIGH::Rcu;",
        "pub(in crate::LOW) use crate::HIGH::Rcu;",
        "use crate::HIGH;",
        "use crate::HIGH::*;",
        "use crate::HIGH as above;",
        "use crate::{LOW::{a, b::{self, C}}, HIGH::Rcu};",
        "use {crate::HIGH::Rcu, std::fmt};",
        "use super::super::HIGH::Rcu;",
        "use super::{Own, super::HIGH::Rcu};",
        "use self::super::super::HIGH::Rcu;",
        "use crate::r#HIGH::Rcu;",
        "fn f(rcu: &crate::HIGH::Rcu) {}",
        "fn f() { super::super::HIGH::start(); }",
        "fn f() { <crate::HIGH::Rcu as Clone>::clone(&x); }",
        "fn f() { let _ = Vec::<crate::HIGH::Rcu>::new(); }",
        "mod inner { fn f() { super::super::super::HIGH::start(); } }",
        "mod a {} use super::super::HIGH::X;",
        "macro_rules! m { () => { $crate::HIGH::start() } }",
        "macro_rules! m { () => { use $crate::HIGH::Rcu; } }",
        "#[derive(crate::HIGH::Made)] struct S;",
        "#[cfg(test)] mod tests { use crate::HIGH::Rcu; }",
        "fn f<'a>(x: &'a u8) -> impl Sized + use<'a> { crate::HIGH::g(x) }",
        "let c = '\"'; use crate::HIGH::Rcu; let d = '\"';",
        "let c = '\\''; use crate::HIGH::Rcu; let d = b'\\'';",
        "let s = \"\\\"\"; use crate::HIGH::Rcu; let s = r#\"\"\"#;",
        "let s = \"\\\\\"; use crate::HIGH::Rcu; let s = \"\\\\\";",
        "/* /* */ */ use crate::HIGH::Rcu;",
    ] {
        let text = text.replace("HIGH", high).replace("LOW", low);
        let name = format!("{low}/deep.rs");
        expect(
            &name,
            &format!("\n{text}\n"),
            &format!("{name}:2: crate::{high}"),
        );
    }
}

#[test]
fn rule_1_no_other_text_is_taken_for_an_import() {
    let [low, .., high] = crate::FLOORS;
    for text in [
        "//! [`crate::HIGH::Rcu`], std::thread::spawn\n/// use crate::HIGH::Rcu;",
        "#[doc = \"crate::HIGH::X\"] struct S;",
        "/* use crate::HIGH::Rcu; /* std::sync::atomic::fence */ tokio::runtime::Handle */",
        "const S: &str = \"use crate::HIGH::Rcu; \\\" std::thread::spawn\";",
        "const R: &str = r##\"use crate::HIGH::Rcu; \"# std::thread::spawn\"##;",
        "const B: &[u8] = b\"rustix::x \\\" crate::HIGH::x\"; const C: &CStr = cr#\"rustix::x \"#;",
        "fn f<'a>(c: &'a str) -> char { '\"' } // \"\n",
        "mod a { mod b { use super::super::X; fn f() { super::super::y(); } } use super::X; }",
        "use self::engine::Engine; mod engine; fn f() { self::engine::g(); Self::h(); }",
        "pub(crate) struct X; pub(super) fn f() {} pub(in crate::LOW) fn g() {}",
        "fn f(thread: T) { thread.runtime; self.task::<X>(); my::std::thread(); }",
    ] {
        expect(
            &format!("{low}/mod.rs"),
            &text.replace("HIGH", high).replace("LOW", low),
            "",
        );
    }
}

#[test]
fn rule_1_who_may_go_through_lib_rs() {
    let service = crate::FLOORS[crate::FLOORS.len() - 1];
    for (name, text, what) in [
        ("sys/mod.rs", "use crate::RcuCell;", "lower floors alone"),
        ("sys/mod.rs", "use super::*;", "lower floors alone"),
        ("sys/mod.rs", "use crate as root;", "hides what is imported"),
        (
            "sys/mod.rs",
            "use crate::{self as root};",
            "hides what is imported",
        ),
        ("sys/mod.rs", "use super as root;", "hides what is imported"),
        (
            "sys/mod.rs",
            "extern crate self as root;",
            "hides what is imported",
        ),
        (
            "sys/mod.rs",
            "use crate::loom_models::x;",
            "lower floors alone",
        ),
        ("sys/mod.rs", "use crate::guide::x;", "lower floors alone"),
        (
            "cell/mod.rs",
            "use crate::{Rcu, RcuCell}; use crate::reader::guard::Guard;",
            "",
        ),
        (
            "cell/mod.rs",
            "use crate::SERVICE::X; use super::Rcu; use crate::sys::prim::X;",
            "",
        ),
        ("cell/mod.rs", "use crate::sys::event::Event;", "see ABOVE"),
        ("cell/mod.rs", "use crate::sys;", "see ABOVE"),
        ("cell/mod.rs", "use crate::reader::word::Word;", "see ABOVE"),
        ("cell/mod.rs", "use crate::hidden;", "see ABOVE"),
        (
            "cell/mod.rs",
            "use crate::collections::RcuList;",
            "see ABOVE",
        ),
        (
            "collections/x.rs",
            "use crate::{Rcu, cell::{Home, Holder}, sys::prim::Mutex};",
            "",
        ),
        ("collections/x.rs", "use crate::cell::Retired;", "see ABOVE"),
        ("collections/x.rs", "use crate::SERVICE::Rcu;", "see ABOVE"),
        ("guide/x.rs", "use crate::Rcu;", ""),
        ("guide/x.rs", "use crate::cell::RcuCell;", "see ABOVE"),
        (
            "loom_models/x.rs",
            "use crate::{sys, Rcu}; use loom::thread;",
            "",
        ),
        ("util/mod.rs", "", "`util` is on no floor"),
    ] {
        expect(name, &text.replace("SERVICE", service), what);
    }
}

const A: &str = "use super::b::B; struct A;";

#[test]
fn rule_2_circles_are_found_and_named() {
    let circle = ["sys/a.rs sys/b.rs"];
    for (b, found) in [
        ("use super::a::A; struct B;", &circle[..]),
        ("fn f(a: &crate::sys::a::A) {}", &circle),
        ("use crate::sys::{a, d}; fn f() {}", &circle),
        // `A` is re-exported by the parent, `Again` by another file.
        ("use super::A; struct B;", &circle),
        ("use super::c::Again; struct B;", &circle),
        (
            "use super::c::C; struct B;",
            &["sys/a.rs sys/b.rs sys/c.rs"],
        ),
        ("use super::d::D; struct B;", &[]),
        ("#[cfg(test)] mod tests { use crate::sys::a::A; }", &[]),
        ("struct B;", &[]),
    ] {
        let files = files(&[
            ("lib.rs", "mod sys; pub use sys::a::A;"),
            (
                "sys/mod.rs",
                "mod a; mod b; mod c; pub use a::A; use b::B; struct M;",
            ),
            ("sys/a.rs", A),
            ("sys/b.rs", b),
            ("sys/c.rs", "pub(crate) use super::a::A as Again; struct C;"),
            ("sys/d.rs", "use super::M; struct D;"),
        ]);
        assert_eq!(circles(&files).0, found, "{b}");
    }
}

#[test]
fn rule_3_confined_names_are_found_in_every_form() {
    let (atomic, thread) = ("may name `std::sync::atomic`", "may name `std::thread`");
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
        (
            "#[cfg(feature = \"test\")] mod m { use std::thread; }",
            thread,
        ),
        (
            "use tokio::runtime::Handle;",
            "src/dispatch alone may name `tokio::runtime`",
        ),
        ("use tokio::{sync::oneshot, runtime};", "`tokio::runtime`"),
        ("fn f() { tokio::spawn(x); }", "`tokio::spawn`"),
        (
            "use rustix::thread::futex;",
            "src/sys alone may name `rustix`",
        ),
        ("extern crate rustix;", "`rustix`"),
        ("use windows_sys as w;", "`windows_sys`"),
        ("fn f() { windows_sys::Win32::f(); }", "`windows_sys`"),
        ("fn f() { loom::model(g); }", "`loom`"),
        (
            "use std::thread::{AccessError, LocalKey}; thread_local! { static X: u8 = 0; }",
            "",
        ),
        ("fn f(k: &std::thread::LocalKey<u8>) {}", ""),
        ("use std::sync::{Arc, Mutex}; use tokio::sync::oneshot;", ""),
        (
            "use crate::sys::{thread, atomic}; fn f() { thread::spawn(x); atomic::fence(o); }",
            "",
        ),
        (
            "#[cfg(test)] mod tests { use std::thread; fn f() { if a { b } std::thread::x(); } }",
            "",
        ),
        (
            "#[cfg(test)]\n#[allow(x)]\nmod tests { mod inner { use std::thread; } }",
            "",
        ),
        (
            "#[cfg(all(test, not(rcu_loom)))] mod tests { use std::sync::atomic::AtomicU8; }",
            "",
        ),
        ("#![cfg(test)] use std::thread;", ""),
        (
            "#[cfg(test)] mod tests { use std::thread as t; } fn f() { t::x(); }",
            "",
        ),
    ] {
        expect("reader/x.rs", text, what);
    }
    expect(
        "sys/x.rs",
        "use std::thread; use rustix::x; use std::sync::atomic::*;",
        "",
    );
    expect(
        "sys/x.rs",
        "use tokio::runtime::Handle;",
        "src/dispatch alone",
    );
    expect(
        "dispatch/x.rs",
        "use tokio::runtime::Handle; fn f() { tokio::task::y(); }",
        "",
    );
    expect("dispatch/x.rs", "use std::thread;", "src/sys alone");
}

#[test]
fn rule_3_a_test_module_may_be_a_file_of_its_own() {
    for (declared, violations) in [
        ("#[cfg(test)] mod tests;", 0),
        ("#[cfg(test)] mod tests { mod a; }", 0),
        ("mod tests;", 1),
        ("#[cfg(test)] mod other; mod tests;", 1),
    ] {
        let files = files(&[
            ("reader/mod.rs", declared),
            ("reader/tests.rs", "mod a;"),
            ("reader/tests/a.rs", "use std::thread;"),
        ]);
        assert_eq!(check(&files).len(), violations, "{declared}");
    }
}

#[test]
fn rule_4_a_cfg_stands_on_an_item() {
    let body = "a cfg within a body";
    for (text, what) in [
        (
            "#[cfg(unix)] mod a; #[cfg(not(unix))] mod a { fn f() {} }",
            "",
        ),
        (
            "#[cfg(unix)] const A: u8 = 1; #[cfg(unix)] pub(crate) fn f() { g() }",
            "",
        ),
        (
            "impl A { #[cfg(unix)] const fn f() {} } #[cfg_attr(unix, path = \"x\")] mod b;",
            "",
        ),
        (
            "#[cfg(test)] mod tests { fn f() { let a = cfg!(miri); } }",
            "",
        ),
        ("fn f() { #[cfg(unix)] g(); }", body),
        ("impl A { fn f() { #[cfg(unix)] let a = 1; } }", body),
        ("fn f(a: impl Fn()) { #[cfg(unix)] g(); }", body),
        ("struct A { #[cfg(unix)] a: u8 }", body),
        ("enum A { #[cfg(unix)] B }", body),
        ("fn f() { match a { #[cfg(unix)] A => b } }", body),
        ("const A: bool = cfg!(unix);", body),
    ] {
        expect("sys/x.rs", text, what);
    }
}

#[test]
fn rule_5_long_files_and_lines_are_found() {
    expect("sys/x.rs", &"\n".repeat(MAX_LINES), "");
    expect("sys/x.rs", &"\n".repeat(MAX_LINES + 1), "551 lines");
    let long = "x".repeat(101);
    let address = format!("// https://{long}");
    let row = format!("//! | {long} |");
    for (text, known, found) in [
        (&long[1..], &[][..], &[][..]),
        (&long, &[], &["src/a/x.rs:1: 101 columns"]),
        (&long, &["src/a"], &[]),
        (&long, &["src/a/x.rs"], &[]),
        (
            &long,
            &["src/"],
            &[
                "src/a/x.rs:1: 101 columns",
                "src/: has no long line; take it out",
            ],
        ),
        ("", &["src/a"], &["src/a: has no long line; take it out"]),
        (&address, &[], &[]),
        (&row, &[], &[]),
    ] {
        assert_eq!(
            long_lines(&files(&[("src/a/x.rs", text)]), known),
            found,
            "{known:?}"
        );
    }
}
