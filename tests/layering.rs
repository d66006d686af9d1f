//! The house rules that an import can break, read off the sources of `src/`.
//!
//! 1. Imports between floors run downwards only: `sys` < `reader` < `grace_period` < `callback` < `dispatch` < `domain` < `cell`
//!    and `collections`. An import is any path through `crate::`, `$crate::` or a chain of `super::` that leaves its floor,
//!    in a `use` (grouped, renamed, re-exported) or in code. Within a floor everything goes.
//! 2. `cell` sees what `lib.rs` exports, `domain`, the guards of `reader`, and the atomics of `sys::prim` (rule 4 leaves it
//!    no others). `collections` sees what `lib.rs` exports, the same atomics, `cell::DomainRef`, a structure's domain, and
//!    `cell::Holder`, the way from a node to a `Retired`. `guide` sees what `lib.rs` exports. No floor below them goes through `lib.rs`, where the
//!    direction of an import cannot be seen.
//! 3. Every file is on a floor. `lib.rs` and `loom_models` may import anything, and nothing imports `loom_models` or `guide`.
//! 4. `std::sync::atomic`, `std::thread` (but for what `thread_local!` needs), `rustix`, `libc`, `windows_sys` and `loom` are
//!    named in `sys` alone, tokio's runtime in `dispatch` alone. Modules under `#[cfg(test)]` are free to name them.
//! 5. No file is longer than [`MAX_LINES`].
//!
//! Comments, documentation and literals do not count. It is a scan of tokens, not a compiler: a path that a macro puts
//! together, or a name brought in by somebody else's glob, is not seen; a module under `#[path]` is taken for the module
//! that its file's name says. It needs only std, see `ci/layering.sh`.

use std::collections::HashSet;
use std::path::Path;

use paths::scan;

#[path = "layering/paths.rs"]
mod paths;
#[path = "layering/planted.rs"]
mod planted;
#[path = "layering/tokens.rs"]
mod tokens;

const MAX_LINES: usize = 550;

/// The floors, lowest first.
const FLOORS: [&str; 6] = [
    "sys",
    "reader",
    "grace_period",
    "callback",
    "dispatch",
    "domain",
];
/// Floor 6: users of the public facade, not of each other.
const FACADE_USERS: [&str; 3] = ["cell", "collections", "guide"];
const LOOM_MODELS: &str = "loom_models";

/// What belongs to one floor, and the floor.
const CONFINED: [(&[&str], &str); 10] = [
    (&["std", "sync", "atomic"], "sys"),
    (&["core", "sync", "atomic"], "sys"),
    (&["std", "thread"], "sys"),
    (&["rustix"], "sys"),
    (&["libc"], "sys"),
    (&["windows_sys"], "sys"),
    (&["loom"], "sys"),
    (&["tokio", "runtime"], "dispatch"),
    (&["tokio", "task"], "dispatch"),
    (&["tokio", "spawn"], "dispatch"),
];
/// What `thread_local!` needs of `std::thread`: no thread is started or stopped with it.
const THREAD_LOCAL: [&str; 2] = ["LocalKey", "AccessError"];

#[test]
fn the_sources_keep_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    read_sources(&root, &root, &mut files);
    for floor in FLOORS {
        let found = files
            .iter()
            .any(|(name, _)| module_path(name).first().is_some_and(|m| m == floor));
        assert!(
            found,
            "no file of the floor `{floor}` under {}: is the scan looking at the right place?",
            root.display()
        );
    }
    let violations = check(&files);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Name (relative to `root`, with `/`) and text of every Rust file under `dir`.
