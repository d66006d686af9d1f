//! async-rcu compared with other libraries: the same work, in turn, in one process.
//!
//! ```text
//! cargo run --release                      everything: rows, reload, memory
//! cargo run --release -- --list            the names of the rows
//! cargo run --release -- --filter read     the rows with `read` in their name
//! cargo run --release -- --json FILE --svg FILE
//! cargo run --release -- --redraw FILE --filter 'read, 2 threads' --svg FILE
//! ```

mod bench;
mod chart;
#[path = "../../all/common.rs"]
mod common;
mod memory;
mod probe;
mod reload;
mod report;
mod rows;
mod urcu;

use clap::{Parser, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    about = "async-rcu compared with other libraries: the same work, in turn, in one process"
)]
struct Options {
    /// Rounds over all candidates of a row; the medians are over these rounds.
    #[arg(
        long,
        global = true,
        default_value_t = 11,
        value_parser = clap::value_parser!(u16).range(1..),
    )]
    rounds: u16,
    /// Run only the rows whose name contains this text; may be given several times.
    #[arg(long, global = true)]
    filter: Vec<String>,
    /// Print the names of the rows, and measure nothing.
    #[arg(long)]
    list: bool,
    /// Write all figures to this file.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    /// Draw the rows into this SVG file.
    #[arg(long, global = true)]
    svg: Option<PathBuf>,
    /// Draw the figures of this file, which --json wrote, and measure nothing.
    #[arg(long, requires = "svg", conflicts_with = "json")]
    redraw: Option<PathBuf>,
    /// Run one part only. Without it all three run, or with --filter only the rows.
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand, PartialEq)]
enum Part {
    /// One operation after another, each compared with other libraries.
    Rows,
    /// The tail of a read while a large table is replaced.
    Reload,
    /// The memory of threads, guards and callbacks.
    Memory,
    /// A figure that needs a process of its own.
    #[command(hide = true)]
    Probe { what: String },
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(Part::Probe { what }) = &options.part {
        let answer = rows::idle::answer(what).or_else(|| memory::answer(what));
        let figures = answer.ok_or_else(|| format!("there is no probe {what}"))??;
        let figures: Vec<_> = figures.iter().map(f64::to_string).collect();
        println!("{}", figures.join(" "));
        return Ok(());
    }
    let wanted = |name: &str| {
        options.filter.is_empty() || options.filter.iter().any(|part| name.contains(part.as_str()))
    };
    let entries: Vec<_> = rows::all().into_iter().filter(|entry| wanted(entry.name)).collect();
    if options.list {
        for entry in entries {
            println!("{}\n    {}", entry.name, entry.about);
        }
        return Ok(());
    }
    if let Some(path) = &options.redraw {
        let rows = report::read(path, entries)?;
        return draw(options, &rows);
    }
    let chosen = |part: Part| match &options.part {
        Some(one) => *one == part,
        None => part == Part::Rows || options.filter.is_empty(),
    };
    let rounds = usize::from(options.rounds);
    let mut all = json!({ "machine": report::header(rounds) });
    let mut measured = Vec::new();
    if chosen(Part::Rows) {
        if entries.is_empty() {
            return Err("no row matches --filter; --list shows the names of the rows".to_owned());
        }
        println!("## Rows");
        println!();
        for entry in entries {
            eprintln!("{} ..", entry.name);
            let row = bench::measure(entry, rounds);
            report::print(&row);
            measured.push(row);
        }
        all["rows"] = report::json(&measured);
    }
    if chosen(Part::Reload) {
        all["reload"] = reload::run(rounds.min(3));
    }
    if chosen(Part::Memory) {
        all["memory"] = memory::run();
    }
    if let Some(path) = &options.json {
        let text = format!("{all:#}\n");
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    draw(options, &measured)
}

fn draw(options: &Options, rows: &[bench::Measured]) -> Result<(), String> {
    let Some(path) = &options.svg else {
        return Ok(());
    };
    if rows.is_empty() {
        return Err("--svg needs rows to draw, but no row was measured".to_owned());
    }
    chart::draw(path, rows).map_err(|error| format!("{}: {error}", path.display()))
}
