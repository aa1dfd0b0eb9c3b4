//! The levels of one contract: a field for each ability, and what can be said of all of them.

/// One ability that a contract knows, as `requires = { … }` of a binding may name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Its word, e.g. `ttl`.
    pub word: &'static str,
    /// What it is about, a sentence for the manual.
    pub about: &'static str,
    /// The words of its levels, from the lowest to the highest.
    pub levels: &'static [&'static str],
}

/// Declares the levels of a contract: `contract_levels! { /// … Levels { /// … ttl: Ttl, } }`.
///
/// Each field is of a type of [`base::offer`](crate::offer), and its name is the word in the
/// deployment file.
#[macro_export]
macro_rules! contract_levels {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[doc = $about:literal])* $field:ident: $type:ident,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[doc = $about])* pub $field: $type,)* }

        impl $name {
            /// No need at all: the lowest of everything.
            pub const LOWEST: Self = Self { $($field: $type::LOWEST,)* };

            /// The words of the levels, in the order of [`Self::rows`].
            pub const WORDS: &[&str] = &[$(stringify!($field),)*];

            /// What a binding may require of a backend.
            pub const ABILITIES: &[$crate::offer::Ability] = &[$($crate::offer::Ability {
                word: stringify!($field),
                about: concat!($($about),*),
                levels: $type::WORDS,
            },)*];

            /// Raises the level that `word` names, as in `requires = { ttl = "milliseconds" }`.
            ///
            /// # Errors
            /// What is wrong, with the words that would do.
            pub fn require(
                &mut self,
                word: &str,
                level: &str,
            ) -> ::std::result::Result<(), ::std::string::String> {
                match word {
                    $(stringify!($field) => {
                        let known = $type::ALL.iter().map(|level| level.word());
                        let level = $type::from_word(level)
                            .ok_or_else(|| $crate::offer::unknown("level", level, known))?;
                        self.$field = self.$field.max(level);
                        Ok(())
                    })*
                    _ => {
                        let known = Self::WORDS.iter().copied();
                        Err($crate::offer::unknown("ability", word, known))
                    }
                }
            }

            /// Every ability in which these levels fall short of `needs`.
            pub fn gaps(&self, needs: &Self) -> ::std::vec::Vec<$crate::offer::Gap> {
                [$($crate::offer::Gap::between(stringify!($field), needs.$field, self.$field),)*]
                    .into_iter()
                    .flatten()
                    .collect()
            }

            /// Every word with its level, for tables.
            pub fn rows(&self) -> ::std::vec::Vec<(&'static str, &'static str)> {
                vec![$((stringify!($field), self.$field.word()),)*]
            }
        }

        impl $crate::offer::Levels for $name {
            fn rows(&self) -> ::std::vec::Vec<(&'static str, ::std::string::String)> {
                let rows = $name::rows(self).into_iter();
                rows.map(|(word, level)| (word, level.to_owned())).collect()
            }

            fn gaps(&self, needs: &Self) -> ::std::vec::Vec<$crate::offer::Gap> {
                $name::gaps(self, needs)
            }

            fn require(
                &mut self,
                word: &str,
                level: &str,
            ) -> ::std::result::Result<(), ::std::string::String> {
                $name::require(self, word, level)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::LOWEST
            }
        }
    };
}

/// Says that a word is not known, with the nearest that is.
pub fn unknown<'a>(what: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match crate::nearest(word, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{word}` (did you mean `{near}`?)"),
        None => format!("unknown {what} `{word}` (there are {})", known.join(", ")),
    }
}
