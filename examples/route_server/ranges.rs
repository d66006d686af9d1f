//! Ranges of addresses of one family, made disjoint for the search.
//!
//! Ranges of a table may overlap. Loading decides once which range answers for an address: the
//! narrowest range that holds the address, and of equally wide ranges the one that was read last.
//! So a lookup is one binary search.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub(crate) trait Key: Copy + Ord {
    /// Returns the address after this one, or `None` for the last one of the family.
    fn after(self) -> Option<Self>;
    /// Returns how many addresses `self` is above `start`. Of two ranges, the narrower one is the
    /// one whose end is less above its start.
    fn above(self, start: Self) -> Self;
}

impl Key for u32 {
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn above(self, start: Self) -> Self {
        self - start
    }
}

impl Key for u128 {
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn above(self, start: Self) -> Self {
        self - start
    }
}

/// A row of a table: a range with both ends included, and the system that announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<K> {
    pub(crate) start: K,
    pub(crate) end: K,
    pub(crate) asn: u32,
    /// The index of the organisation's name in the table's pool.
    pub(crate) organisation: u32,
    /// The number of the row, counted through all files of the table.
    pub(crate) order: u32,
}

/// Counts of repeated and overlapping rows of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Irregular {
    /// Rows that repeat another row in range, number and name. Only the last of them is kept.
    pub(crate) duplicates: u64,
    /// Pairs of kept rows that have at least one address in common.
    pub(crate) overlapping_pairs: u64,
    /// Groups of overlapping kept rows: rows that a chain of overlaps joins are in one group.
    pub(crate) overlapping_places: u64,
}

/// The rows of one family, and the disjoint segments that they form.
///
/// A segment ends where its row ends or where the next segment begins, whichever comes first. Every
/// address of a row is in some segment, so only another segment can cut the row short, and a
/// segment needs no end of its own.
#[derive(Debug)]
pub(crate) struct Ranges<K> {
    rows: Box<[Row<K>]>,
    /// The beginning of each segment, in order.
    starts: Box<[K]>,
    /// The row that owns each segment.
    owners: Box<[u32]>,
}

impl<K: Key> Ranges<K> {
    /// Sorts `rows`, drops repeated rows, and resolves overlaps. The callers pass fewer than 2^32
    /// rows, and no range is reversed.
    pub(crate) fn new(mut rows: Vec<Row<K>>) -> (Self, Irregular) {
        let read = rows.len();
        rows.sort_unstable_by_key(|row| (row.start, row.end, row.asn, row.organisation, row.order));
        rows.dedup_by(|row, kept| {
            let same = (row.start, row.end, row.asn, row.organisation)
                == (kept.start, kept.end, kept.asn, kept.organisation);
            if same {
                kept.order = row.order;
            }
            same
        });

        let irregular = Irregular {
            duplicates: (read - rows.len()) as u64,
            overlapping_pairs: overlapping_pairs(&rows),
            overlapping_places: overlapping_places(&rows),
        };
        let (starts, owners) = segments(&rows);
        let ranges = Self {
            rows: rows.into_boxed_slice(),
            starts: starts.into_boxed_slice(),
            owners: owners.into_boxed_slice(),
        };
        (ranges, irregular)
    }

    /// Returns the number of networks.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.rows) + size_of_val(&*self.starts) + size_of_val(&*self.owners)
    }

    /// Returns the narrowest range that holds `address`.
    pub(crate) fn find(&self, address: K) -> Option<&Row<K>> {
        let above = self.starts.partition_point(|start| *start <= address);
        let segment = above.checked_sub(1)?;
        let row = &self.rows[self.owners[segment] as usize];
        (address <= row.end).then_some(row)
    }
}

/// Sweeps over the rows, sorted by their starts, and notes each address from which on another row
/// is the narrowest.
fn segments<K: Key>(rows: &[Row<K>]) -> (Vec<K>, Vec<u32>) {
    let mut starts = Vec::with_capacity(rows.len());
    let mut owners = Vec::with_capacity(rows.len());
    // The rows that have begun, with the narrowest on top. Rows that have ended are removed when
    // they reach the top.
    let mut begun = BinaryHeap::new();
    let mut coming = (0u32..).zip(rows).peekable();
    let mut place = rows.first().map(|row| row.start);

    while let Some(at) = place {
        while let Some((index, row)) = coming.next_if(|(_, row)| row.start == at) {
            begun.push((Reverse(row.end.above(row.start)), row.order, index));
        }
        let narrowest = loop {
            let Some(&(_, _, index)) = begun.peek() else {
                break None;
            };
            if rows[index as usize].end >= at {
                break Some(index);
            }
            begun.pop();
        };

        let next_start = coming.peek().map(|(_, row)| row.start);
        place = match narrowest {
            None => next_start,
            Some(index) => {
                if owners.last() != Some(&index) {
                    starts.push(at);
                    owners.push(index);
                }
                let next_free = rows[index as usize].end.after();
                next_start.into_iter().chain(next_free).min()
            }
        };
    }
    (starts, owners)
}

/// Counts the overlaps. Each row overlaps all rows before it (by start), except those that end
/// below its start.
fn overlapping_pairs<K: Key>(rows: &[Row<K>]) -> u64 {
    let mut ends: Vec<K> = rows.iter().map(|row| row.end).collect();
    ends.sort_unstable();
    let mut ended = 0;
    let mut pairs = 0;
    for (before, row) in rows.iter().enumerate() {
        while ends[ended] < row.start {
            ended += 1;
        }
        pairs += (before - ended) as u64;
    }
    pairs
}

