#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rollcall::http::fuzzing::records(bytes));
