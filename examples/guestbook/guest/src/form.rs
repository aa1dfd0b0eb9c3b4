//! What a visitor sends: a name and a message, and whether they will do.

/// The longest name and message, in characters. The page tells the browser the same.
pub const NAME: usize = 40;
pub const MESSAGE: usize = 1000;

/// Bytes of a form: a character of a URL-encoded form takes at most twelve.
pub const LONGEST: u64 = 12 * (NAME + MESSAGE) as u64 + 64;

/// A post that is not yet written.
#[derive(Default)]
pub struct Draft {
    pub name: String,
    pub message: String,
}

/// What is wrong with a draft, and the field to mend.
#[derive(Clone, Copy)]
pub struct Mistake {
    pub field: &'static str,
    pub sentence: &'static str,
}

impl Draft {
    /// Reads a form. What is missing is empty; what it has besides does not matter.
    pub fn read(form: &[u8]) -> Self {
        let mut draft = Self::default();
        for (key, value) in form_urlencoded::parse(form) {
            match &*key {
                "name" => draft.name = tidy(&value, false),
                "message" => draft.message = tidy(&value, true),
                _ => {}
            }
        }
        draft
    }

    /// Whether it may be written.
    pub fn check(&self) -> Result<(), Mistake> {
        let mistake = |field, sentence| Err(Mistake { field, sentence });
        match (self.name.chars().count(), self.message.chars().count()) {
            (0, _) => mistake("name", "Please say who you are."),
            (length, _) if length > NAME => mistake("name", "That name is too long."),
            (_, 0) => mistake("message", "Please write a message."),
            (_, length) if length > MESSAGE => mistake("message", "That message is too long."),
            _ => Ok(()),
        }
    }
}

/// The value of `key` in a query.
pub fn value(query: &str, key: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
}

/// Takes out what nobody can see and what turns the text around it; line breaks stay where they
/// mean something, as one character.
fn tidy(text: &str, lines: bool) -> String {
    let text = text.replace("\r\n", "\n");
    let seen = |c: &char| match c {
        '\n' => lines,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    text.chars().filter(seen).collect::<String>().trim().to_owned()
}
