//! The library's public items, as rustdoc sees them: `api-listing format|list|examples FILE.json`.
//!
//! `format` exits with status 3 if the format of the JSON is not known. `list` prints every public
//! item, one on a line. `examples` prints the public items that have no example, and fails if there
//! are any. Called by ci/api.sh.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::{env, fs};

/// The formats of the JSON that this program and its dependencies read.
const FORMATS: std::ops::RangeInclusive<u64> = 56..=57;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [what, path] = arguments.as_slice() else {
        eprintln!("usage: api-listing format|list|examples FILE.json");
        return ExitCode::from(2);
    };
    let result = match what.as_str() {
        "format" => format(path),
        "list" => list(path),
        "examples" => examples(path),
        _ => Err(format!("unknown command: {what}")),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("api-listing: {error}");
            ExitCode::from(2)
        }
    }
}

fn read(path: &str) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}

/// Exits with status 3 if the format of the JSON is not one of `FORMATS`.
fn format(path: &str) -> Result<ExitCode, String> {
    let found = read(path)?["format_version"].as_u64().unwrap_or_default();
    Ok(match FORMATS.contains(&found) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(3),
    })
}

fn list(path: &str) -> Result<ExitCode, String> {
    let api = public_api::Builder::from_rustdoc_json(path)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .map_err(|error| format!("{path}: {error}"))?;
    for item in api.items() {
        println!("{item}");
    }
    Ok(ExitCode::SUCCESS)
}

fn examples(path: &str) -> Result<ExitCode, String> {
    let json = read(path)?;
    let mut items = Items { index: &json["index"], looked_at: 0, without: BTreeSet::new() };
    items.walk(items.item(&json["root"]), "");
    for name in &items.without {
        println!("no example: {name}");
    }
    println!("{} public items, {} without an example", items.looked_at, items.without.len());
    // A walk that finds few items has not looked everywhere.
    Ok(match items.without.is_empty() && items.looked_at > 100 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

struct Items<'a> {
    index: &'a Value,
    looked_at: usize,
    without: BTreeSet<String>,
}

impl<'a> Items<'a> {
    fn item(&self, id: &Value) -> &'a Value {
        &self.index[id.to_string()]
    }

    /// Looks at all items that `item` contains. The guide's pages are modules, and need no example.
    fn walk(&mut self, item: &'a Value, path: &str) {
        let inner = &item["inner"];
        let name = item["name"].as_str().unwrap_or_default();
        if let Some(import) = inner.get("use") {
            let target = self.item(&import["id"]);
            return self.walk(target, path);
        }
        if let Some(module) = inner.get("module") {
            for id in each(&module["items"]) {
                self.walk(self.item(id), path);
            }
            return;
        }
        let path = format!("{path}{name}");
        self.look(item, &path);
        for kind in ["struct", "enum"] {
            for id in each(&inner[kind]["impls"]) {
                let implementation = &self.item(id)["inner"]["impl"];
                if implementation["trait"].is_null() {
                    self.members(&implementation["items"], &path);
                }
            }
        }
        // The example of a trait implements it, and so shows what its items are for.
        if !has_example(item) {
            self.members(&inner["trait"]["items"], &path);
        }
    }

    fn members(&mut self, ids: &'a Value, path: &str) {
        for id in each(ids) {
            let member = self.item(id);
            // Members of traits have the trait's visibility.
            let public =
                ["public", "default"].contains(&member["visibility"].as_str().unwrap_or_default());
            if public {
                let name = member["name"].as_str().unwrap_or_default();
                self.look(member, &format!("{path}::{name}"));
            }
        }
    }

    fn look(&mut self, item: &Value, path: &str) {
        self.looked_at += 1;
        if !has_example(item) {
            self.without.insert(path.to_owned());
        }
    }
}

fn has_example(item: &Value) -> bool {
    item["docs"].as_str().unwrap_or_default().contains("```")
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
