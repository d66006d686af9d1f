//! A table: the network that owns each address.
//!
//! A [`Table`] never changes. A reload makes another table, and exchanges the two in the `RcuCell`
//! of the table in use.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::ranges::{Key, Ranges, Row};

/// A network in an answer: the range of addresses in the file, and the organisation that announces
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Network<'a> {
    pub(crate) start: IpAddr,
    pub(crate) end: IpAddr,
    pub(crate) asn: u32,
    pub(crate) organisation: &'a str,
}

/// The figures of a table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The number of rows in all files.
    pub(crate) rows: u64,
    /// The number of distinct networks: rows without duplicates.
    pub(crate) ipv4_networks: usize,
    pub(crate) ipv6_networks: usize,
    pub(crate) organisations: usize,
    /// Rows that repeat another row in range, number and name.
    pub(crate) duplicates: u64,
    /// Pairs of networks that share addresses. The narrower network of a pair answers for them.
    pub(crate) overlapping_pairs: u64,
    /// The number of groups of these pairs: networks that a chain of overlaps joins are in one
    /// group.
    pub(crate) overlapping_places: u64,
    /// The memory of the table, without the allocator's own memory.
    pub(crate) bytes: usize,
    /// The time from opening the first file until the table is ready.
    pub(crate) load_ms: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows, {} IPv4 and {} IPv6 networks of {} organisations, {} duplicates, \
             overlaps in {} places ({} pairs of networks), loaded in {:.1} ms",
            self.rows,
            self.ipv4_networks,
            self.ipv6_networks,
            self.organisations,
            self.duplicates,
            self.overlapping_places,
            self.overlapping_pairs,
            self.load_ms,
        )
    }
}

/// A version of the table.
#[derive(Debug)]
pub(crate) struct Table {
    version: u64,
    ipv4: Ranges<u32>,
    ipv6: Ranges<u128>,
    /// The names of the organisations, each one once.
    organisations: Box<[Box<str>]>,
    summary: Summary,
}

impl Table {
    /// Returns the narrowest network that holds `address`.
    pub(crate) fn lookup(&self, address: IpAddr) -> Option<Network<'_>> {
        match address {
            IpAddr::V4(address) => {
                let row = self.ipv4.find(address.to_bits())?;
                Some(self.network(row, |bits| Ipv4Addr::from_bits(bits).into()))
            }
            IpAddr::V6(address) => {
                let row = self.ipv6.find(address.to_bits())?;
                Some(self.network(row, |bits| Ipv6Addr::from_bits(bits).into()))
            }
        }
    }

    /// Returns the version: 1 for the first table, and one more for each replacement.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    fn network<K: Key>(&self, row: &Row<K>, address: impl Fn(K) -> IpAddr) -> Network<'_> {
        Network {
            start: address(row.start),
            end: address(row.end),
            asn: row.asn,
            organisation: &self.organisations[row.organisation as usize],
        }
    }
}

/// Two addresses of one family, of which the first is not above the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

/// An error: the table has more rows than a row number can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyRows;

/// A builder that collects the rows of all files and makes a [`Table`].
#[derive(Debug)]
pub(crate) struct TableBuilder {
    version: u64,
    began: Instant,
    rows: u32,
    ipv4: Vec<Row<u32>>,
    ipv6: Vec<Row<u128>>,
    organisations: HashMap<Box<str>, u32>,
}

impl TableBuilder {
    /// Begins the table of this version. The loading time counts from here.
    pub(crate) fn new(version: u64) -> Self {
        Self {
            version,
            began: Instant::now(),
            rows: 0,
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            organisations: HashMap::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        range: Range,
        asn: u32,
        organisation: &str,
    ) -> Result<(), TooManyRows> {
        let order = self.rows;
        self.rows = order.checked_add(1).ok_or(TooManyRows)?;
        let organisation = self.intern(organisation);
        match range {
            Range::V4(start, end) => self.ipv4.push(Row {
                start: start.to_bits(),
                end: end.to_bits(),
                asn,
                organisation,
                order,
            }),
            Range::V6(start, end) => self.ipv6.push(Row {
                start: start.to_bits(),
                end: end.to_bits(),
                asn,
                organisation,
                order,
            }),
        }
        Ok(())
    }

    pub(crate) fn build(self) -> Table {
        let (ipv4, irregular4) = Ranges::new(self.ipv4);
        let (ipv6, irregular6) = Ranges::new(self.ipv6);
        let mut numbered: Vec<(u32, Box<str>)> =
            self.organisations.into_iter().map(|(name, number)| (number, name)).collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        let organisations: Box<[Box<str>]> = numbered.into_iter().map(|(_, name)| name).collect();

        let names: usize = organisations.iter().map(|name| name.len()).sum();
        let summary = Summary {
            rows: self.rows.into(),
            ipv4_networks: ipv4.len(),
            ipv6_networks: ipv6.len(),
            organisations: organisations.len(),
            duplicates: irregular4.duplicates + irregular6.duplicates,
            overlapping_pairs: irregular4.overlapping_pairs + irregular6.overlapping_pairs,
            overlapping_places: irregular4.overlapping_places + irregular6.overlapping_places,
            bytes: ipv4.bytes() + ipv6.bytes() + size_of_val(&*organisations) + names,
            load_ms: milliseconds(self.began.elapsed()),
        };
        Table { version: self.version, ipv4, ipv6, organisations, summary }
    }

    /// Returns the index of `name` in the pool. There are no more names than rows, so a `u32` is
    /// enough.
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(number) = self.organisations.get(name) {
            return *number;
        }
        let number = self.organisations.len() as u32;
        self.organisations.insert(name.into(), number);
        number
    }
}

/// Returns `time` in milliseconds, to the microsecond.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests;
