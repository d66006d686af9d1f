//! The watchdog thread: it ends a run that hangs.

use super::run::Run;
use super::watch::TICK;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// How long the watchdog waits for the figures of a domain, which may hang too.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many findings the watchdog prints.
const PRINTED: usize = 20;

/// Starts the watchdog. The watchdog ends when the caller drops the sender. If the watchdog finds
/// a wait or a pipe that hangs, it prints what it knows, calls `on_hang` and ends.
pub(super) fn start(run: &Arc<Run>, on_hang: impl FnOnce() + Send + 'static) -> mpsc::Sender<()> {
    let (alive, ended) = mpsc::channel::<()>();
    let run = Arc::clone(run);
    thread::spawn(move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
            let found = run.watch.tick();
            if found.is_empty() {
                continue;
            }
            for what in found.iter().take(PRINTED) {
                eprintln!("rcutorture: {what}");
                run.board.report(what);
            }
            print_figures(&run);
            on_hang();
            return;
        }
    });
    alive
}

/// Prints the figures of the domains that still answer.
fn print_figures(run: &Run) {
    for pipe in run.watch.pipes() {
        let (send, told) = mpsc::channel();
        let name = pipe.name();
        thread::spawn(move || {
            // An error means that the answer came too late.
            let _ = send.send(pipe.stats());
        });
        match told.recv_timeout(PATIENCE) {
            Ok(stats) => eprintln!("rcutorture: domain {name}: {stats:#?}"),
            Err(_) => eprintln!(
                "rcutorture: domain {name} has not answered for {} s: a thread holds its lock",
                PATIENCE.as_secs()
            ),
        }
    }
}
