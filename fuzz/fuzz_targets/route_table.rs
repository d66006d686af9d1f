#![no_main]

use async_rcu_fuzz::route_table;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| route_table::run(data));
