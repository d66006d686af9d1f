//! The guide: pages, no code.
