use super::*;
use crate::table::{Network, Table};

fn parse(text: impl AsRef<[u8]>) -> Result<Table, LoadError> {
    let mut table = TableBuilder::new(1);
    read("t.csv", text.as_ref(), &mut table)?;
    Ok(table.build())
}

#[track_caller]
fn lookup<'a>(table: &'a Table, ip: &str) -> Option<Network<'a>> {
    table.lookup(ip.parse().expect("an address"))
}

/// Checks that `text` is refused with this message.
#[track_caller]
fn refused(text: impl AsRef<[u8]>, message: &str) {
    let error = parse(text).expect_err("refused");
    assert_eq!(error.to_string(), message);
}

#[test]
fn both_families_stand_in_one_file() {
    let table = parse(
        "1.1.1.0,1.1.1.255,13335,\"Cloudflare, Inc.\"\n\
         2606:4700::,2606:4700:1:ffff:ffff:ffff:ffff:ffff,13335,\"Cloudflare, Inc.\"\n",
    )
    .expect("a table");
    let network = lookup(&table, "1.1.1.1").expect("a network");
    assert_eq!(network.start.to_string(), "1.1.1.0");
    assert_eq!(network.end.to_string(), "1.1.1.255");
    assert_eq!(network.asn, 13335);
    assert_eq!(network.organisation, "Cloudflare, Inc.");
    let network = lookup(&table, "2606:4700::1111").expect("a network");
    assert_eq!(network.end.to_string(), "2606:4700:1:ffff:ffff:ffff:ffff:ffff");
    let summary = table.summary();
    assert_eq!((summary.rows, summary.organisations), (2, 1));
    assert_eq!((summary.ipv4_networks, summary.ipv6_networks), (1, 1));
}

#[test]
fn quotes_hold_commas_and_doubled_quotes() {
    let table = parse(
        "1.0.0.0,1.0.0.0,1,\"LLC \"\"SPUTNIK\"\"\"\n\
         1.0.0.1,1.0.0.1,2,\"\"\"Bezeq\"\", Ltd.\"\n\
         \"1.0.0.2\",\"1.0.0.2\",\"3\",\"\"\n",
    )
    .expect("a table");
    let name = |ip| lookup(&table, ip).expect("a network").organisation;
    assert_eq!(name("1.0.0.0"), "LLC \"SPUTNIK\"");
    assert_eq!(name("1.0.0.1"), "\"Bezeq\", Ltd.");
    assert_eq!(name("1.0.0.2"), "");
}

