//! What the operator may change, read from the host's configuration at every request.
use crate::Failure;
use crate::bindings::wasi::config::store;

/// The settings, all with a value.
pub struct Settings {
    /// Config key `title`.
    pub title: String,
    /// Posts on a page: config key `page-size`, from 1 to 100.
    pub page_size: u64,
}

impl Settings {
    pub fn read() -> Result<Self, Failure> {
        let get = |key: &str| {
            store::get(key).map_err(|error| format!("reading the setting `{key}`: {error}"))
        };
        let title = get("title")?.unwrap_or_else(|| "Guestbook".to_owned());
        let page_size = match get("page-size")? {
            None => 10,
            Some(text) => match text.parse() {
                Ok(size @ 1..=100) => size,
                _ => return Err(format!("page-size is {text:?}, not a number from 1 to 100")),
            },
        };
        Ok(Self { title, page_size })
    }
}
