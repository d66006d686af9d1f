//! Planted violations that the rules must find, and code that the rules must leave alone.

use crate::{Files, MAX_LINES, check, circles, long_lines};

const LIB: &str = "mod cell; pub(crate) fn hidden() {} pub use cell::RcuCell; pub use domain::Rcu; \
     pub mod wait { pub use crate::domain::Synchronize; }";

fn files(files: &[(&str, &str)]) -> Files {
    let owned = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
    files.iter().map(owned).collect()
}

/// Checks that `text` as `src/NAME`, beside a small `lib.rs`, has one violation that says `what`,
/// or none if `what` is empty.
#[track_caller]
fn expect(name: &str, text: &str, what: &str) {
    let found = check(&files(&[("lib.rs", LIB), (name, text)]));
    assert_eq!(found.len(), usize::from(!what.is_empty()), "{name}: {text}: {found:?}");
    assert!(found.iter().all(|found| found.contains(what)), "{name}: {text}: {found:?}");
}

/// Calls [`expect`] for each line `NAME: TEXT ## WHAT` of a table, or `NAME: TEXT` for code that is
/// allowed. `HIGH` stands for the highest floor, `LOW` for the lowest.
#[track_caller]
fn expect_table(table: &str) {
    let [low, .., high] = crate::FLOORS;
    let table = table.replace("HIGH", high).replace("LOW", low);
    for row in table.trim().lines() {
        let (name, text) = row.split_once(": ").expect("a row `NAME: TEXT`");
        let (text, what) = text.split_once(" ## ").unwrap_or((text, ""));
        expect(name, text, what);
    }
}

#[test]
fn rule_1_each_floor_imports_itself_and_lower_floors() {
    for (height, floor) in crate::FLOORS.iter().enumerate() {
        for (target_height, target) in crate::FLOORS.iter().enumerate() {
            let up = format!("`{target}` is above `{floor}`");
            let what = if target_height > height { &up } else { "" };
            expect(&format!("{floor}/x.rs"), &format!("use crate::{target}::Y;"), what);
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
        expect(&name, &format!("\n{text}\n"), &format!("{name}:2: crate::{high}"));
    }
}

#[test]
fn rule_1_a_violation_has_the_line_of_the_name_and_groups_are_searched_to_their_end() {
    let text =
        "//! a\n\nuse crate::{\n  sys::A, // b\n  HIGH::{\n    B, c::D,\n  }, HIGH as e,\n};\n";
    let text = text.replace("HIGH", crate::FLOORS[crate::FLOORS.len() - 1]);
    let found = check(&files(&[("lib.rs", LIB), ("sys/mod.rs", &text)]));
    let lines: Vec<_> = found.iter().map(|found| &found[..16]).collect();
    assert_eq!(lines, ["src/sys/mod.rs:6", "src/sys/mod.rs:6", "src/sys/mod.rs:7"]);
}

#[test]
fn rule_1_super_is_counted_from_the_module_of_the_path() {
    expect_table(
        r#"
LOW/a/b.rs: use super::super::waiters::W; use super::Engine;
LOW/mod.rs: mod a { use super::X; } mod b { use super::X; }
LOW/mod.rs: mod a {} use super::HIGH::X; ## is above
LOW/a/mod.rs: use super::super::HIGH::X; ## is above
LOW/a/b.rs: use super::super::super::HIGH::X; ## is above
"#,
    );
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
        expect(&format!("{low}/mod.rs"), &text.replace("HIGH", high).replace("LOW", low), "");
    }
}

