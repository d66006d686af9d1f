//! Reads the paths and the `cfg` attributes of a file, without a compiler.

/// A path as written, with groups expanded and `self` and `super` resolved.
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether the path stands in a module under `#[cfg(test)]`.
    pub(crate) test: bool,
    /// If a `use` imports the path: the name that it gets, and whether the name is public.
    pub(crate) import: Option<(String, bool)>,
}

/// A file's paths and `cfg`s.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) names: Vec<Named>,
    /// Lines of a `cfg` within a body: on a statement, a field, an arm, or a `cfg!`.
    pub(crate) cfg_in_bodies: Vec<usize>,
    /// Modules in files of their own that are declared under `#[cfg(test)]`.
    pub(crate) test_modules: Vec<Vec<String>>,
}

struct Scope {
    module: Option<String>,
    test: bool,
    /// Whether the braces hold items: a file, a `mod`, an `impl`, a `trait` or an `extern`.
    items: bool,
}

type Token = (usize, String);

/// Scans the text of the file whose module is `module`.
pub(crate) fn scan(module: &[String], text: &str) -> Scan {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", |(_, word)| word.as_str());
    let mut scan = Scan::default();
    let file = Scope { module: None, test: false, items: true };
    let mut scopes = vec![file];
    // The first token of the current item or statement, and whether `#[cfg(test)]` is before it.
    let (mut start, mut test_item, mut at) = (0, false, 0);
    while at < tokens.len() {
        let inline = scopes.iter().filter_map(|scope| scope.module.clone());
        let here: Vec<String> = module.iter().cloned().chain(inline).collect();
        let test = scopes.iter().any(|scope| scope.test);
        let mut found = |path: Vec<String>, line, import| {
            let path = resolve(&here, path);
            scan.names.push(Named { path, line, test, import });
        };
        let next = at + 1;
        match word(at) {
            "#" if word(at + 1) == "!" && word(at + 3) == "cfg" && needs_test(&tokens, at + 4) => {
                scopes.last_mut().expect("the file").test = true;
            }
            "#" if word(at + 1) == "[" && word(at + 2) == "cfg" => {
                test_item |= needs_test(&tokens, at + 3);
                if !test && !scopes.last().expect("the file").items {
                    scan.cfg_in_bodies.push(tokens[at].0);
                }
            }
            "cfg" if word(at + 1) == "!" && !test => scan.cfg_in_bodies.push(tokens[at].0),
            "mod" if word(at + 2) == ";" && (test || test_item) => {
                scan.test_modules.push([here, vec![word(at + 1).to_owned()]].concat());
            }
            "{" => {
                let head = || (start..at).map(word);
                let named = head().position(|word| word == "mod").map(|at| word(start + at + 1));
                let items = ["mod", "impl", "trait", "extern"];
                let items = head().any(|word| items.contains(&word)) && !head().any(|w| w == "fn");
                scopes.push(Scope { module: named.map(str::to_owned), test: test_item, items });
            }
            "}" if scopes.len() > 1 => drop(scopes.pop()),
            // `impl Trait + use<'a>` captures lifetimes and imports nothing.
            "use" if word(at + 1) != "<" => {
                let public = at > 0 && matches!(word(at - 1), "pub" | ")");
                let mut end = at + 1;
                use_tree(&tokens, &mut end, &[], &mut |path, name, line| {
                    found(path, line, Some((name, public)));
                });
                (at, start, test_item) = (end, end, false);
                continue;
            }
            "extern" if word(at + 1) == "crate" => {
                let name = word(at + 2).replace("self", "crate");
                found(vec![name], tokens[at].0, None);
            }
            first if is_name(first) => {
                let (line, mut path) = (tokens[at].0, vec![first.to_owned()]);
                while word(at + 1) == "::" && is_name(word(at + 2)) {
                    path.push(word(at + 2).to_owned());
                    at += 2;
                }
                if path.len() > 1 {
                    found(path, line, None);
                }
                at += 1;
                continue;
            }
            _ => {}
        }
        if matches!(word(at), ";" | "{" | "}") {
            (start, test_item) = (next, false);
        }
        at = next;
    }
    scan
}

/// Returns whether the `cfg` that opens at `at` is `test` or `all(test, ..)`.
fn needs_test(tokens: &[Token], at: usize) -> bool {
    let is = |words: &[&str]| words.iter().zip(&tokens[at..]).all(|(a, (_, b))| a == b);
    is(&["(", "test", ")"]) || is(&["(", "all", "(", "test", ","])
}

/// Reports each path of the use tree at `at`, which ends after its `;` or before the `,` or `}`.
fn use_tree(
    tokens: &[Token],
    at: &mut usize,
    prefix: &[String],
    found: &mut dyn FnMut(Vec<String>, String, usize),
) {
    let mut path = prefix.to_vec();
    let mut line = 0;
    while let Some((on, word)) = tokens.get(*at) {
        match word.as_str() {
            "," | "}" | ";" | "as" => break,
            "::" | "$" => {}
            "{" => {
                while !matches!(tokens.get(*at).map(|(_, w)| w.as_str()), None | Some("}")) {
                    *at += 1;
                    use_tree(tokens, at, &path, found);
                }
                *at += 1;
                return;
            }
            word => {
                path.push(word.to_owned());
                line = *on;
            }
        }
        *at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let Some(mut name) = path.last().cloned().filter(|_| line > 0) else {
        return;
    };
    if tokens.get(*at).is_some_and(|(_, word)| word == "as") {
        name = tokens[*at + 1].1.clone();
        *at += 2;
    }
    found(path, name, line);
}

/// Replaces leading `self` and `super` by the module `here` that the path stands in.
fn resolve(here: &[String], path: Vec<String>) -> Vec<String> {
    let up = path.iter().take_while(|word| matches!(word.as_str(), "self" | "super"));
    let words = up.clone().count();
    if words == 0 {
        return path;
    }
    let up = up.filter(|word| *word == "super").count();
    let base = here.iter().take(here.len().saturating_sub(up)).cloned();
    let crate_root = std::iter::once("crate".to_owned());
    crate_root.chain(base).chain(path.into_iter().skip(words)).collect()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits `text` into words, `::` and other characters, each with its line. Leaves out comments and
/// literals.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    let raw = |word: &str, rest: &str| {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        (matches!(word, "r" | "br" | "cr") && rest[hashes..].starts_with('"')).then_some(hashes)
    };
    while let Some(c) = rest.chars().next() {
        let second = rest[c.len_utf8()..].chars().next().unwrap_or(' ');
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c == '"' || c == '\'' && (second == '\\' || rest.chars().nth(2) == Some('\'')) {
            quoted(rest, c)
        } else if let Some(hashes) = raw(&rest[..word], &rest[word..]) {
            let body = word + hashes + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
        } else if word > 0 && rest[word..].starts_with(['"', '\'']) && word < 3 {
            // The `b` of `b"..."`; the literal itself comes next.
            word
        } else if rest.starts_with("r#") {
            2
        } else {
            let len = match word {
                0 if rest.starts_with("::") => 2,
                0 => c.len_utf8(),
                word => word,
            };
            if !c.is_whitespace() {
                tokens.push((line, rest[..len].to_owned()));
            }
            len
        };
        line += rest[..skip].matches('\n').count();
        rest = &rest[skip..];
    }
    tokens
}

/// Returns the length of the literal at the start of `text`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// Returns the length of the comment at the start of `text`. Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        let step = text.get(at..at + 2);
        depth += usize::from(step == Some("/*"));
        depth -= usize::from(step == Some("*/"));
        at += if matches!(step, Some("/*" | "*/")) { 2 } else { 1 };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}
