//! Logs what it is told: `/ID?level=&context=&message=&times=`, the ids being `draft` and
//! `unversioned`. `/print?message=` writes to standard output and standard error instead.
use kit_p2::{Outcome, Target};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/logging", "../../wit/logging-draft"],
        inline: "
            package guests:logging;
            world logging {
                import wasi:logging/logging;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        generate_all,
    });
}
use bindings::wasi::logging::logging as unversioned;
use bindings::wasi::logging0_1_0_draft::logging as draft;

struct Logging;

impl Guest for Logging {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        kit_p2::answer_outcome(out, log(&kit_p2::target(&request)));
    }
}

fn log(target: &Target) -> Outcome {
    let (context, message) = (target.text("context"), target.text("message"));
    for _ in 0..target.number("times", 1_u32) {
        match target.path() {
            "/unversioned" => {
                let level = match target.text("level").as_str() {
                    "trace" => unversioned::Level::Trace,
                    "debug" => unversioned::Level::Debug,
                    "info" => unversioned::Level::Info,
                    "warn" => unversioned::Level::Warn,
                    "error" => unversioned::Level::Error,
                    "critical" => unversioned::Level::Critical,
                    other => return Err(format!("no level {other:?}")),
                };
                unversioned::log(level, &context, &message);
            }
            "/draft" => {
                let level = match target.text("level").as_str() {
                    "trace" => draft::Level::Trace,
                    "debug" => draft::Level::Debug,
                    "info" => draft::Level::Info,
                    "warn" => draft::Level::Warn,
                    "error" => draft::Level::Error,
                    "critical" => draft::Level::Critical,
                    other => return Err(format!("no level {other:?}")),
                };
                draft::log(level, &context, &message);
            }
            "/print" => {
                println!("{message}");
                eprintln!("{message}");
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(b"logged".to_vec()))
}

wasip2::http::proxy::export!(Logging);
