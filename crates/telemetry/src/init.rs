//! Where the program's log goes, and how it looks.

use crate::escape::Fields;
use crate::filter::Filter;
use crate::sink::Sink;
use base::{Error, Result};
use serde::Deserialize;
use std::io::IsTerminal as _;
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The most bytes of log that wait for a slow reader of standard error.
const BUFFER: usize = 4 << 20;
/// How long the end of the program waits for that reader.
const GRACE: Duration = Duration::from_secs(1);

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people, in colour on a terminal.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

impl std::str::FromStr for Format {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{word}` is no log format; there are text, json")),
        }
    }
}

/// Keeps the log going. What still waits is written when it is dropped.
#[must_use = "the end of the log is lost if this is dropped early or never"]
pub struct Telemetry {
    sink: Sink,
}

/// Sends everything that is said by [`tracing`] to standard error, from now on and once.
///
/// A reader of standard error that is too slow, or has stopped, never holds up a request.
///
/// # Errors
/// `Internal` if a log was set up before, `Exhausted` if no thread can be started.
pub fn init(format: Format, filter: &Filter) -> Result<Telemetry> {
    let stderr = std::io::stderr();
    let colours =
        stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let notice = move |lines| dropped(format, lines);
    let sink = Sink::start(stderr, BUFFER, notice)
        .map_err(|error| Error::exhausted("starting the log's thread").with_source(error))?;
    let set = match format {
        Format::Text => text(filter, sink.clone(), colours)?.try_init(),
        Format::Json => json(filter, sink.clone())?.try_init(),
    };
    set.map_err(|error| Error::internal("setting up the log").with_source(error))?;
    Ok(Telemetry { sink })
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.sink.close(GRACE);
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// What turns records into lines for people.
pub(crate) fn text<W>(filter: &Filter, writer: W, colours: bool) -> Result<impl Subscriber + use<W>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().fmt_fields(Fields);
    let layer = layer.with_ansi(colours).with_writer(writer);
    Ok(tracing_subscriber::registry().with(filter.program()?).with(layer))
}

/// What turns records into lines for programs.
pub(crate) fn json<W>(filter: &Filter, writer: W) -> Result<impl Subscriber + use<W>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
    let layer = layer.with_span_list(false).with_writer(writer);
    Ok(tracing_subscriber::registry().with(filter.program()?).with(layer))
}

/// The line that says how many lines are missing. It looks like the others, but comes from the
/// log's own thread, which cannot wait for itself.
fn dropped(format: Format, lines: u64) -> String {
    let message = "log lines were dropped because standard error is read too slowly";
    match format {
        Format::Text => format!("WARN telemetry: {message} dropped={lines}\n"),
        Format::Json => {
            format!(
                r#"{{"level":"WARN","message":"{message}","dropped":{lines},"target":"telemetry"}}"#
            ) + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_about_lost_lines_can_be_read_by_programs() {
        let line = dropped(Format::Json, 7);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["dropped"], 7);
        assert!(line.ends_with('\n') && dropped(Format::Text, 7).ends_with("dropped=7\n"));
    }

    #[test]
    fn formats_have_words() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!("xml".parse::<Format>().unwrap_err().contains("text, json"));
    }
}
