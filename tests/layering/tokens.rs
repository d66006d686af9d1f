//! Splits a file into tokens, without its comments and literals.

/// An identifier (a raw one without its `r#`), a number, a lifetime, `::`, or a single other character.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

pub(crate) fn is_ident_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The tokens of `text` without its comments and without its string and character literals.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let char_at = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut at, mut line, mut counted) = (0, 1, 0);
    while at < chars.len() {
        line += chars[counted..at].iter().filter(|c| **c == '\n').count();
        counted = at;
        let c = chars[at];
        if c == '/' && char_at(at + 1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && char_at(at + 1) == '*' {
            at = after_block_comment(&chars, at);
        } else if c == '"' {
            at = after_quoted(&chars, at, '"');
        } else if c == '\'' && (char_at(at + 1) == '\\' || char_at(at + 2) == '\'') {
            at = after_quoted(&chars, at, '\'');
        } else if is_ident(c) || c == '\'' {
            let start = at;
            at += 1;
            while is_ident(char_at(at)) {
                at += 1;
            }
            let word: String = chars[start..at].iter().collect();
            let prefix = matches!(word.as_str(), "b" | "c" | "r" | "br" | "cr");
            let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
            if prefix && word.ends_with('r') && char_at(at + hashes) == '"' {
                at = after_raw_string(&chars, at + hashes + 1, hashes);
            } else if prefix && (char_at(at) == '"' || word == "b" && char_at(at) == '\'') {
                at = after_quoted(&chars, at, chars[at]);
            } else if word == "r" && hashes == 1 {
                at += 1;
            } else {
                tokens.push(Token { text: word, line });
            }
        } else if c == ':' && char_at(at + 1) == ':' {
            tokens.push(Token {
                text: "::".to_owned(),
                line,
            });
            at += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(Token {
                    text: c.to_string(),
                    line,
                });
            }
            at += 1;
        }
    }
    tokens
}

/// Behind the comment that opens at `at`. Block comments nest.
fn after_block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Behind the literal that opens with `quote` at `at`.
fn after_quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Behind the raw string whose text starts at `at`, closed by a quote and `hashes` hashes.
fn after_raw_string(chars: &[char], mut at: usize, hashes: usize) -> usize {
    while at < chars.len() {
        at += 1;
        let closed =
            chars[at - 1] == '"' && chars[at..].iter().take_while(|c| **c == '#').count() >= hashes;
        if closed {
            return at + hashes;
        }
    }
    at
}
