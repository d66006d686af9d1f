//! Nobody wants the figures.

use crate::service::domain::Domain;
use std::time::Duration;

#[derive(Debug, Default)]
pub(in crate::service) struct Publisher(());

impl Publisher {
    pub(in crate::service) fn note(&mut self) {}
}

impl Domain {
    pub(in crate::service) fn publish(&self) -> Option<Duration> {
        None
    }

    pub(in crate::service) fn publish_last(&self) {}
}
