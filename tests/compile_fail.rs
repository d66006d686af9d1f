//! Code that must not compile fails for the right reason. Its twin, which differs in one place,
//! compiles.
//!
//! Each file of `tests/compile_fail/` is compiled twice. With `--cfg wrong`, rustc must report an
//! error with the code or message of the comment `//~ ...`, on the line of that comment, and no
//! other error. Without the `cfg`, the file must compile. So the test finds a snippet that fails
//! for an unrelated reason, such as a renamed function or a missing import.
//!
//! trybuild compares the compiler's whole output, which changes from version to version. The code
//! and the line of an error do not change. A few errors have no code. For them the test compares
//! words that have been the same for years. The test calls the compiler directly, with the library
//! that this test was built with, so a snippet takes a fraction of a second and no network.

use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The folder of the libraries that this test is linked with: `target/PROFILE/deps`, or
/// `target/TRIPLE/PROFILE/deps` if cargo got `--target`. In that case procedural macros are in the
/// former.
struct Built {
    deps: PathBuf,
    /// The folder of the procedural macros, and the triple.
    host: Option<(PathBuf, OsString)>,
}

impl Built {
    fn new() -> Self {
        let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
        let mut above = deps.ancestors().skip(1);
        let mut next = || above.next().unwrap_or(Path::new(""));
        let (profile, triple, target) = (next(), next(), next());
        let host = target.join(profile.file_name().unwrap_or_default()).join("deps");
        let triple = triple.file_name().unwrap_or_default().to_owned();
        // A target folder may lie within another target folder.
        let host = (host.is_dir() && is_target(&triple)).then_some((host, triple));
        Self { deps, host }
    }

    /// Returns the library's file. Cargo does not tell its name, but has just built it, so it is
    /// the newest such file beside the test.
    fn library(&self) -> PathBuf {
        let newest = fs::read_dir(&self.deps)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("libasync_rcu-") && name.ends_with(".rlib")
            })
            .max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).unwrap());
        newest.unwrap_or_else(|| panic!("no libasync_rcu-*.rlib in {}", self.deps.display()))
    }
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Returns whether the compiler knows a target of this name.
fn is_target(triple: &OsStr) -> bool {
    let list = rustc().args(["--print", "target-list"]).output();
    let list = list.expect("rustc runs").stdout;
    String::from_utf8_lossy(&list).lines().any(|line| OsStr::new(line) == triple)
}

fn dependencies(dir: &Path) -> OsString {
    let mut argument = OsString::from("dependency=");
    argument.push(dir);
    argument
}

/// An error of the compiler: its code, its message, and the line of its primary location.
#[derive(Debug)]
struct Reported {
    code: Option<String>,
    message: String,
    line: u64,
}

/// Compiles a file, as it is or as its wrong twin, and returns the errors.
fn compile(file: &Path, wrong: bool) -> Vec<Reported> {
    let built = Built::new();
    let mut library = OsString::from("async_rcu=");
    library.push(built.library());
    let mut rustc = rustc();
    rustc
        .args(["--edition", "2024", "--crate-type", "lib"])
        .args(["--crate-name", "snippet", "--emit", "metadata", "-o", "-"])
        // The compiler writes types with long names to files in its working folder.
        .current_dir(&built.deps)
        .args(["--error-format", "json", "--cap-lints", "allow", "-L"])
        .arg(dependencies(&built.deps))
        .arg("--extern")
        .arg(library);
    if let Some((host, triple)) = built.host {
        rustc.arg("--target").arg(triple).arg("-L");
        rustc.arg(dependencies(&host));
    }
    // With these options, a library can be linked only with code that has the same options.
    if let Ok(flags) = env::var("RUSTFLAGS") {
        rustc.args(flags.split_ascii_whitespace());
    }
    if wrong {
        rustc.args(["--cfg", "wrong"]);
    }
    let output = rustc.arg(file).output().expect("rustc runs");
    let errors: Vec<_> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["level"] == "error" && message["spans"] != Value::Array(vec![]))
        .map(|message| Reported {
            code: message["code"]["code"].as_str().map(str::to_owned),
            message: message["message"].as_str().unwrap_or_default().to_owned(),
            line: message["spans"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|span| span["is_primary"] == true)
                .and_then(|span| span["line_start"].as_u64())
                .unwrap_or(0),
        })
        .collect();
    assert_eq!(
        output.status.success(),
        errors.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    errors
}

/// Checks one file, as the header of this module says.
#[track_caller]
fn check(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/compile_fail")
        .join(name)
        .with_extension("rs");
    let text = fs::read_to_string(&file).unwrap();
    let expected: Vec<(u64, &str)> = (1..)
        .zip(text.lines())
        .filter_map(|(number, line)| Some((number, line.split_once("//~ ")?.1.trim())))
        .collect();
    assert!(!expected.is_empty(), "{name} has no `//~` comment for the expected error");

    let errors = compile(&file, false);
    assert!(errors.is_empty(), "{name} does not compile without `--cfg wrong`: {errors:#?}");

    let errors = compile(&file, true);
    let fits = |error: &Reported, &(line, what): &(u64, &str)| {
        let same = match &error.code {
            Some(code) if what.starts_with('E') => code == what,
            _ => error.message.contains(what),
        };
        same && error.line == line
    };
    for error in &errors {
        let known = expected.iter().any(|place| fits(error, place));
        assert!(known, "{name}: {error:#?} instead of {expected:?}");
    }
    for place in &expected {
        let found = errors.iter().any(|error| fits(error, place));
        assert!(found, "{name}: no {place:?} among {errors:#?}");
    }
}

macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_file_is_checked() {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
            let mut there: Vec<String> = fs::read_dir(dir)
                .unwrap()
                .map(|entry| {
                    let path = entry.unwrap().path();
                    path.file_stem().unwrap().to_string_lossy().into_owned()
                })
                .collect();
            there.sort();
            let mut checked = vec![$(stringify!($name)),*];
            checked.sort();
            assert_eq!(there, checked);
        }
    };
}

checks![
    a_callback_borrows_nothing,
    a_callback_is_send,
    a_cell_holds_nothing_borrowed,
    a_cell_is_invariant,
    a_cell_needs_sync,
    a_collection_holds_nothing_borrowed,
    a_collection_is_invariant,
    a_collection_needs_sync,
    a_future_with_a_read_guard_is_not_send,
    a_guard_does_not_outlive_its_handle,
    a_list_writer_is_not_sent,
    a_loaded_value_is_not_written,
    a_looked_at_element_does_not_survive_an_edit,
    a_map_needs_sync,
    a_map_s_iterator_does_not_outlive_its_guard,
    a_map_s_value_does_not_outlive_its_guard,
    a_mapped_reference_stays_in_its_value,
    a_read_guard_is_not_sent,
    a_read_guard_is_not_shared,
    a_reference_does_not_leave_with,
    a_reference_does_not_outlive_its_guard,
    a_reference_does_not_survive_a_refresh,
    a_reference_does_not_survive_a_reload,
    a_reference_does_not_survive_an_owned_refresh,
    a_reference_in_a_section_is_not_sent,
    a_retired_value_is_not_moved_out,
    a_structure_retires_in_unsafe_code_only,
    a_structure_retires_nothing_borrowed,
    a_structure_s_node_is_sent,
    a_structure_s_reference_does_not_outlive_its_guard,
    a_structure_s_value_is_shared,
    a_view_does_not_outlive_its_guard,
    a_walk_does_not_survive_a_refresh,
    an_element_does_not_outlive_its_guard,
    an_owned_reference_needs_sync,
    under_the_lock_nothing_is_kept,
];