fn read_sources(root: &Path, dir: &Path, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read_sources(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            files.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Every violation in `files`, as `src/FILE:LINE: what`.
fn check(files: &[(String, String)]) -> Vec<String> {
    let scans: Vec<_> = files
        .iter()
        .map(|(name, text)| (name, text, scan(module_path(name), text)))
        .collect();
    let exported: HashSet<&str> = scans
        .iter()
        .filter(|(name, ..)| *name == "lib.rs")
        .flat_map(|(_, _, scan)| scan.exports.iter().map(String::as_str))
        .collect();
    let test_modules: Vec<&Vec<String>> = scans
        .iter()
        .flat_map(|(_, _, scan)| &scan.test_modules)
        .collect();

    let mut violations = Vec::new();
    for (name, text, scan) in &scans {
        let module = module_path(name);
        let lines = text.lines().count();
        if lines > MAX_LINES {
            violations.push(format!(
                "src/{name}: {lines} lines, the limit is {MAX_LINES}"
            ));
        }
        // The crate root stands for lib.rs: it sees everything, and is nobody's floor.
        let floor = module.first().map_or("", String::as_str);
        if floor == LOOM_MODELS {
            continue;
        }
        if !floor.is_empty() && !FLOORS.contains(&floor) && !FACADE_USERS.contains(&floor) {
            violations.push(format!(
                "src/{name}: `{floor}` is on no floor; give it one in tests/layering.rs"
            ));
            continue;
        }
        let test_file = test_modules.iter().any(|test| module.starts_with(test));
        for found in &scan.paths {
            let broken = if found.segments[0] == "crate" {
                import_broken(floor, &found.segments[1..], &exported)
            } else if found.test || test_file {
                None
            } else {
                confinement_broken(floor, &found.segments)
            };
            if let Some(why) = broken {
                violations.push(format!(
                    "src/{name}:{}: {}: {why}",
                    found.line,
                    found.segments.join("::")
                ));
            }
        }
    }
    violations
}

/// Why `floor` may not name the path `segments` below the crate root.
fn import_broken(floor: &str, segments: &[String], exported: &HashSet<&str>) -> Option<String> {
    let Some(target) = segments.first().map(String::as_str) else {
        return (!floor.is_empty())
            .then(|| "the crate root under another name hides what is imported".to_owned());
    };
    if floor.is_empty() || target == floor {
        return None;
    }
    let above = FACADE_USERS.contains(&floor);
    if floor == "collections"
        && (segments == ["cell", "Holder"] || segments == ["cell", "DomainRef"])
    {
        return None;
    }
    if target == LOOM_MODELS || FACADE_USERS.contains(&target) {
        return Some(format!("nothing imports `{target}`"));
    }
    let Some(target_height) = FLOORS.iter().position(|name| *name == target) else {
        return match above {
            false => Some(format!(
                "`{floor}` goes through lib.rs; name the floor that it comes from"
            )),
            true if exported.contains(target) => None,
            true => Some(format!(
                "`{target}` is not among the names that lib.rs exports with `pub use`"
            )),
        };
    };
    if above {
        let guard = segments
            .iter()
            .any(|segment| segment.to_lowercase().contains("guard"));
        return match (floor, target) {
            ("cell", "domain") => None,
            ("cell", "reader") if guard => None,
            ("cell" | "collections", "sys")
                if segments.get(1).is_some_and(|name| name == "prim") =>
            {
                None
            }
            _ => Some(format!("`{floor}` uses the public facade, not `{target}`")),
        };
    }
    let height = FLOORS
        .iter()
        .position(|name| *name == floor)
        .expect("a floor");
    (target_height > height)
        .then(|| format!("`{floor}` is floor {height}, `{target}` is floor {target_height}"))
}

/// Why `floor` may not name the path `segments` of another crate.
fn confinement_broken(floor: &str, segments: &[String]) -> Option<String> {
    for (confined, home) in CONFINED {
        let below =
            segments.len() >= confined.len() && segments.iter().zip(confined).all(|(a, b)| a == b);
        let glob = segments.last().is_some_and(|last| last == "*")
            && segments.len() <= confined.len()
            && segments[..segments.len() - 1]
                .iter()
                .zip(confined)
                .all(|(a, b)| a == b);
        let free = confined == ["std", "thread"]
            && segments
                .get(2)
                .is_some_and(|name| THREAD_LOCAL.contains(&name.as_str()));
        if (below || glob) && !free && floor != home {
            return Some(format!(
                "`{}` is named in src/{home} alone",
                confined.join("::")
            ));
        }
    }
    None
}

/// `grace_period/engine.rs` and `grace_period/engine/mod.rs` are `[grace_period, engine]`; `lib.rs` is `[]`.
fn module_path(name: &str) -> Vec<String> {
    let mut segments: Vec<String> = name
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if segments.last().is_some_and(|last| last == "mod") || segments == ["lib"] {
        segments.pop();
    }
    segments
}
