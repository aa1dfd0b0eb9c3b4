//! What filters share: their settings, and the places where some of them do harm.
pub mod configured;
pub mod harm;

use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;
use serde::de::DeserializeOwned;

/// Settings from what a filter was configured with; none at all are the default ones.
///
/// What cannot be read is logged: a filter answers `None` by refusing to be configured.
pub fn settings<T: DeserializeOwned + Default>(configuration: Option<Vec<u8>>) -> Option<T> {
    let text = configuration.unwrap_or_default();
    if text.is_empty() {
        return Some(T::default());
    }
    match serde_json::from_slice(&text) {
        Ok(settings) => Some(settings),
        Err(error) => {
            say(LogLevel::Error, &format!("bad configuration: {error}"));
            None
        }
    }
}

/// A line of the log. That it could not be written is nobody's concern.
pub fn say(level: LogLevel, text: &str) {
    let _ = hostcalls::log(level, text);
}

/// The number that a text starts with, in an optional field of a request.
pub fn number<N: std::str::FromStr>(text: Option<String>, default: N) -> N {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(default)
}
