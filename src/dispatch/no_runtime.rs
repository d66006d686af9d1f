//! Without the feature `rt` there is no runtime to be found.

use super::batch::OnRuntime;

pub(crate) enum Runtime {}

impl Runtime {
    pub(crate) fn current() -> Option<Self> {
        None
    }

    pub(super) fn spawn(self, _task: OnRuntime) {
        match self {}
    }
}
