//! Telling: reports to a tracing subscriber or to standard error, which are foreign and may block.
//!
//! # Protocol
//! A report is told by a thread of its own, the *teller*, which starts with the first report of a
//! row and ends with the last. The thread that reports waits until its report is told, so that
//! reports mostly come before what follows them. It waits for [`PATIENCE`] at most. After that,
//! the teller counts as stuck: reports are queued without a wait, and from a certain number on they
//! are only counted. A teller that is no longer stuck tells the queued ones and the number of the
//! lost ones. If the system refuses the thread, the reporting thread tells the report itself.
//!
//! A forked child has no teller. There, a report that the parent has queued is the parent's.

use super::event::Event;
use super::gate;
use super::prim::{Mutex, statics};
use super::stderr;
use super::thread;
use super::unwind::{or_abort, quietly};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for a report to be told.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most reports that wait for a stuck teller.
const QUEUED: usize = 256;

struct Report {
    tell: Box<dyn FnOnce() + Send>,
    told: Arc<Event>,
}

struct Teller {
    reports: VecDeque<Report>,
    /// The number of forks before the teller started. `None`: there is no teller.
    running: Option<usize>,
    stuck: bool,
    lost: u64,
}

statics! {
    static TELLER: Mutex<Teller> = Mutex::new(Teller {
        reports: VecDeque::new(),
        running: None,
        stuck: false,
        lost: 0,
    });
}

/// Tells a report: calls `tell` on another thread, and waits for it, but not for long.
pub(crate) fn tell(tell: impl FnOnce() + Send + 'static) {
    let told = Arc::new(Event::new());
    let report = Report { tell: Box::new(tell), told: Arc::clone(&told) };
    let mut teller = TELLER.lock();
    let forks = gate::forks();
    if teller.running.is_some_and(|since| since != forks) {
        *teller = Teller { reports: VecDeque::new(), running: None, stuck: false, lost: 0 };
    }
    if teller.stuck && teller.reports.len() >= QUEUED {
        teller.lost += 1;
        return;
    }
    teller.reports.push_back(report);
    if teller.running.is_none() {
        // The lock is held meanwhile, so that no fork comes between.
        match thread::spawn("rcu-tell".to_owned(), None, || or_abort(run)) {
            Ok(_) => teller.running = Some(forks),
            Err(_) => {
                let own = teller.reports.pop_back();
                drop(teller);
                own.into_iter().for_each(|report| _ = quietly(report.tell));
                return;
            }
        }
    }
    let stuck = teller.stuck;
    drop(teller);
    if !stuck && !told.wait(Some(PATIENCE)) {
        let mut teller = TELLER.lock();
        teller.stuck = teller.running.is_some();
    }
}

/// Tells reports until none is left.
fn run() {
    loop {
        let mut teller = TELLER.lock();
        let lost = match teller.stuck && teller.reports.len() < QUEUED / 2 {
            true => std::mem::take(&mut teller.lost),
            false => 0,
        };
        let Some(Report { tell, told }) = teller.reports.pop_front() else {
            teller.running = None;
            teller.stuck = false;
            return;
        };
        drop(teller);
        if lost != 0 {
            stderr::tell(format_args!(
                "{lost} reports were lost while earlier ones were not taken"
            ));
        }
        let _ = quietly(tell);
        told.set();
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_report_that_is_not_taken_holds_up_no_other_thread_and_later_ones_are_told_in_order() {
        let (release, wait) = channel::<()>();
        let (send, told) = channel();
        tell(move || _ = wait.recv());
        for n in 0..10 {
            let send = send.clone();
            tell(move || send.send(n).unwrap());
        }
        assert!(told.try_recv().is_err());
        drop((release, send));
        assert!(told.iter().eq(0..10));
        let (send, told) = channel();
        // The row has ended, or ends with this report.
        tell(move || send.send(()).unwrap());
        assert_eq!(told.recv(), Ok(()));
    }
}