fn overlapping_places<K: Key>(rows: &[Row<K>]) -> u64 {
    let mut places = 0;
    let mut in_place = false;
    let mut reach = None;
    for row in rows {
        let overlaps = reach.is_some_and(|reach| row.start <= reach);
        if overlaps && !in_place {
            places += 1;
        }
        in_place = overlaps;
        reach = reach.max(Some(row.end));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes rows from (start, end), numbered in this order. The AS number is the index too.
    fn rows(ranges: &[(u32, u32)]) -> Vec<Row<u32>> {
        (0..)
            .zip(ranges)
            .map(|(order, &(start, end))| Row { start, end, asn: order, organisation: 0, order })
            .collect()
    }

    /// Finds as [`Ranges::find`] must: the narrowest row that holds the address, the last one of
    /// equally wide rows.
    fn scan(rows: &[Row<u32>], address: u32) -> Option<u32> {
        rows.iter()
            .filter(|row| row.start <= address && address <= row.end)
            .min_by_key(|row| (row.end - row.start, Reverse(row.order)))
            .map(|row| row.asn)
    }

    #[track_caller]
    fn check(ranges: &[(u32, u32)], pairs: u64, places: u64) {
        let rows = rows(ranges);
        let (table, irregular) = Ranges::new(rows.clone());
        assert_eq!(
            irregular,
            Irregular { duplicates: 0, overlapping_pairs: pairs, overlapping_places: places }
        );
        let edges = ranges.iter().flat_map(|&(start, end)| [start, end]);
        for edge in edges.chain([0, u32::MAX]) {
            for address in [edge.saturating_sub(1), edge, edge.saturating_add(1)] {
                assert_eq!(
                    table.find(address).map(|row| row.asn),
                    scan(&rows, address),
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_found_in_no_rows() {
        check(&[], 0, 0);
    }

    #[test]
    fn adjacent_ranges_do_not_overlap() {
        check(&[(10, 19), (20, 29), (40, 40), (41, 41)], 0, 0);
    }

    #[test]
    fn ranges_may_reach_both_ends_of_the_family() {
        check(&[(0, u32::MAX)], 0, 0);
        check(&[(0, 0), (u32::MAX, u32::MAX)], 0, 0);
        check(&[(0, u32::MAX), (u32::MAX, u32::MAX), (0, 0)], 2, 1);
        check(&[(u32::MAX - 9, u32::MAX), (u32::MAX - 99, u32::MAX)], 1, 1);
    }

    #[test]
    fn a_nested_range_answers_and_the_outer_one_goes_on_after_it() {
        check(&[(10, 99), (20, 29)], 1, 1);
        check(&[(10, 99), (20, 59), (30, 39), (70, 79)], 4, 1);
        check(&[(10, 99), (10, 19), (90, 99)], 2, 1);
    }

    #[test]
    fn of_partly_overlapping_ranges_the_narrower_one_answers() {
        check(&[(10, 59), (50, 69)], 1, 1);
        check(&[(10, 29), (20, 99)], 1, 1);
        check(&[(10, 29), (20, 39), (30, 49), (60, 79), (70, 89)], 3, 2);
    }

    #[test]
    fn of_equal_ranges_the_one_read_last_answers() {
        check(&[(10, 19), (10, 19), (10, 19)], 3, 1);
        let (table, _) = Ranges::new(rows(&[(10, 19), (10, 19)]));
        assert_eq!(table.find(15).map(|row| row.asn), Some(1));
    }

    #[test]
    fn a_repeated_row_is_a_duplicate_and_no_overlap() {
        // The first row is repeated after a rival, and the repetition counts.
        let mut all = rows(&[(10, 19), (10, 19), (10, 19), (5, 7), (5, 7)]);
        all[2].asn = 0;
        all[4].asn = 3;
        let (table, irregular) = Ranges::new(all);
        assert_eq!(
            irregular,
            Irregular { duplicates: 2, overlapping_pairs: 1, overlapping_places: 1 }
        );
        assert_eq!(table.len(), 3);
        assert_eq!(table.find(15).map(|row| row.asn), Some(0));
    }

    #[test]
    fn random_ranges_agree_with_a_scan() {
        // A xorshift generator makes the same ranges in every run.
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below) as u32
        };
        for _ in 0..300 {
            let ranges: Vec<(u32, u32)> = (0..random(40))
                .map(|_| {
                    let start = random(200);
                    (start, start + random(30))
                })
                .collect();
            let rows = rows(&ranges);
            let (table, irregular) = Ranges::new(rows.clone());
            assert_eq!(irregular.duplicates, 0);
            let pairs = (0..ranges.len())
                .flat_map(|a| (0..a).map(move |b| (a, b)))
                .filter(|&(a, b)| ranges[a].0 <= ranges[b].1 && ranges[b].0 <= ranges[a].1)
                .count();
            assert_eq!(irregular.overlapping_pairs, pairs as u64);
            for address in 0..240 {
                let found = table.find(address).map(|row| row.asn);
                assert_eq!(found, scan(&rows, address), "{address} in {ranges:?}");
            }
        }
    }
}
