//! Reads its configuration by every id that hosts serve: `/ID?k=KEY` answers one value or 404,
//! `/ID` a line `KEY=VALUE` for each; the ids are `rc1`, `draft`, `draft-2024-09-27`, `runtime`.
use kit_p2::Outcome;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        path: [
            "../../wit/config-rc1",
            "../../wit/config-draft",
            "../../wit/config-draft-2024-09-27",
        ],
        inline: "
            package guests:config;
            world config {
                import wasi:config/store@0.2.0-rc.1;
                import wasi:config/store@0.2.0-draft;
                import wasi:config/store@0.2.0-draft-2024-09-27;
                import wasi:config/runtime@0.2.0-draft;
            }
        ",
        generate_all,
    });
}
use bindings::wasi::config0_2_0_draft::{runtime, store as draft};
use bindings::wasi::config0_2_0_draft_2024_09_27::store as dated;
use bindings::wasi::config0_2_0_rc_1::store as rc1;

struct Config;

impl Guest for Config {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let key = target.value("k");
        let outcome = match target.path() {
            "/rc1" => read(key, rc1::get, rc1::get_all),
            "/draft" => read(key, draft::get, draft::get_all),
            "/draft-2024-09-27" => read(key, dated::get, dated::get_all),
            "/runtime" => read(key, runtime::get, runtime::get_all),
            _ => Ok(None),
        };
        kit_p2::answer_outcome(out, outcome);
    }
}

/// One key, or all of them. Each id has an error type of its own, all alike.
fn read<E: std::fmt::Debug>(
    key: Option<String>,
    get: fn(&str) -> Result<Option<String>, E>,
    get_all: fn() -> Result<Vec<(String, String)>, E>,
) -> Outcome {
    let said = |error: E| format!("{error:?}");
    if let Some(key) = key {
        return Ok(get(&key).map_err(said)?.map(String::into_bytes));
    }
    let mut pairs = get_all().map_err(said)?;
    pairs.sort();
    let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(Some(lines.join("\n").into_bytes()))
}

wasip2::http::proxy::export!(Config);
