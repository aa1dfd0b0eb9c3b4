//! Imports what nobody serves: an interface of its own making, and near misses of served ones.
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package guests:imports-unknown;

            package acme:rockets@1.2.3 {
                interface launch {
                    ignite: func(seconds: u32) -> bool;
                }
            }
            package wasi:keyvalue@0.2.0-draft3 {
                interface store {
                    open: func(identifier: string) -> bool;
                }
            }
            package wasi:config@0.2.0-rc.2 {
                interface store {
                    get: func(key: string) -> option<string>;
                }
            }
            world imports-unknown {
                import acme:rockets/launch@1.2.3;
                import wasi:keyvalue/store@0.2.0-draft3;
                import wasi:config/store@0.2.0-rc.2;
            }
        ",
        generate_all,
    });
}
use bindings::acme::rockets::launch;
use bindings::wasi::{config, keyvalue};

struct Unknown;

impl Guest for Unknown {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let motd = config::store::get("motd").unwrap_or_default();
        let lit = keyvalue::store::open("default") && launch::ignite(3);
        kit_p2::answer(out, if lit { 200 } else { 503 }, motd.as_bytes());
    }
}

wasip2::http::proxy::export!(Unknown);
