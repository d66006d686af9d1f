//! std's threads always do.

use std::io;

#[derive(Debug)]
pub(crate) enum Handle {}

impl Handle {
    pub(super) fn join(self) {
        match self {}
    }
}

pub(super) fn is_needed() -> bool {
    false
}

pub(super) fn spawn(_name: String, _f: Box<dyn FnOnce() + Send>) -> io::Result<Handle> {
    Err(io::ErrorKind::Unsupported.into())
}
