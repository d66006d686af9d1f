//! The parser of tables: the CSV of the npm package `@ip-location-db/asn`.
//!
//! ```text
//! 1.0.0.0,1.0.0.255,13335,"Cloudflare, Inc."
//! 2606:4700::,2606:4700:1:ffff:ffff:ffff:ffff:ffff,13335,"Cloudflare, Inc."
//! ```
//!
//! A row has the first address, the last address, the number of the autonomous system, and the name
//! of the organisation. One file may hold both families. There is no header. An error refuses the
//! whole file, and names it and the line: a table is taken in full or not at all.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::net::IpAddr;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use crate::table::{Range, TableBuilder, TooManyRows};

/// The reason why a table was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoadError {
    file: String,
    line: Option<u64>,
    why: String,
}

impl LoadError {
    /// Makes an error about a whole file.
    pub(crate) fn in_file(file: &str, why: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, why: why.into() }
    }

    fn in_line(file: &str, line: u64, why: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(line), why: why.into() }
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

/// Adds all rows of `input` to `table`. Messages name the input `file`.
pub(crate) fn read(
    file: &str,
    mut input: impl BufRead,
    table: &mut TableBuilder,
) -> Result<(), LoadError> {
    let cannot_read = |error| LoadError::in_file(file, format!("cannot read: {error}"));
    // The CSV reader skips a byte order mark only if its first read returns more than the mark. So
    // the mark is skipped here, and then the first read returns only the byte after the mark.
    let mut head = Vec::new();
    let first = input.by_ref().take(4).read_to_end(&mut head);
    first.map_err(cannot_read)?;
    let head = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&head);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        // The CSV reader passes rows of any length, so that this parser makes the message about a
        // wrong row.
        .flexible(true)
        .from_reader(LineByLine::new(head.chain(input)));
    let mut record = StringRecord::new();
    let mut rows = 0u64;
    loop {
        let more = reader.read_record(&mut record);
        let line = reader.get_ref().line;
        match more {
            Ok(true) => {}
            Ok(false) if rows == 0 => return Err(LoadError::in_file(file, "the file has no rows")),
            Ok(false) => return Ok(()),
            Err(error) => {
                return Err(match error.into_kind() {
                    ErrorKind::Io(error) => cannot_read(error),
                    ErrorKind::Utf8 { err, .. } => {
                        let field = err.field() + 1;
                        LoadError::in_line(file, line, format!("field {field} is not valid UTF-8"))
                    }
                    other => LoadError::in_line(
                        file,
                        line,
                        format!("the line is not valid CSV: {other:?}"),
                    ),
                });
            }
        }
        let (range, asn, organisation) =
            row(&record).map_err(|why| LoadError::in_line(file, line, why))?;
        table.add(range, asn, organisation).map_err(|TooManyRows| {
            LoadError::in_line(file, line, "a table can have 2^32 - 1 rows at most")
        })?;
        rows += 1;
    }
}

fn row(record: &StringRecord) -> Result<(Range, u32, &str), String> {
    let fields = record.len();
    let mut record = record.iter();
    let (Some(start), Some(end), Some(asn), Some(organisation), None) =
        (record.next(), record.next(), record.next(), record.next(), record.next())
    else {
        return Err(format!(
            "a row has 4 fields (first address, last address, AS number, organisation), \
             this row has {fields}"
        ));
    };
    let range = match (address(start)?, address(end)?) {
        (IpAddr::V4(start), IpAddr::V4(end)) if start <= end => Range::V4(start, end),
        (IpAddr::V6(start), IpAddr::V6(end)) if start <= end => Range::V6(start, end),
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            return Err(format!("the range is reversed: {start} is above {end}"));
        }
        _ => {
            return Err(format!("{start} and {end} are of different families"));
        }
    };
    let asn = Some(asn)
        .filter(|digits| !digits.starts_with('+'))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{} is not an AS number (0 to 4294967295)", quoted(asn)))?;
    if organisation.contains(['\n', '\r']) {
        return Err("the organisation spans several lines: is a quote left open?".to_owned());
    }
    Ok((range, asn, organisation))
}

fn address(field: &str) -> Result<IpAddr, String> {
    field.parse().map_err(|_| format!("{} is not an IP address", quoted(field)))
}

/// Formats `text` for a message: in quotes, with escaped control characters, and shortened.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
    }
}

/// A reader that counts lines. It passes on no byte of a line before the line's turn, so `line` is
/// the line that the CSV parser is at.
///
/// The parser's own line count is off by one after `\r\n` and skips empty lines.
struct LineByLine<R> {
    inner: R,
    line: u64,
    ended: bool,
}

impl<R: BufRead> LineByLine<R> {
    fn new(inner: R) -> Self {
        Self { inner, line: 0, ended: true }
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
