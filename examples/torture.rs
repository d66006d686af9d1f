//! Reads and updates in every way there is, for as long as you like, on values that poison themselves when dropped.
//!
//! `cargo run --release --example torture -- --seconds 60`. The exit status is 1 where a reader saw a value that was gone,
//! or something was lost or freed twice. `tests/torture.rs` runs the same for two seconds.

#[path = "torture/mod.rs"]
mod torture;

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;

/// Torture for async-rcu: must end with no violations.
#[derive(Parser)]
struct Args {
    /// How long to run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Plain threads.
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// Tasks on a runtime.
    #[arg(long, default_value_t = 64)]
    tasks: usize,
    /// Workers of that runtime.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Of the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let report = torture::run(torture::Config {
        time: Duration::from_secs(args.seconds),
        threads: args.threads,
        tasks: args.tasks,
        workers: args.workers,
        seed: args.seed,
    });
    if args.json {
        let line = serde_json::json!({
            "seconds": report.time.as_secs_f64(),
            "reads": report.reads,
            "updates": report.updates,
            "grace_periods": report.grace_periods,
            "callbacks": report.callbacks,
            "values": report.values,
            "violations": report.violations,
        });
        println!("{line}");
    } else {
        println!("time           {:.1} s", report.time.as_secs_f64());
        println!("reads          {}", report.reads);
        println!("updates        {}", report.updates);
        println!("grace periods  {}", report.grace_periods);
        println!("callbacks      {}", report.callbacks);
        println!("values         {}", report.values);
        for violation in &report.violations {
            println!("VIOLATION      {violation}");
        }
        println!("violations     {}", report.violations.len());
    }
    match report.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
