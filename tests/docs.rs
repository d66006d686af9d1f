//! Each file that the documentation names exists. The documentation is the sources' comments, the
//! README, CONTRIBUTING and the examples' own pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders whose files the documentation names by their path from the root.
const NAMED: [&str; 7] = ["src/", "tests/", "examples/", "benches/", "ci/", ".ci/", "fuzz/"];

/// Folders that builds or readers make.
const MADE: [&str; 1] = ["target"];
const MADE_BY_RUNS: [&str; 1] = ["fuzz/artifacts"];

#[test]
fn every_file_that_the_documentation_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for folder in ["", "src", "tests", "examples", "benches", "ci"] {
        gather(&root.join(folder), !folder.is_empty(), &mut pages);
    }
    let mut named = 0;
    let mut missing = BTreeSet::new();
    for page in &pages {
        let text = fs::read_to_string(page).expect("a page is text");
        let rust = page.extension().is_some_and(|e| e == "rs");
        for (at, line) in text.lines().enumerate() {
            let words = match (rust, line.trim_start().strip_prefix("//")) {
                (true, Some(comment)) => comment,
                (true, None) => continue,
                (false, _) => line,
            };
            for path in paths(words) {
                named += 1;
                if !path_of(&path).iter().all(|path| is_there(root, page, path)) {
                    missing.insert(format!("{}:{}: {path}", page.display(), at + 1));
                }
            }
        }
    }
    assert!(missing.is_empty(), "the documentation names files that do not exist: {missing:#?}");
    // A scan that finds few names is broken.
    assert!(named > 100, "only {named} names found");
}

#[test]
fn names_are_found_where_they_stand() {
    let found: Vec<String> = paths(
        "see `tests/read.rs`, (src/reader/record.rs) and bash ci/loom.sh NAME; not a/tests/x.rs",
    )
    .collect();
    assert_eq!(found, ["tests/read.rs", "src/reader/record.rs", "ci/loom.sh"]);
    assert_eq!(
        path_of("src/loom_models/{list,vec}.rs"),
        ["src/loom_models/list.rs", "src/loom_models/vec.rs"]
    );
    assert_eq!(paths("`tests/collections_*.rs`, `ci/STEP.sh`, `src/`").count(), 0);
}

/// Returns whether the path exists, from the root or from the page's package.
fn is_there(root: &Path, page: &Path, path: &str) -> bool {
    let package = page.ancestors().find(|folder| folder.join("Cargo.toml").exists());
    let places = [Some(root), package];
    MADE_BY_RUNS.contains(&path)
        || places.into_iter().flatten().any(|place| place.join(path).exists())
}

/// Returns the names of files and folders in a line, without patterns and placeholders.
fn paths(line: &str) -> impl Iterator<Item = String> + '_ {
    let ends = |c: char| c.is_whitespace() || "`()[]<>\"';|".contains(c);
    line.split(ends).filter_map(|word| {
        let word = word.trim_end_matches([',', '.', ':', '/']);
        let folder = NAMED.iter().find(|folder| word.starts_with(**folder))?;
        let rest = &word[folder.len()..];
        let placeholder = rest.contains(['*', '$', '\\', '='])
            || rest.contains("..")
            || rest.split(['/', '.', ':']).any(|part| {
                part.len() > 1
                    && part.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                    && part != "README"
                    && part != "LICENSE"
            });
        (!placeholder && !rest.is_empty()).then(|| word.to_owned())
    })
}

/// Returns the paths that a name stands for: `a/{b,c}.rs` stands for two.
fn path_of(name: &str) -> Vec<String> {
    let Some((before, (inner, after))) =
        name.split_once('{').and_then(|(b, r)| Some((b, r.split_once('}')?)))
    else {
        return vec![name.to_owned()];
    };
    inner.split(',').map(|part| format!("{before}{part}{after}")).collect()
}

fn gather(folder: &Path, deep: bool, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.is_dir() {
            if deep && !MADE.contains(&&*name) {
                gather(&path, deep, pages);
            }
        } else if name.ends_with(".rs") || name.ends_with(".md") || name.ends_with(".sh") {
            pages.push(path);
        }
    }
}
