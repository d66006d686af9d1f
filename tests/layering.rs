//! The house rules of CONTRIBUTING that a scan of the source files can check.
//!
//! 1. Imports between floors run downwards only. [`FLOORS`] lists the floors, [`ABOVE`] what the
//!    users of the public facade may import. An import is a path through `crate::`, `$crate::` or
//!    `super::` that leaves its floor, in a `use` or in code. `lib.rs` and `loom_models` may import
//!    anything. No floor imports a name that `lib.rs` re-exports, since that hides the direction.
//! 2. No two files import each other, directly or in a longer circle, except a parent module and
//!    its own children. An import of a re-exported name counts as one of the file that defines it.
//! 3. [`CONFINED`] names the crates and modules that one floor alone may name.
//! 4. A `cfg` stands on an item (a module, a constant, a function, an `impl`), never within a body,
//!    and there is no `cfg!`. So a function exists as a whole or not at all.
//! 5. No file has more than [`MAX_LINES`] lines; no line of code has more than [`MAX_COLUMNS`].
//!
//! Modules under `#[cfg(test)]` are free from rules 2, 3 and 4. Comments and literals do not count.
//! The scan is not a compiler. It does not see a path that a macro puts together, nor a name that a
//! glob imports. It takes the module's name from the file's name, also under `#[path]`.
//! The test needs only std, so `ci/check.sh layering` compiles it without cargo.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

#[path = "layering/planted.rs"]
mod planted;
#[path = "layering/scan.rs"]
mod scan;

/// The floors, lowest first.
const FLOORS: [&str; 6] = ["sys", "callback", "reader", "grace_period", "dispatch", "domain"];
/// The users of the public facade. Each may import what `lib.rs` exports, and these modules.
const ABOVE: [(&str, &[&str]); 3] = [
    // `sys::prim` has the atomics and locks that loom can replace; `sys::wait_list` wakes waiters
    // outside the lock; `sys::unwind` contains the panics of drops; `sys::pages` and
    // `sys::prefetch` are hints for the map.
    ("cell", &["sys::budget", "sys::prim", "sys::wait_list"]),
    ("collections", &["sys::pages", "sys::prefetch", "sys::prim", "sys::unwind"]),
    ("guide", &[]),
];
const LOOM_MODELS: &str = "loom_models";

/// The crates and modules that one floor alone may name.
const CONFINED: [(&str, &str); 10] = [
    ("std::sync::atomic", "sys"),
    ("core::sync::atomic", "sys"),
    ("std::thread", "sys"),
    ("rustix", "sys"),
    ("libc", "sys"),
    ("windows_sys", "sys"),
    ("loom", "sys"),
    ("tokio::runtime", "dispatch"),
    ("tokio::task", "dispatch"),
    ("tokio::spawn", "dispatch"),
];
/// The paths that any floor may name, since `thread_local!` needs them.
const THREAD_LOCAL: [&str; 2] = ["std::thread::LocalKey", "std::thread::AccessError"];

const MAX_LINES: usize = 550;
const MAX_COLUMNS: usize = 100;

type Files = Vec<(String, String)>;

