//! The threads of a run. Each has a name; the crew reports threads that panic or cannot start.

use super::run::Run;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Threads that are joined together.
#[derive(Debug)]
pub(super) struct Crew<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    run: &'env Run,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope, 'env: 'scope> Crew<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, run: &'env Run) -> Self {
        Self { scope, run, threads: Vec::new() }
    }

    /// Starts a thread. If the system cannot start it, reports an error and stops the run.
    pub(super) fn start(&mut self, name: &str, f: impl FnOnce() + Send + 'scope) {
        match Builder::new().name(name.to_owned()).spawn_scoped(self.scope, f) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                let board = &self.run.board;
                board.report(format_args!("thread \"{name}\" could not be started: {error}"));
            }
        }
    }

    /// Waits for all threads.
    pub(super) fn join(self) {
        for thread in self.threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                self.run.board.report(format_args!("thread \"{name}\" panicked"));
            }
        }
    }
}
