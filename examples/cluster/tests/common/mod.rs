//! Real processes for tests: nodes and updaters, their reports, and their answers over HTTP.
#![allow(dead_code)] // each test binary uses a part of it

pub(crate) mod network;
pub(crate) mod scenarios;
pub(crate) mod servers;

use cluster::report::{Event, Report};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The time after which an expected event counts as lost. A passing test never waits for it.
pub(crate) const HANG_GUARD: Duration = Duration::from_secs(60);

/// A process of this package.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    reports: Receiver<Report>,
    /// All reports of the process.
    pub(crate) heard: Vec<Report>,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) address: Option<String>,
}

impl Process {
    /// Starts `command`, which runs this package's program with --json.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let output = child.stdout.take().expect("the output is a pipe");
        let stdin = child.stdin.take();
        let (told, reports) = mpsc::channel();
        let who = name.to_owned();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                let report: Report =
                    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
                eprintln!("{:>12.3}  {who:>10}  {}", report.at_ns as f64 / 1e9, report.event);
                if told.send(report).is_err() {
                    break;
                }
            }
        });
        Self { name: name.to_owned(), child, reports, heard: Vec::new(), stdin, address: None }
    }

    /// Waits for the next wanted report among those that no test has looked at.
    #[track_caller]
    pub(crate) fn hear(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Report {
        let start = Instant::now();
        loop {
            let left = HANG_GUARD.saturating_sub(start.elapsed());
            match self.reports.recv_timeout(left) {
                Ok(report) => {
                    assert!(
                        !matches!(report.event, Event::Violation { .. }),
                        "{}: {}",
                        self.name,
                        report.event
                    );
                    self.heard.push(report.clone());
                    if wanted(&report.event) {
                        return report;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{} has not reported: {what}", self.name),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{} has ended and not reported: {what}", self.name)
                }
            }
        }
    }

    /// Returns the reports so far that no test has looked at.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        let rest: Vec<Report> = self.reports.try_iter().collect();
        self.heard.extend(rest.iter().cloned());
        rest.into_iter().map(|report| report.event).collect()
    }

    #[track_caller]
    pub(crate) fn serves(&mut self, least: i64) {
        self.hear("serving", |e| matches!(e, Event::Serving { revision } if *revision >= least));
    }

    #[track_caller]
    pub(crate) fn uses(&mut self, least: i64) -> Report {
        self.hear("used", |e| matches!(e, Event::Used { revision } if *revision >= least))
    }

    /// Waits for the updater's next change. Returns its revision and file.
    #[track_caller]
    pub(crate) fn has_put(&mut self) -> (i64, String) {
        match self.hear("put", |e| matches!(e, Event::Put { .. })).event {
            Event::Put { revision, file } => (revision, file),
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub(crate) fn has_deleted(&mut self, file: &str) -> Report {
        self.hear("deleted", |e| matches!(e, Event::Deleted { file: f } if f == file))
    }

    /// Writes a line to the updater's input.
    pub(crate) fn line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        writeln!(stdin, "{line}").expect("the process reads its input");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process");
        kill_process(pid, signal).expect("the process runs");
    }

    /// Stops the process. It does not run any more when this returns.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.child.id());
        let start = Instant::now();
        // The signal takes effect when the process is next on a processor. Other processes get no
        // event for that.
        while !std::fs::read_to_string(&stat).expect("the process runs").contains(") T ") {
            assert!(start.elapsed() < HANG_GUARD, "{} has not stopped", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process runs");
        self.child.wait().expect("the process ends");
    }

    /// Sends SIGTERM, and returns the exit status.
    pub(crate) fn end(&mut self) -> std::process::ExitStatus {
        self.signal(Signal::TERM);
        self.exit()
    }

    /// Waits until the process ends, and returns the exit status.
    pub(crate) fn exit(&mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process is a child") {
                for event in self.rest() {
                    assert!(!matches!(event, Event::Violation { .. }), "{}: {event}", self.name);
                }
                return status;
            }
            assert!(start.elapsed() < HANG_GUARD, "{} has not ended", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a request to a node. Returns the status, the revision if there is one, and the body.
    pub(crate) fn get(&self, path: &str) -> (u16, Option<i64>, String) {
        get(self.address.as_deref().expect("the node has reported its address"), path)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request by hand: it has only three lines.
pub(crate) fn get(address: &str, path: &str) -> (u16, Option<i64>, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(HANG_GUARD)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("the server reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("the server answers");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let revision = head.lines().find_map(|line| line.strip_prefix("revision: ")?.parse().ok());
    (status, revision, body.trim_end().to_owned())
}

/// Returns a command that runs this package's program.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cluster"))
}

/// Runs a program to its end, and panics if it fails.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        done.status.success(),
        "{program} {args:?}: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Returns whether a server on this machine answers with 200.
pub(crate) fn get_ok(port: u16, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut reply = String::new();
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .and_then(|()| write!(stream, "GET {path} HTTP/1.0\r\n\r\n"))
        .and_then(|()| stream.read_to_string(&mut reply));
    asked.is_ok() && reply.split(' ').nth(1) == Some("200")
}
