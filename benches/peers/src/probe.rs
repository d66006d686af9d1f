//! Figures that need a process of their own. The process runs this program with the hidden
//! subcommand `probe NAME`, which prints numbers separated by spaces.
//!
//! The answers are in [`memory`](crate::memory) and [`rows::idle`](crate::rows::idle).

use std::process::{Command, Stdio};

/// Starts a process for the probe `what` and returns its figures. If the process fails, returns
/// `None` and leaves the reason on stderr.
pub(crate) fn probe(what: &str) -> Option<Vec<f64>> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program)
        .args(["probe", what])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    if !output.status.success() {
        eprintln!("peers: the process for probe {what} failed: {}", output.status);
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().map(|number| number.parse().ok()).collect()
}
