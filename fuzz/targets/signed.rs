#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| novacrm_fuzz::signed(data));
