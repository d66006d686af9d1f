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

/// Nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin;

impl Origin {
    #[inline(always)]
    pub(crate) fn here() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn has_vanished(self) -> bool {
        false
    }
}

pub(crate) fn is_child() -> bool {
    false
}

/// Would run `in_child` in the child of every fork.
pub(crate) fn on_fork(_in_child: fn()) {}
