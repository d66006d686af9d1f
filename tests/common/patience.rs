// How long a test waits for what must come, before it takes that for lost. It asserts nothing about time: a test that passes
// never waits so long. (Included where `common` is not.)

use std::time::Duration;

/// So many times as long as usual: under an emulator, or a checker that makes everything slow. From the environment of the
/// build, so that it can be in a constant; see `ci/lib.sh`.
const PATIENCE: u64 = match option_env!("ASYNC_RCU_TEST_PATIENCE") {
    None => 1,
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(times) => times,
        Err(_) => panic!("ASYNC_RCU_TEST_PATIENCE is no whole number"),
    },
};

/// So many seconds, on a machine that runs the tests as they are.
pub(crate) const fn seconds(usual: u64) -> Duration {
    Duration::from_secs(usual * PATIENCE)
}
