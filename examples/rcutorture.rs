//! Torture and performance test: `cargo run --release --example rcutorture -- 4 stress 10`.
//!
//! The model is the `rcutorture` that McKenney wrote for Linux; the arguments have the same order:
//! how many, which mode, how many seconds. `rperf`, `uperf` and `perf` measure. `stress` and
//! `async` look for errors, on every kind of executor and with every way to read and to wait. The
//! report at the end explains its figures. The exit status is 1 if the run found an error.
//!
//! The torture finds errors much sooner if threads stop in the library's critical windows:
//! `RUSTFLAGS="--cfg rcu_delays" cargo run --release --target-dir target/delays --example
//! rcutorture -- 4 stress 10`.

#[path = "rcutorture/mod.rs"]
mod rcutorture;

use clap::Parser;
use rcutorture::args::{Args, BarrierArg};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    set_environment(&args);
    match rcutorture::run(args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("rcutorture: {error}");
            ExitCode::from(2)
        }
    }
}

/// Sets the variables that the library reads. `main` calls it before it starts threads or calls
/// the library.
fn set_environment(args: &Args) {
    let set = |name: &str, value: &str| {
        // SAFETY: the process has no other thread yet.
        unsafe { std::env::set_var(name, value) }
    };
    set("ASYNC_RCU_DELAY_SEED", &args.seed.to_string());
    match args.barrier {
        BarrierArg::Auto => {}
        BarrierArg::Fence => set("ASYNC_RCU_BARRIER", "fence"),
        // SAFETY: as above.
        BarrierArg::Membarrier => unsafe { std::env::remove_var("ASYNC_RCU_BARRIER") },
    }
}
