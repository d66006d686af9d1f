#![no_main]

use async_rcu_fuzz::operations;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| operations::run(data));
