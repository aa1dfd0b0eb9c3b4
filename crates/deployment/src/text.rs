//! Text that may hold what a variable, a file or a secret had to say.

use base::Secret;
use std::fmt;

/// Text of the deployment file after its `${…}` were filled in.
///
/// `Debug` and `Display` show what was written, `${env:TOKEN}`, and never what it stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    written: String,
    value: Secret,
}

impl Text {
    pub(crate) fn new(written: impl Into<String>, value: impl Into<String>) -> Self {
        Self { written: written.into(), value: Secret::new(value) }
    }

    /// Text that stands for itself.
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(text.clone(), text)
    }

    /// The text as the file has it.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The text with everything filled in, on purpose.
    pub fn reveal(&self) -> &str {
        self.value.reveal()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
