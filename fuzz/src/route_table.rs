//! The table parser of the route server.
//!
//! The parser must not panic on any bytes, and a refusal must name the file and the fault. If the
//! parser accepts a table, a second parser and table must give the same answers. These two are
//! written here in the simplest way: no CSV library, no intervals, a scan for each lookup. The
//! accepted table is also written out and parsed again, and must then give the same answers.
//!
//! The first byte of the input is the size of the pieces in which the reader gives the rest to the
//! parser.

use crate::parse;
use crate::table::{Network, Table, TableBuilder};
use std::io::{self, BufRead, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const FILE: &str = "a table";

pub fn run(data: &[u8]) {
    super::panics::prepare();
    let Some((&piece, bytes)) = data.split_first() else {
        return;
    };
    let in_pieces = load(Pieces { bytes, piece: 1 + usize::from(piece) });
    let whole = load(bytes);
    let rows = naive(bytes);
    match (&in_pieces, &whole) {
        (Ok(a), Ok(b)) => assert!(same_summary(a, b), "the piece size changes the table"),
        (Err(a), Err(b)) => assert_eq!(a, b, "the piece size changes the message"),
        (a, b) => panic!("the piece size changes the result: {:?}, {:?}", a.is_ok(), b.is_ok()),
    }
    match (whole, rows) {
        (Ok(table), Some(rows)) => {
            agree(&table, &rows);
            let again = load(written(&rows).as_bytes()).expect("the written table is valid");
            assert!(same_summary(&table, &again), "the written table differs from the first");
            agree(&again, &rows);
        }
        (Err(why), None) => assert!(why.starts_with(FILE) && why.len() > FILE.len() + 2, "{why}"),
        (Ok(table), None) => panic!("the parser took an invalid table: {}", table.summary()),
        (Err(why), Some(rows)) => panic!("the parser refused {} valid rows: {why}", rows.len()),
    }
}

fn load(input: impl BufRead) -> Result<Table, String> {
    let mut table = TableBuilder::new(3);
    parse::read(FILE, input, &mut table).map_err(|why| why.to_string())?;
    Ok(table.build())
}

/// A reader that returns at most this many bytes at once.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let given = self.fill_buf()?.read(into)?;
        self.consume(given);
        Ok(given)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.bytes[..self.bytes.len().min(self.piece)])
    }

    fn consume(&mut self, n: usize) {
        self.bytes = &self.bytes[n..];
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    start: IpAddr,
    end: IpAddr,
    asn: u32,
    organisation: String,
}

/// Returns the rows, or `None` if one is invalid.
fn naive(bytes: &[u8]) -> Option<Vec<Row>> {
    let rows: Option<Vec<Row>> = records(bytes).into_iter().map(row).collect();
    rows.filter(|rows| !rows.is_empty())
}

fn row(fields: Vec<Vec<u8>>) -> Option<Row> {
    let fields: Vec<String> =
        fields.into_iter().map(String::from_utf8).collect::<Result<_, _>>().ok()?;
    let [start, end, asn, organisation] = <[String; 4]>::try_from(fields).ok()?;
    let (start, end): (IpAddr, IpAddr) = (start.parse().ok()?, end.parse().ok()?);
    if start.is_ipv4() != end.is_ipv4() || start > end || organisation.contains(['\n', '\r']) {
        return None;
    }
    let digits = !asn.is_empty() && asn.bytes().all(|byte| byte.is_ascii_digit());
    let asn = asn.parse().ok().filter(|_| digits)?;
    Some(Row { start, end, asn, organisation })
}

/// Splits into records and fields as RFC 4180 says. A record ends with `\n`, `\r` or both. Only a
/// quote at the beginning of a field quotes.
fn records(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    let mut fields = Vec::new();
    let mut field = Vec::new();
    let mut quoted = false;
    // Whether the record has begun: an empty line is not a record.
    let mut begun = false;
    let mut at_start = true;
    let mut input = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).iter().copied().peekable();
    while let Some(byte) = input.next() {
        match byte {
            b'"' if quoted => match input.peek() {
                Some(b'"') => {
                    input.next();
                    field.push(b'"');
                }
                _ => quoted = false,
            },
            _ if quoted => field.push(byte),
            b'"' if at_start => {
                (quoted, begun, at_start) = (true, true, false);
            }
            b',' => {
                fields.push(std::mem::take(&mut field));
                (begun, at_start) = (true, true);
            }
            b'\n' | b'\r' => {
                if begun {
                    fields.push(std::mem::take(&mut field));
                    all.push(std::mem::take(&mut fields));
                }
                (begun, at_start) = (false, true);
            }
            _ => {
                field.push(byte);
                (begun, at_start) = (true, false);
            }
        }
    }
    if begun {
        fields.push(field);
        all.push(fields);
    }
    all
}

fn written(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let Row { start, end, asn, organisation } = row;
        let organisation = organisation.replace('"', "\"\"");
        format!("{start},{end},{asn},\"{organisation}\"\n")
    };
    rows.iter().map(line).collect()
}

/// Returns the narrowest row that holds `address`; of equally wide rows the last.
fn scan(rows: &[Row], address: IpAddr) -> Option<Network<'_>> {
    rows.iter()
        .rev()
        .filter(|row| row.start.is_ipv4() == address.is_ipv4())
        .filter(|row| row.start <= address && address <= row.end)
        .min_by_key(|row| bits(row.end) - bits(row.start))
        .map(|row| Network {
            start: row.start,
            end: row.end,
            asn: row.asn,
            organisation: &row.organisation,
        })
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn neighbours(address: IpAddr) -> [IpAddr; 3] {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            [bits.saturating_sub(1), bits, bits.saturating_add(1)]
                .map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [bits.saturating_sub(1), bits, bits.saturating_add(1)]
                .map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}

/// Checks lookups on both sides of every edge, and the figures.
fn agree(table: &Table, rows: &[Row]) {
    for edge in rows.iter().flat_map(|row| [row.start, row.end]) {
        for address in neighbours(edge) {
            assert_eq!(table.lookup(address), scan(rows, address), "{address}");
        }
    }
    let distinct: Vec<&Row> = (0..rows.len())
        .filter(|&at| !rows[at + 1..].contains(&rows[at]))
        .map(|at| &rows[at])
        .collect();
    let summary = table.summary();
    let ipv4 = distinct.iter().filter(|row| row.start.is_ipv4()).count();
    assert_eq!(summary.rows, rows.len() as u64);
    assert_eq!(summary.ipv4_networks, ipv4);
    assert_eq!(summary.ipv6_networks, distinct.len() - ipv4);
    assert_eq!(summary.duplicates, (rows.len() - distinct.len()) as u64);
    let overlap = |a: &Row, b: &Row| {
        a.start.is_ipv4() == b.start.is_ipv4() && a.start <= b.end && b.start <= a.end
    };
    let pairs = (0..distinct.len())
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .filter(|&(a, b)| overlap(distinct[a], distinct[b]))
        .count();
    assert_eq!(summary.overlapping_pairs, pairs as u64);
    let mut names: Vec<&str> = rows.iter().map(|row| &*row.organisation).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(summary.organisations, names.len());
}

fn same_summary(a: &Table, b: &Table) -> bool {
    let (a, b) = (a.summary(), b.summary());
    (a.rows, a.ipv4_networks, a.ipv6_networks, a.organisations)
        == (b.rows, b.ipv4_networks, b.ipv6_networks, b.organisations)
        && (a.duplicates, a.overlapping_pairs, a.overlapping_places)
            == (b.duplicates, b.overlapping_pairs, b.overlapping_places)
}
