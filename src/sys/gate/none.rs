//! Nobody forks.

/// Nothing.
#[derive(Debug)]
pub(crate) struct Pass;

impl Pass {
    #[inline(always)]
    pub(crate) fn enter() -> Self {
        Self
    }
}

pub(crate) fn is_child() -> bool {
    false
}

/// Would run `in_child` in the child of every fork.
pub(crate) fn on_fork(_in_child: fn()) {}
