//! The rows of the table.

mod call;
mod end_to_end;
pub(crate) mod idle;
mod many;
mod owned;
mod read;
mod replace;
mod strings;
mod tokio_rcu;
mod wait;

use crate::bench::Entry;

/// Returns all rows in the order of the table.
pub(crate) fn all() -> Vec<Entry> {
    [
        read::ENTRIES,
        owned::ENTRIES,
        call::ENTRIES,
        replace::ENTRIES,
        strings::ENTRIES,
        end_to_end::ENTRIES,
        wait::ENTRIES,
        many::ENTRIES,
        idle::ENTRIES,
    ]
    .concat()
}

/// The name of the candidates of this crate.
pub(crate) const OURS: &str = "async-rcu";