#[test]
fn the_sources_keep_the_house_rules() {
    let files = read("src", &["rs"]);
    for floor in FLOORS {
        let found = files.iter().any(|(name, _)| floor_of(name) == floor);
        assert!(found, "no file of the floor `{floor}` in src/: has the folder been renamed?");
    }
    let violations = check(&files);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn the_sources_have_no_circles_of_files() {
    let files = read("src", &["rs"]);
    let (found, why) = circles(&files);
    assert!(found.is_empty(), "these circles of files exist:\n{why}\n{found:#?}");
}

#[test]
fn lines_have_at_most_100_columns() {
    let folders = ["src", "tests", "examples", "benches", "fuzz", "ci"];
    let files = folders.iter().flat_map(|folder| {
        let files = read(folder, &["rs", "sh", "pl", "mjs", "c"]);
        files.into_iter().map(move |(name, text)| (format!("{folder}/{name}"), text))
    });
    let found = long_lines(&files.collect());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Returns the name below `folder` and the text of each file with one of these extensions.
fn read(folder: &str, extensions: &[&str]) -> Files {
    fn walk(root: &Path, below: &str, extensions: &[&str], files: &mut Files) {
        let entries = std::fs::read_dir(root.join(below)).expect("the folder is there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().expect("a name in UTF-8"))
            .collect();
        names.sort();
        for name in names {
            let path = format!("{below}{name}");
            if root.join(&path).is_dir() {
                if name != "target" {
                    walk(root, &format!("{path}/"), extensions, files);
                }
            } else if extensions.iter().any(|extension| name.ends_with(&format!(".{extension}"))) {
                let text = std::fs::read_to_string(root.join(&path)).expect("a text");
                files.push((path, text));
            }
        }
    }
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    walk(&root, "", extensions, &mut files);
    files
}

/// Returns the module of a file: `[reader, record]` of `reader/record.rs`, `[reader]` of
/// `reader/mod.rs`.
fn module_of(name: &str) -> Vec<String> {
    let name = name.trim_end_matches(".rs").trim_end_matches("/mod");
    let parts = name.split('/').filter(|part| name != "lib" && !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn floor_of(name: &str) -> String {
    module_of(name).into_iter().next().unwrap_or_default()
}

/// Returns whether `path` is `prefix` or stands below it.
fn below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The scanned files of `src/`.
struct Sources<'a> {
    files: Vec<(&'a str, &'a str, Vec<String>, scan::Scan)>,
    /// The file of each module.
    modules: HashMap<Vec<String>, &'a str>,
    /// The path that each imported name of a module stands for.
    imports: HashMap<Vec<String>, Vec<String>>,
}

impl<'a> Sources<'a> {
    fn new(files: &'a Files) -> Self {
        let mut sources = Self { files: vec![], modules: HashMap::new(), imports: HashMap::new() };
        for (name, text) in files {
            let module = module_of(name);
            let scan = scan::scan(&module, text);
            for named in scan.names.iter().filter(|named| !named.test) {
                if let Some((name, _)) = &named.import {
                    let as_name = [module.clone(), vec![name.clone()]].concat();
                    sources.imports.insert(as_name, named.path.clone());
                }
            }
            sources.modules.insert(module.clone(), name);
            sources.files.push((name, text, module, scan));
        }
        sources
    }

    fn is_test(&self, module: &[String]) -> bool {
        let mut tests = self.files.iter().flat_map(|(.., scan)| &scan.test_modules);
        tests.any(|test| module.starts_with(test))
    }

    /// Returns `path` as a path of another crate, with the file's imports resolved.
    fn foreign(&self, module: &[String], path: &[String]) -> String {
        let alias = [module, &path[..1]].concat();
        match self.imports.get(&alias).filter(|import| import[0] != path[0]) {
            Some(import) => [import.as_slice(), &path[1..]].concat().join("::"),
            None => path.join("::"),
        }
    }

    /// Returns the file that defines the item that `path` names in `module`.
    fn file_of(&self, module: &[String], path: &[String], depth: usize) -> Option<&'a str> {
        let inside = match path[0].as_str() {
            "crate" => path[1..].to_vec(),
            _ => [module, path].concat(),
        };
        let at = (0..=inside.len()).rev().find(|at| self.modules.contains_key(&inside[..*at]))?;
        let import = inside.get(..at + 1).and_then(|name| self.imports.get(name));
        match import {
            Some(import) if depth > 0 => {
                let path = [import.as_slice(), &inside[at + 1..]].concat();
                self.file_of(&inside[..at], &path, depth - 1)
            }
            _ if at == 0 || path[0] != "crate" && at <= module.len() => None,
            _ => Some(self.modules[&inside[..at]]),
        }
    }
}

/// Returns each violation of rules 1, 3, 4 and 5 as `src/FILE:LINE: why`.
fn check(files: &Files) -> Vec<String> {
    let sources = Sources::new(files);
    let root = sources.files.iter().filter(|(name, ..)| *name == "lib.rs");
    let exports: BTreeSet<&str> = root
        .flat_map(|(.., scan)| &scan.names)
        .filter_map(|named| named.import.as_ref())
        .filter_map(|(name, public)| public.then_some(name.as_str()))
        .collect();
    let mut violations = Vec::new();
    for (name, text, module, scan) in &sources.files {
        let floor = floor_of(name);
        let mut violation = |line: usize, why: String| {
            violations.push(format!("src/{name}:{line}: {why}"));
        };
        let lines = text.lines().count();
        if lines > MAX_LINES {
            violation(lines, format!("{lines} lines, the limit is {MAX_LINES}"));
        }
        if floor == LOOM_MODELS {
            continue;
        }
        let above = ABOVE.iter().any(|(above, _)| *above == floor);
        if !floor.is_empty() && !above && !FLOORS.contains(&floor.as_str()) {
            violation(1, format!("`{floor}` is on no floor; give it one in tests/layering.rs"));
            continue;
        }
        let test_file = sources.is_test(module);
        for line in scan.cfg_in_bodies.iter().filter(|_| !test_file) {
            violation(*line, "a cfg within a body; put it on a whole item".to_owned());
        }
        for named in &scan.names {
            let broken = if named.path[0] == "crate" {
                import_broken(&floor, &named.path[1..], &exports)
            } else if named.test || test_file {
                None
            } else {
                confinement_broken(&floor, &sources.foreign(module, &named.path))
            };
            if let Some(why) = broken {
                violation(named.line, format!("{}: {why}", named.path.join("::")));
            }
        }
    }
    violations
}

/// Returns why a file of `floor` must not name the path `path` below the crate's root.
fn import_broken(floor: &str, path: &[String], exports: &BTreeSet<&str>) -> Option<String> {
    let Some(target) = path.first() else {
        let hides = "the crate root under another name hides what is imported";
        return (!floor.is_empty()).then(|| hides.to_owned());
    };
    if floor.is_empty() || target == floor {
        return None;
    }
    let height = |floor: &str| FLOORS.iter().position(|name| *name == floor);
    if let Some((_, allowed)) = ABOVE.iter().find(|(above, _)| *above == floor) {
        let whole = path.join("::");
        let allowed = allowed.iter().any(|allowed| below(&whole, allowed));
        // A name at the root, or a name in a public module within lib.rs.
        let is_file = height(target).is_some() || ABOVE.iter().any(|(above, _)| above == target);
        let exported = |name: &String| exports.contains(name.as_str());
        let public = exported(target) || !is_file && path.last().is_some_and(exported);
        return (!allowed && !public)
            .then(|| format!("`{floor}` imports what lib.rs exports, and not this; see ABOVE"));
    }
    match height(target) {
        Some(up) if Some(up) > height(floor) => Some(format!("`{target}` is above `{floor}`")),
        Some(_) => None,
        None => Some(format!("`{floor}` may import lower floors alone, and `{target}` is not one")),
    }
}

/// Returns why a file of `floor` must not name the path `path` of another crate.
fn confinement_broken(floor: &str, path: &str) -> Option<String> {
    let all_of = path.strip_suffix("::*");
    let (confined, home) = CONFINED.iter().find(|(confined, _)| {
        below(path, confined) || all_of.is_some_and(|parent| below(confined, parent))
    })?;
    let free = THREAD_LOCAL.iter().any(|free| below(path, free));
    (!free && floor != *home).then(|| format!("src/{home} alone may name `{confined}`"))
}

/// Returns each circle of files, as the names of its files, and the imports that make them.
fn circles(files: &Files) -> (Vec<String>, String) {
    let sources = Sources::new(files);
    let mut edges: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for (name, _, module, scan) in &sources.files {
        if floor_of(name) == LOOM_MODELS || sources.is_test(module) {
            continue;
        }
        for named in scan.names.iter().filter(|named| !named.test) {
            let Some(target) = sources.file_of(module, &named.path, 8) else {
                continue;
            };
            let other = module_of(target);
            let parent = |child: &[String], parent: &[String]| {
                child.split_last().is_some_and(|(_, above)| above == parent)
            };
            if target != *name && !parent(module, &other) && !parent(&other, module) {
                edges.entry(name).or_default().entry(target).or_insert(named.line);
            }
        }
    }
    let mut reach = BTreeMap::new();
    for from in edges.keys().copied() {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(file) = left.pop() {
            let targets = edges.get(file).into_iter().flatten().map(|(target, _)| *target);
            left.extend(targets.filter(|target| seen.insert(*target)));
        }
        reach.insert(from, seen);
    }
    let (mut found, mut why) = (BTreeSet::new(), String::new());
    for (file, seen) in reach.iter().filter(|(file, seen)| seen.contains(*file)) {
        let circle: Vec<&str> = seen
            .iter()
            .copied()
            .filter(|other| reach.get(other).is_some_and(|seen| seen.contains(file)))
            .collect();
        for (target, line) in edges[file].iter().filter(|(target, _)| circle.contains(target)) {
            why += &format!("src/{file}:{line} imports src/{target}\n");
        }
        found.insert(circle.join(" "));
    }
    (found.into_iter().collect(), why)
}

/// Returns each line that is too long. A table row in a comment and a line with a web address may
/// be longer.
fn long_lines(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files {
        for (at, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS && !line.contains("://") && !line.contains("//! |") {
                found.push(format!("{name}:{}: {columns} columns", at + 1));
            }
        }
    }
    found
}
