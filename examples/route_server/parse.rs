//! Reading a table: the CSV of the npm package `@ip-location-db/asn`.
//!
//! ```text
//! 1.0.0.0,1.0.0.255,13335,"Cloudflare, Inc."
//! 2606:4700::,2606:4700:1:ffff:ffff:ffff:ffff:ffff,13335,"Cloudflare, Inc."
//! ```
//!
//! A row is: first address, last address, number of the autonomous system, name of the organisation. Both families may
//! stand in one file. There is no header. Anything unexpected refuses the whole file, by name and line: a table is
//! taken in full or not at all.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::net::IpAddr;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use crate::table::{Range, TableBuilder, TooManyRows};

/// Why a table was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoadError {
    file: String,
    line: Option<u64>,
    why: String,
}

impl LoadError {
    /// A whole file is at fault, or nothing that has a line.
    pub(crate) fn in_file(file: &str, why: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            why: why.into(),
        }
    }

    fn in_line(file: &str, line: u64, why: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(line),
            why: why.into(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.why),
            None => write!(f, "{}: {}", self.file, self.why),
        }
    }
}

impl std::error::Error for LoadError {}

/// Adds all rows of `input` to `table`; `file` is its name for messages.
pub(crate) fn read(
    file: &str,
    input: impl BufRead,
    table: &mut TableBuilder,
) -> Result<(), LoadError> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        // Rows of any length come through, so that the message about a wrong one is ours.
        .flexible(true)
        .from_reader(LineByLine::new(input));
    let mut record = StringRecord::new();
    let mut rows = 0u64;
    loop {
        let more = reader.read_record(&mut record);
        let line = reader.get_ref().line;
        match more {
            Ok(true) => {}
            Ok(false) if rows == 0 => return Err(LoadError::in_file(file, "there are no rows")),
            Ok(false) => return Ok(()),
            Err(error) => {
                return Err(match error.into_kind() {
                    ErrorKind::Io(error) => {
                        LoadError::in_file(file, format!("cannot read: {error}"))
                    }
                    ErrorKind::Utf8 { err, .. } => {
                        let field = err.field() + 1;
                        LoadError::in_line(file, line, format!("field {field} is not valid UTF-8"))
                    }
                    other => LoadError::in_line(file, line, format!("no CSV: {other:?}")),
                });
            }
        }
        let (range, asn, organisation) =
            row(&record).map_err(|why| LoadError::in_line(file, line, why))?;
        table.add(range, asn, organisation).map_err(|TooManyRows| {
            LoadError::in_line(file, line, "there are 2^32 rows before it")
        })?;
        rows += 1;
    }
}

fn row(record: &StringRecord) -> Result<(Range, u32, &str), String> {
    let fields = record.len();
    let mut record = record.iter();
    let (Some(start), Some(end), Some(asn), Some(organisation), None) = (
        record.next(),
        record.next(),
        record.next(),
        record.next(),
        record.next(),
    ) else {
        return Err(format!(
            "a row has 4 fields (first address, last address, AS number, organisation), this one {fields}"
        ));
    };
    let range = match (address(start)?, address(end)?) {
        (IpAddr::V4(start), IpAddr::V4(end)) if start <= end => Range::V4(start, end),
        (IpAddr::V6(start), IpAddr::V6(end)) if start <= end => Range::V6(start, end),
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            return Err(format!("the range is reversed: {start} is above {end}"));
        }
        _ => {
            return Err(format!("{start} and {end} are not of one family"));
        }
    };
    let asn = Some(asn)
        .filter(|digits| !digits.starts_with('+'))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{} is no AS number (0 to 4294967295)", quoted(asn)))?;
    if organisation.contains(['\n', '\r']) {
        return Err("the organisation goes over several lines: is a quote left open?".to_owned());
    }
    Ok((range, asn, organisation))
}

fn address(field: &str) -> Result<IpAddr, String> {
    field
        .parse()
        .map_err(|_| format!("{} is no IP address", quoted(field)))
}

/// `text` for a message: in quotes, control characters escaped, and not too much of it.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
    }
}

/// Gives its reader no byte of a line before the line's turn, so that `line` is the line at which the CSV parser
/// stands.
///
/// The parser has a line count of its own, but that one is off by one after `\r\n` and does not see empty lines.
struct LineByLine<R> {
    inner: R,
    line: u64,
    ended: bool,
}

impl<R: BufRead> LineByLine<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            line: 0,
            ended: true,
        }
    }
}

impl<R: BufRead> Read for LineByLine<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.inner.fill_buf()?;
        let most = available.len().min(into.len());
        let end = available[..most].iter().position(|byte| *byte == b'\n');
        let given = end.map_or(most, |end| end + 1);
        into[..given].copy_from_slice(&available[..given]);
        self.inner.consume(given);
        if given > 0 {
            self.line += u64::from(self.ended);
            self.ended = end.is_some();
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests;
