//! How long a test waits for an event that must come. A test that passes never waits so long, so
//! the tests assert no time.

use std::time::Duration;

/// The factor by which waits are longer than usual, for emulators and slow checkers. The factor
/// comes from the environment of the build, so that constants can use it. See `ci/lib.sh`.
const PATIENCE: u64 = match option_env!("ASYNC_RCU_TEST_PATIENCE") {
    None => 1,
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(times) => times,
        Err(_) => panic!("ASYNC_RCU_TEST_PATIENCE is not a whole number"),
    },
};

/// Returns `usual` seconds times the factor.
pub(crate) const fn seconds(usual: u64) -> Duration {
    Duration::from_secs(usual * PATIENCE)
}
