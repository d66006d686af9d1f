//! In unit tests: threads that the system refuses, by name.

use std::io;
use std::sync::{Mutex, PoisonError};

static REFUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// While it exists, threads of that name cannot be started.
#[derive(Debug)]
pub(crate) struct Refusal(String);

/// Refuses threads of this name.
pub(crate) fn refuse(name: &str) -> Refusal {
    let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    refused.push(name.to_owned());
    Refusal(name.to_owned())
}

impl Drop for Refusal {
    fn drop(&mut self) {
        let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = refused.iter().position(|name| *name == self.0) {
            refused.swap_remove(place);
        }
    }
}

pub(super) fn permit(name: &str) -> io::Result<()> {
    let refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    match refused.iter().any(|refused| refused == name) {
        true => Err(io::Error::other("refused by a test")),
        false => Ok(()),
    }
}
