//! What is logged: directives such as `info,gateway=debug,guest::web=trace`.

use base::{Error, Result};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Targets;

/// The target of everything that guests say. `guest::NAME` stands for one component.
pub(crate) const GUEST: &str = "guest";
/// Libraries that report as errors of their own what their callers tell anyway, and with that what
/// is in messages. They are silent unless they are named.
const TALKATIVE: &[&str] = &["lapin"];

/// Which records are kept, in the syntax that Rust programs know from `RUST_LOG`.
///
/// Guests have the target `guest`, and each component its own, `guest::NAME`, below it.
#[derive(Clone, Debug)]
pub struct Filter {
    directives: String,
    guests: Targets,
}

impl Filter {
    /// Reads directives, separated by commas. None at all means `info`.
    ///
    /// # Errors
    /// `Invalid`, with the directives that cannot be read.
    pub fn parse(directives: &str) -> Result<Self> {
        let directives = if directives.trim().is_empty() { "info" } else { directives };
        // Directives about spans are for the program; they say nothing of guests.
        let about_span = |part: &str| part.contains(['[', ']', '{', '}']);
        let plain: Vec<_> = directives.split(',').filter(|part| !about_span(part)).collect();
        let guests = match plain.as_slice() {
            [] => Targets::new(),
            plain => plain.join(",").parse().map_err(|error| unreadable(directives, error))?,
        };
        let filter = Self { directives: directives.to_owned(), guests };
        filter.program().map(|_| filter)
    }

    /// The level down to which a component is heard.
    pub fn guest(&self, component: &str) -> LevelFilter {
        let target = format!("{GUEST}::{component}");
        [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
            .into_iter()
            .find(|level| self.guests.would_enable(&target, level))
            .map_or(LevelFilter::OFF, LevelFilter::from_level)
    }

    /// The filter of the program's own records. Those of guests pass, because their loggers
    /// decided already.
    pub(crate) fn program(&self) -> Result<EnvFilter> {
        let read = || EnvFilter::builder().parse(&self.directives);
        let mut filter = read().map_err(|error| unreadable(&self.directives, error))?;
        for library in TALKATIVE.iter().filter(|library| !self.directives.contains(**library)) {
            let silence = format!("{library}=off").parse();
            filter = filter.add_directive(silence.map_err(|error| unreadable(library, error))?);
        }
        let guests = format!("{GUEST}=trace").parse();
        Ok(filter.add_directive(guests.map_err(|error| unreadable(GUEST, error))?))
    }
}

fn unreadable(directives: &str, error: impl std::error::Error) -> Error {
    Error::invalid(format!("log filter `{directives}`: {error}"))
        .with_hint("write for example `info,guest::web=debug`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(directives: &str, component: &str) -> LevelFilter {
        Filter::parse(directives).unwrap().guest(component)
    }

    #[test]
    fn a_component_has_a_level_of_its_own() {
        assert_eq!(guest("", "web"), LevelFilter::INFO);
        assert_eq!(guest("warn", "web"), LevelFilter::WARN);
        assert_eq!(guest("warn,guest=info,guest::web=trace", "web"), LevelFilter::TRACE);
        assert_eq!(guest("warn,guest=info,guest::web=trace", "api"), LevelFilter::INFO);
        assert_eq!(guest("info,guest=off", "web"), LevelFilter::OFF);
        assert_eq!(guest("info,[request]=trace", "web"), LevelFilter::INFO);
        assert_eq!(guest("gateway=debug", "web"), LevelFilter::OFF);
    }

    #[test]
    fn a_wrong_filter_is_shown() {
        let error = Filter::parse("info,web=loud").unwrap_err();
        assert!(error.to_string().contains("`info,web=loud`"), "{error}");
        assert!(error.hint().is_some());
    }
}
