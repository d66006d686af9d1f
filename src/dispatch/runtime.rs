//! tokio's runtime, as far as callbacks use it. Without the feature `rt` there is no runtime.

pub(crate) use platform::{Runtime, current_task};

#[cfg(feature = "rt")]
mod platform {
    use std::fmt::{self, Write};
    use std::future::Future;
    use tokio::runtime::Handle;

    /// Returns the number of the current task. tokio gives it out only as text.
    pub(crate) fn current_task() -> Option<u64> {
        struct Number(u64);
        impl fmt::Write for Number {
            fn write_str(&mut self, digits: &str) -> fmt::Result {
                for digit in digits.chars() {
                    let digit = digit.to_digit(10).ok_or(fmt::Error)?;
                    self.0 = self.0.wrapping_mul(10).wrapping_add(u64::from(digit));
                }
                Ok(())
            }
        }
        let mut number = Number(0);
        write!(number, "{}", tokio::task::try_id()?).ok()?;
        Some(number.0)
    }

    /// The runtime that was current at a call.
    pub(crate) struct Runtime(Handle);

    impl Runtime {
        pub(crate) fn current() -> Option<Self> {
            Handle::try_current().ok().map(Self)
        }

        pub(crate) fn spawn(self, task: impl Future<Output = ()> + Send + 'static) {
            drop(self.0.spawn(task));
        }
    }
}

#[cfg(not(feature = "rt"))]
mod platform {
    use std::future::Future;

    pub(crate) fn current_task() -> Option<u64> {
        None
    }

    pub(crate) enum Runtime {}

    impl Runtime {
        pub(crate) fn current() -> Option<Self> {
            None
        }

        pub(crate) fn spawn(self, _task: impl Future<Output = ()> + Send + 'static) {
            match self {}
        }
    }
}
