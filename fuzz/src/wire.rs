//! What the engine is asked over HTTP.

use novacrm_engine_wire::{AnalyzeRequest, RestoreRequest, StreamPiece, StreamStart, is_name};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is read of a request is written and read alike.
pub fn wire(data: &[u8]) {
    stays::<AnalyzeRequest>(data);
    stays::<RestoreRequest>(data);
    stays::<StreamStart>(data);
    stays::<StreamPiece>(data);
    if let Ok(word) = std::str::from_utf8(data) {
        assert!(!is_name(word) || !word.contains(char::is_whitespace));
    }
}

fn stays<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    let again = serde_json::to_vec(&again).expect("what was read can be written");
    assert_eq!(again, written);
}
