//! Nobody wants the figures.

use crate::domain::Domain;
use std::time::Duration;

#[derive(Debug, Default)]
pub(in crate::domain) struct Publisher(());

impl Publisher {
    pub(in crate::domain) fn note(&mut self) {}
}

impl Domain {
    pub(in crate::domain) fn publish(&self) -> Option<Duration> {
        None
    }

    pub(in crate::domain) fn publish_last(&self) {}
}
