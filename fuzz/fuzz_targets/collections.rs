#![no_main]

use async_rcu_fuzz::collections;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| collections::run(data));
