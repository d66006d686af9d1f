//! Without the feature `rt` there is no runtime to be found.

use super::batch::OnRuntime;

pub(super) fn current_task() -> Option<u64> {
    None
}

pub(crate) enum Runtime {}

impl Runtime {
    pub(crate) fn current() -> Option<Self> {
        None
    }

    pub(super) fn spawn(self, _task: OnRuntime) {
        match self {}
    }
}