#[test]
fn names_are_utf8() {
    let table = parse("1.0.0.0,1.0.0.255,1,Universität Zürich\n").expect("a table");
    let network = lookup(&table, "1.0.0.9").expect("a network");
    assert_eq!(network.organisation, "Universität Zürich");
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_matter() {
    for text in [
        "1.0.0.0,1.0.0.1,1,a\r\n1.0.0.2,1.0.0.3,2,b\r\n",
        "1.0.0.0,1.0.0.1,1,a\n1.0.0.2,1.0.0.3,2,b",
        "\u{feff}1.0.0.0,1.0.0.1,1,a\n\n1.0.0.2,1.0.0.3,2,b\n\n",
    ] {
        let table = parse(text).expect("a table");
        assert_eq!(table.summary().rows, 2);
        assert_eq!(lookup(&table, "1.0.0.1").expect("a").organisation, "a");
        assert_eq!(lookup(&table, "1.0.0.3").expect("b").organisation, "b");
    }
}

#[test]
fn a_byte_order_mark_may_be_split_over_pieces_of_the_reader() {
    let texts = ["1.0.0.0,1.0.0.1,1,a\n", "\n\u{ff},1\n", "\u{feff}1.0.0.0,", ""];
    for text in texts.map(|text| format!("\u{feff}{text}")) {
        for size in 1..5 {
            let pieces = std::io::BufReader::with_capacity(size, text.as_bytes());
            let mut table = TableBuilder::new(1);
            let in_pieces = read("t.csv", pieces, &mut table).map(|()| table.build());
            let summary = |table: Table| table.summary().rows;
            assert_eq!(in_pieces.map(summary), parse(&text).map(summary), "{text:?} by {size}");
        }
    }
}

#[test]
fn first_and_last_addresses_of_both_families() {
    let ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let table = parse(format!(
        "0.0.0.0,0.255.255.255,0,a\n\
         255.0.0.0,255.255.255.255,4294967295,b\n\
         ::,::ffff,1,c\n\
         ffff::,{ones},2,d\n"
    ))
    .expect("a table");
    let asn = |ip| lookup(&table, ip).map(|network| network.asn);
    assert_eq!(asn("0.0.0.0"), Some(0));
    assert_eq!(asn("1.0.0.0"), None);
    assert_eq!(asn("254.255.255.255"), None);
    assert_eq!(asn("255.255.255.255"), Some(u32::MAX));
    assert_eq!(asn("::"), Some(1));
    assert_eq!(asn("::1:0"), None);
    assert_eq!(asn("fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), None);
    assert_eq!(asn(ones), Some(2));
}

#[test]
fn a_bad_address_is_refused() {
    let good = "1.0.0.0,1.0.0.255,1,a\n";
    refused(
        format!("{good}1.0.1,1.0.1.255,1,a\n"),
        "t.csv, line 2: \"1.0.1\" is not an IP address",
    );
    refused(
        format!("{good}{good}1.0.1.0,1.0.1.256,1,a\n"),
        "t.csv, line 3: \"1.0.1.256\" is not an IP address",
    );
    refused(",1.0.1.0,1,a\n", "t.csv, line 1: \"\" is not an IP address");
    refused(" 1.0.0.0,1.0.1.0,1,a\n", "t.csv, line 1: \" 1.0.0.0\" is not an IP address");
    refused("16777216,16777471,1,a\n", "t.csv, line 1: \"16777216\" is not an IP address");
    let long = "x".repeat(1000);
    refused(
        format!("{long},1.0.0.0,1,a\n"),
        &format!("t.csv, line 1: \"{}\"... is not an IP address", &long[..60]),
    );
}

#[test]
fn a_reversed_range_is_refused() {
    refused(
        "1.0.0.1,1.0.0.0,1,a\n",
        "t.csv, line 1: the range is reversed: 1.0.0.1 is above 1.0.0.0",
    );
    refused("::1,::2,1,a\n::2,::1,1,a\n", "t.csv, line 2: the range is reversed: ::2 is above ::1");
}

#[test]
fn two_families_in_one_row_are_refused() {
    refused("::,1.0.0.0,1,a\n", "t.csv, line 1: :: and 1.0.0.0 are of different families");
    refused(
        "1.0.0.0,::ffff:1.0.0.1,1,a\n",
        "t.csv, line 1: 1.0.0.0 and ::ffff:1.0.0.1 are of different families",
    );
}

#[test]
fn a_bad_number_is_refused() {
    for asn in ["", "x", "-1", "+1", "1.5", "AS13335", "4294967296", " 1"] {
        refused(
            format!("1.0.0.0,1.0.0.255,{asn},a\n"),
            &format!("t.csv, line 1: {asn:?} is not an AS number (0 to 4294967295)"),
        );
    }
}

#[test]
fn a_wrong_number_of_fields_is_refused() {
    const A_ROW: &str =
        "a row has 4 fields (first address, last address, AS number, organisation), this row has";
    for (row, fields) in
        [("1.0.0.0", 1), ("1.0.0.0,1.0.0.255,1", 3), ("1.0.0.0,1.0.0.255,1,Cloudflare, Inc.", 5)]
    {
        refused(
            format!("1.0.0.0,1.0.0.255,1,a\n{row}\n"),
            &format!("t.csv, line 2: {A_ROW} {fields}"),
        );
    }
}

#[test]
fn bytes_that_are_no_utf8_are_refused() {
    refused(
        b"1.0.0.0,1.0.0.255,1,a\r\n1.0.1.0,1.0.1.255,1,Universit\xe4t\r\n",
        "t.csv, line 2: field 4 is not valid UTF-8",
    );
}

#[test]
fn an_open_quote_does_not_swallow_rows() {
    refused(
        "1.0.0.0,1.0.0.255,1,\"a\n1.0.1.0,1.0.1.255,1,b\n",
        "t.csv, line 2: the organisation spans several lines: is a quote left open?",
    );
}

#[test]
fn a_file_without_rows_is_refused() {
    refused("", "t.csv: the file has no rows");
    refused("\n\r\n\n", "t.csv: the file has no rows");
}

#[test]
fn the_line_is_right_after_empty_lines_and_with_any_line_end() {
    for (text, line) in [
        ("1.0.0.0,1.0.0.1,1,a\n\n\nbad\n", 4),
        ("1.0.0.0,1.0.0.1,1,a\r\n\r\n\r\nbad\r\n", 4),
        ("\n\nbad", 3),
    ] {
        let error = parse(text).expect_err("refused");
        assert_eq!(error.line, Some(line), "{text:?}");
    }
}

#[test]
fn an_error_of_the_disk_is_told() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let mut table = TableBuilder::new(1);
    let error = read("t.csv", io::BufReader::new(Broken), &mut table).expect_err("refused");
    assert_eq!(error.to_string(), "t.csv: cannot read: bad sector");
}
