use super::*;
use crate::parse;

const BUILTIN: &str = include_str!("../builtin.csv");

struct Naive {
    start: IpAddr,
    end: IpAddr,
    asn: u32,
    organisation: String,
}

impl Naive {
    fn width(&self) -> u128 {
        let bits = |address| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        bits(self.end) - bits(self.start)
    }
}

/// Reads the rows with another parser.
fn naive(text: &str) -> Vec<Naive> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes())
        .deserialize()
        .map(|row| {
            let (start, end, asn, organisation) = row.expect("a row");
            Naive { start, end, asn, organisation }
        })
        .collect()
}

/// Returns the narrowest row that holds `address`, the last one of equally wide rows.
fn scan(rows: &[Naive], address: IpAddr) -> Option<Network<'_>> {
    rows.iter()
        .rev()
        .filter(|row| row.start.is_ipv4() == address.is_ipv4())
        .filter(|row| row.start <= address && address <= row.end)
        .min_by_key(|row| row.width())
        .map(|row| Network {
            start: row.start,
            end: row.end,
            asn: row.asn,
            organisation: &row.organisation,
        })
}

fn neighbours(address: IpAddr) -> [IpAddr; 3] {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            [bits.saturating_sub(1), bits, bits.saturating_add(1)]
                .map(|b| Ipv4Addr::from_bits(b).into())
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [bits.saturating_sub(1), bits, bits.saturating_add(1)]
                .map(|b| Ipv6Addr::from_bits(b).into())
        }
    }
}

fn load(text: &str) -> Table {
    let mut table = TableBuilder::new(7);
    parse::read("test", text.as_bytes(), &mut table).expect("a table");
    table.build()
}

#[track_caller]
fn agrees_with_a_scan(text: &str) {
    let rows = naive(text);
    let table = load(text);
    for edge in rows.iter().flat_map(|row| [row.start, row.end]) {
        for address in neighbours(edge) {
            assert_eq!(table.lookup(address), scan(&rows, address), "{address}");
        }
    }
}

#[test]
fn the_builtin_table_agrees_with_a_scan() {
    agrees_with_a_scan(BUILTIN);
}

#[test]
fn overlapping_ipv6_ranges_agree_with_a_scan() {
    agrees_with_a_scan(
        "2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,1,outer\n\
         2001:db8:1::,2001:db8:1:ffff:ffff:ffff:ffff:ffff,2,nested\n\
         2001:db8:1:8000::,2001:db8:2::,3,across\n\
         2001:db8:1::,2001:db8:1:ffff:ffff:ffff:ffff:ffff,4,nested again\n\
         ::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,5,all\n\
         1.0.0.0,1.0.0.255,6,another family\n",
    );
}

#[test]
fn the_builtin_table_is_what_its_summary_says() {
    let table = load(BUILTIN);
    assert_eq!(table.version(), 7);
    let summary = table.summary();
    assert_eq!(summary.rows as usize, BUILTIN.lines().count());
    assert_eq!(summary.ipv4_networks + summary.ipv6_networks, summary.rows as usize);
    assert_eq!(summary.duplicates, 0);
    assert_eq!(summary.overlapping_pairs, 1);
    assert_eq!(summary.overlapping_places, 1);
}

#[test]
fn the_builtin_table_knows_the_well_known() {
    let table = load(BUILTIN);
    for (ip, asn, organisation) in [
        ("1.1.1.1", 13335, "Cloudflare, Inc."),
        ("8.8.8.8", 15169, "Google LLC"),
        ("9.9.9.9", 19281, "Quad9"),
        ("2606:4700::1111", 13335, "Cloudflare, Inc."),
        ("2001:4860:4860::8888", 15169, "Google LLC"),
        ("2.26.200.1", 201907, "LLC \"SPUTNIK\""),
        // The wider range 214.95.0.0-215.0.255.255 holds this address too.
        ("215.0.1.1", 721, "DoD Network Information Center"),
    ] {
        let network = table.lookup(ip.parse().expect("an address")).expect(ip);
        assert_eq!((network.asn, network.organisation), (asn, organisation));
    }
    for ip in ["10.0.0.1", "127.0.0.1", "fe80::1", "::1"] {
        assert_eq!(table.lookup(ip.parse().expect("an address")), None);
    }
}

#[test]
fn a_repeated_file_is_all_duplicates() {
    let mut table = TableBuilder::new(1);
    for name in ["one", "two"] {
        parse::read(name, BUILTIN.as_bytes(), &mut table).expect("a table");
    }
    let (twice, once) = (table.build(), load(BUILTIN));
    let (twice, once) = (twice.summary(), once.summary());
    assert_eq!(twice.rows, 2 * once.rows);
    assert_eq!(twice.duplicates, once.rows);
    assert_eq!(twice.ipv4_networks, once.ipv4_networks);
    assert_eq!(twice.ipv6_networks, once.ipv6_networks);
    assert_eq!(twice.overlapping_pairs, once.overlapping_pairs);
}
