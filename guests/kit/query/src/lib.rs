//! What guests read from paths, whatever version of WASI brings them.

/// The path of a request and what stands behind its question mark.
pub struct Target {
    path: String,
    query: String,
}

impl Target {
    /// From `/path?name=value&name=value`.
    pub fn parse(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { path: path.to_owned(), query: query.to_owned() }
    }

    /// The path alone, with its first slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Every value of a name, in order, decoded.
    pub fn all(&self, name: &str) -> Vec<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).collect()
    }

    /// The first value of a name.
    pub fn value(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// The first value of a name, or the empty text.
    pub fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or_default()
    }

    /// The first value of a name as a number, or `default`.
    pub fn number<N: std::str::FromStr>(&self, name: &str, default: N) -> N {
        self.value(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}

/// Undoes percent encoding and `+`; what is badly encoded stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        let (byte, after) = match (first, code) {
            (b'%', Some(byte)) => (byte, &tail[2..]),
            (b'+', _) => (b' ', tail),
            (byte, _) => (byte, tail),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The name of a variant's case as WIT spells it, from how Rust shows it:
/// `ErrorCode::ConnectionRefused` is `connection-refused`, whatever it carries.
pub fn kebab(case: &impl std::fmt::Debug) -> String {
    let shown = format!("{case:?}");
    let name = shown.split('(').next().unwrap_or_default();
    let name = name.rsplit("::").next().unwrap_or_default();
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}
