//! Reads the paths of a file: what it imports, and what it names in code.

use std::collections::HashMap;

use crate::tokens::{Token, is_ident_start, tokens};

/// What a file names.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) paths: Vec<Found>,
    /// Names that plain `pub use` gives to others.
    pub(crate) exports: Vec<String>,
    /// Modules in files of their own that are declared under `#[cfg(test)]`.
    pub(crate) test_modules: Vec<Vec<String>>,
}

/// A path with `self` and `super` resolved: its first segment is `crate`, or another crate, or a name in scope.
pub(crate) struct Found {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) test: bool,
}

/// An open brace.
struct Scope {
    module: Option<String>,
    test: bool,
}

pub(crate) fn scan(file_module: Vec<String>, text: &str) -> Scan {
    let mut scanner = Scanner {
        tokens: tokens(text),
        at: 0,
        file_module,
        scopes: vec![Scope {
            module: None,
            test: false,
        }],
        aliases: HashMap::new(),
        scan: Scan::default(),
    };
    scanner.file();
    scanner.expand_aliases();
    scanner.scan
}

struct Scanner {
    tokens: Vec<Token>,
    at: usize,
    file_module: Vec<String>,
    /// Never empty: the file itself is the first.
    scopes: Vec<Scope>,
    /// Names that imports of other crates bring into the file, wherever in it.
    aliases: HashMap<String, Vec<String>>,
    scan: Scan,
}

impl Scanner {
    /// The text of the token `ahead` places from here, `""` beyond the end.
    fn peek(&self, ahead: usize) -> &str {
        self.tokens
            .get(self.at + ahead)
            .map_or("", |token| token.text.as_str())
    }

    fn before(&self) -> &str {
        self.at
            .checked_sub(1)
            .map_or("", |at| self.tokens[at].text.as_str())
    }

    fn in_test(&self) -> bool {
        self.scopes.iter().any(|scope| scope.test)
    }

    fn module(&self) -> Vec<String> {
        let inline = self.scopes.iter().filter_map(|scope| scope.module.clone());
        self.file_module.iter().cloned().chain(inline).collect()
    }

    fn file(&mut self) {
        // Whether an attribute since the last item's end makes the item to come a test's.
        let mut test_item = false;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "#" if self.peek(1) == "[" && self.peek(2) == "cfg" => {
                    test_item |= self.cfg_needs_test(self.at + 4).0;
                    self.at += 3;
                }
                "#" if self.peek(1) == "!" && self.peek(2) == "[" && self.peek(3) == "cfg" => {
                    let test = self.cfg_needs_test(self.at + 5).0;
                    self.scopes.last_mut().expect("the file").test |= test;
                    self.at += 4;
                }
                "mod" if matches!(self.peek(2), "{" | ";") => {
                    let name = self.peek(1).to_owned();
                    if self.peek(2) == "{" {
                        self.scopes.push(Scope {
                            module: Some(name),
                            test: test_item,
                        });
                    } else if test_item || self.in_test() {
                        let mut path = self.module();
                        path.push(name);
                        self.scan.test_modules.push(path);
                    }
                    test_item = false;
                    self.at += 3;
                }
                "{" => {
                    self.scopes.push(Scope {
                        module: None,
                        test: false,
                    });
                    test_item = false;
                    self.at += 1;
                }
                "}" => {
                    if self.scopes.len() > 1 {
                        self.scopes.pop();
                    }
                    test_item = false;
                    self.at += 1;
                }
                ";" => {
                    test_item = false;
                    self.at += 1;
                }
                // `impl Trait + use<'a, T>` captures, it does not import.
                "use" if self.peek(1) != "<" => {
                    let public = self.before() == "pub";
                    self.at += 1;
                    self.use_tree(&[], public);
                }
                "extern" if self.peek(1) == "crate" => {
                    self.at += 2;
                    let name = if self.peek(0) == "self" {
                        "crate"
                    } else {
                        self.peek(0)
                    };
                    self.found(vec![name.to_owned()]);
                    self.at += 1;
                }
                _ => self.code_path(),
            }
        }
    }

    /// Whether the `cfg` predicate at token `at` holds in tests alone, and where it ends.
    fn cfg_needs_test(&self, at: usize) -> (bool, usize) {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let name = text(at);
        if text(at + 1) != "(" {
            let mut end = at;
            while !matches!(text(end), "," | ")" | "") {
                end += 1;
            }
            return (name == "test" && end == at + 1, end);
        }
        let (mut every, mut some, mut end) = (true, false, at + 2);
        while !matches!(text(end), ")" | "") {
            let (needs, next) = self.cfg_needs_test(end);
            every &= needs;
            some |= needs;
            end = if text(next) == "," { next + 1 } else { next };
        }
        (
            name == "all" && some || name == "any" && some && every,
            end + 1,
        )
    }

    /// A use tree from here on, below `prefix`.
    fn use_tree(&mut self, prefix: &[String], public: bool) {
        let mut path = prefix.to_vec();
        loop {
            match self.peek(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.peek(0), "}" | ";" | "") {
                        self.use_tree(&path, public);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "," | "}" | ";" | "" | "as" => break,
                "$" => self.at += 1,
                segment => {
                    path.push(segment.to_owned());
                    self.at += 1;
                }
            }
        }
        // Where it stands, also if the path came from a group: `self` in a group is the group's own path.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let Some(mut name) = path.last().cloned() else {
            return;
        };
        self.at -= 1;
        self.found(path.clone());
        self.at += 1;
        if self.peek(0) == "as" {
            name = self.peek(1).to_owned();
            self.at += 2;
        }
        if !matches!(path[0].as_str(), "crate" | "self" | "super") && !self.in_test() {
            self.aliases.insert(name.clone(), path);
        }
        if public {
            self.scan.exports.push(name);
        }
    }

    /// A path in code, or any other token.
    fn code_path(&mut self) {
        if !self.peek(0).starts_with(is_ident_start) {
            self.at += 1;
            return;
        }
        let start = self.at;
        let mut path = vec![self.peek(0).to_owned()];
        while self.peek(1) == "::" && self.peek(2).starts_with(is_ident_start) {
            path.push(self.peek(2).to_owned());
            self.at += 2;
        }
        let end = self.at;
        if path.len() > 1 {
            self.at = start;
            self.found(path);
        }
        self.at = end + 1;
    }

    /// Notes `path`, which stands at the current token, with `self` and `super` resolved.
    fn found(&mut self, path: Vec<String>) {
        let mut rest = path.as_slice();
        let mut base = None;
        while let [first, after @ ..] = rest {
            match first.as_str() {
                "self" => base = base.or_else(|| Some(self.module())),
                "super" => {
                    base.get_or_insert_with(|| self.module()).pop();
                }
                _ => break,
            }
            rest = after;
        }
        let segments = match base {
            Some(base) => std::iter::once("crate".to_owned())
                .chain(base)
                .chain(rest.iter().cloned())
                .collect(),
            None => path,
        };
        let line = self.tokens[self.at].line;
        self.scan.paths.push(Found {
            segments,
            line,
            test: self.in_test(),
        });
    }

    /// `use std::sync as s; s::atomic::fence` names `std::sync::atomic`.
    fn expand_aliases(&mut self) {
        for found in &mut self.scan.paths {
            if let Some(path) = self.aliases.get(&found.segments[0]) {
                found.segments.splice(..1, path.iter().cloned());
            }
        }
    }
}