#[test]
fn rule_1_only_the_facades_users_go_through_lib_rs() {
    expect_table(
        r#"
sys/mod.rs: use crate::RcuCell; ## lower floors alone
sys/mod.rs: use super::*; ## lower floors alone
sys/mod.rs: use crate as root; ## hides what is imported
sys/mod.rs: use crate::{self as root}; ## hides what is imported
sys/mod.rs: use super as root; ## hides what is imported
sys/mod.rs: extern crate self as root; ## hides what is imported
sys/mod.rs: use crate::loom_models::x; ## lower floors alone
sys/mod.rs: use crate::guide::x; ## lower floors alone
cell/mod.rs: use crate::{Rcu, RcuCell}; use crate::sys::wait_list::WaitList;
cell/mod.rs: use crate::reader::guard::Guard; ## see ABOVE
cell/mod.rs: use super::Rcu; use crate::sys::prim::X;
cell/mod.rs: use crate::HIGH::X; ## see ABOVE
cell/mod.rs: use crate::sys::event::Event; ## see ABOVE
cell/mod.rs: use crate::sys; ## see ABOVE
cell/mod.rs: use crate::reader::word::Word; ## see ABOVE
cell/mod.rs: use crate::hidden; ## see ABOVE
cell/mod.rs: use crate::collections::RcuList; ## see ABOVE
collections/x.rs: use crate::{Rcu, sys::prim::{Mutex, Ordering}};
collections/x.rs: use crate::cell::DomainRef; ## see ABOVE
collections/x.rs: use crate::wait::Synchronize;
collections/x.rs: use crate::cell::Retired; ## see ABOVE
collections/x.rs: use crate::HIGH::Rcu; ## see ABOVE
guide/x.rs: use crate::Rcu;
guide/x.rs: use crate::cell::RcuCell; ## see ABOVE
loom_models/x.rs: use crate::{sys, Rcu}; use loom::thread;
util/mod.rs:  ## `util` is on no floor
"#,
    );
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
        ("use super::c::C; struct B;", &["sys/a.rs sys/b.rs sys/c.rs"]),
        ("use super::d::D; struct B;", &[]),
        ("#[cfg(test)] mod tests { use crate::sys::a::A; }", &[]),
        ("struct B;", &[]),
    ] {
        let files = files(&[
            ("lib.rs", "mod sys; pub use sys::a::A;"),
            ("sys/mod.rs", "mod a; mod b; mod c; pub use a::A; use b::B; struct M;"),
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
    expect_table(
        r#"
reader/x.rs: use std::sync::atomic::AtomicU64; ## may name `std::sync::atomic`
reader/x.rs: use std::sync::{Arc, atomic::{AtomicU64}}; ## may name `std::sync::atomic`
reader/x.rs: use std::{fmt, sync::atomic}; ## may name `std::sync::atomic`
reader/x.rs: use ::std::sync::atomic as a; ## may name `std::sync::atomic`
reader/x.rs: use core::sync::atomic::fence; ## `core::sync::atomic`
reader/x.rs: use std::sync::*; ## may name `std::sync::atomic`
reader/x.rs: fn f() { std::sync::atomic::fence(o); } ## may name `std::sync::atomic`
reader/x.rs: fn f() -> ::std::sync::atomic::Ordering { o } ## may name `std::sync::atomic`
reader/x.rs: use std::sync; fn f() { sync::atomic::fence(o); } ## may name `std::sync::atomic`
reader/x.rs: use std::{sync as s}; fn f() { s::atomic::fence(o); } ## may name `std::sync::atomic`
reader/x.rs: use std::thread; ## may name `std::thread`
reader/x.rs: use std::thread::{LocalKey, spawn}; ## may name `std::thread`
reader/x.rs: fn f() { std::thread::yield_now(); } ## may name `std::thread`
reader/x.rs: #[cfg(test)] fn f() {} mod m { use std::thread; } ## may name `std::thread`
reader/x.rs: #[cfg(not(test))] mod m { use std::thread; } ## may name `std::thread`
reader/x.rs: #[cfg(any(test, unix))] mod m { use std::thread; } ## may name `std::thread`
reader/x.rs: #[cfg(test)] mod m {} use std::thread; ## may name `std::thread`
reader/x.rs: #[cfg(feature = "test")] mod m { use std::thread; } ## may name `std::thread`
reader/x.rs: use tokio::runtime::Handle; ## src/dispatch alone may name `tokio::runtime`
reader/x.rs: use tokio::{sync::oneshot, runtime}; ## `tokio::runtime`
reader/x.rs: fn f() { tokio::spawn(x); } ## `tokio::spawn`
reader/x.rs: use rustix::thread::futex; ## src/sys alone may name `rustix`
reader/x.rs: extern crate rustix; ## `rustix`
reader/x.rs: use windows_sys as w; ## `windows_sys`
reader/x.rs: fn f() { windows_sys::Win32::f(); } ## `windows_sys`
reader/x.rs: fn f() { loom::model(g); } ## `loom`
reader/x.rs: use std::thread::{AccessError, LocalKey}; thread_local! { static X: u8 = 0; }
reader/x.rs: fn f(k: &std::thread::LocalKey<u8>) {}
reader/x.rs: use std::sync::{Arc, Mutex}; use tokio::sync::oneshot;
reader/x.rs: use crate::sys::{thread, atomic}; fn f() { thread::spawn(x); atomic::fence(o); }
reader/x.rs: #[cfg(test)] mod tests { use std::thread; fn f() { if a { b } std::thread::x(); } }
reader/x.rs: #[cfg(test)] #[allow(x)] mod tests { mod inner { use std::thread; } }
reader/x.rs: #[cfg(all(test, not(rcu_loom)))] mod tests { use std::sync::atomic::AtomicU8; }
reader/x.rs: #![cfg(test)] use std::thread;
reader/x.rs: #[cfg(test)] mod tests { use std::thread as t; } fn f() { t::x(); }
sys/x.rs: use std::thread; use rustix::x; use std::sync::atomic::*;
sys/x.rs: use tokio::runtime::Handle; ## src/dispatch alone
dispatch/x.rs: use tokio::runtime::Handle; fn f() { tokio::task::y(); }
dispatch/x.rs: use std::thread; ## src/sys alone
"#,
    );
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
    expect_table(
        r#"
sys/x.rs: #[cfg(unix)] mod a; #[cfg(not(unix))] mod a { fn f() {} }
sys/x.rs: #[cfg(unix)] const A: u8 = 1; #[cfg(unix)] pub(crate) fn f() { g() }
sys/x.rs: impl A { #[cfg(unix)] const fn f() {} } #[cfg_attr(unix, path = "x")] mod b;
sys/x.rs: #[cfg(test)] mod tests { fn f() { let a = cfg!(miri); } }
sys/x.rs: fn f() { #[cfg(unix)] g(); } ## a cfg within a body
sys/x.rs: impl A { fn f() { #[cfg(unix)] let a = 1; } } ## a cfg within a body
sys/x.rs: fn f(a: impl Fn()) { #[cfg(unix)] g(); } ## a cfg within a body
sys/x.rs: struct A { #[cfg(unix)] a: u8 } ## a cfg within a body
sys/x.rs: enum A { #[cfg(unix)] B } ## a cfg within a body
sys/x.rs: fn f() { match a { #[cfg(unix)] A => b } } ## a cfg within a body
sys/x.rs: const A: bool = cfg!(unix); ## a cfg within a body
"#,
    );
}

#[test]
fn rule_5_long_files_and_lines_are_found() {
    expect("sys/x.rs", &"\n".repeat(MAX_LINES), "");
    expect("sys/x.rs", &"\n".repeat(MAX_LINES + 1), "551 lines");
    let long = "x".repeat(101);
    let address = format!("// https://{long}");
    let row = format!("//! | {long} |");
    for (text, found) in [
        (&long[1..], &[][..]),
        (&long, &["src/a/x.rs:1: 101 columns"]),
        (&address, &[]),
        (&row, &[]),
    ] {
        assert_eq!(long_lines(&files(&[("src/a/x.rs", text)])), found);
    }
}
