//! Floor 2: what a grace period is. No threads, no policy: who calls, and when, is decided above.

pub(crate) mod engine;
