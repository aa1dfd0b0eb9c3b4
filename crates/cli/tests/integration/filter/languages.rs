//! Filters of other languages and other versions of the ABI.

use super::before_component;
use crate::support::client::{Connection, post};

pub(crate) mod filter_as {
    #[test]
    fn assemblyscript_runs() {
        let wharf = super::before_component("filter-as", "root-id = \"add_header\"");
        assert!(!wharf.get("/").header("x-filter").is_empty());
    }
}

pub(crate) mod filter_c {
    use super::*;

    #[test]
    fn c_runs() {
        let wharf = before_component("filter-c", "configuration = \"/own\"");
        let asked = post("/", "12345");
        let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
        assert_eq!((answer.header("x-filter"), answer.header("x-bytes")), ("c", "5"));
        let own = wharf.get("/own");
        assert_eq!(own.header("x-echo-host"), "", "it has answered itself");
    }
}

pub(crate) mod filter_c_old {
    #[test]
    fn version_0_1_0_runs() {
        let wharf = super::before_component("filter-c-old", "configuration = \"set\"");
        let answer = wharf.get("/");
        assert_eq!((answer.header("x-filter"), answer.header("x-configuration")), ("c-old", "set"));
        assert_eq!(answer.header("x-missing"), "0 0");
    }
}

pub(crate) mod filter_go {
    #[test]
    fn go_runs() {
        let wharf = super::before_component("filter-go", "");
        assert!(!wharf.get("/").header("x-filter").is_empty());
    }
}

/// What its scripts can call is tried in the crate of filters; here it runs in the program.
pub(crate) mod filter_probe {
    use super::*;
    use crate::support::client::{get, with};

    #[test]
    fn host_calls_are_made_as_a_script_says() {
        let wharf = before_component("filter-probe", "root-id = \"probe\"");
        let script = "proxy_get_property \"plugin_root_id\" >>; \
                      proxy_get_property \"source\\0address\" >>; \
                      proxy_get_header_map_value 0 \":path\" >>; \
                      proxy_get_header_map_value 0 \":path\" end end; \
                      proxy_set_shared_data \"k\" \"v\" 0; \
                      proxy_get_shared_data \"k\" >> >c; answer";
        let asked = with(get("/asked"), "x-script", script);
        let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
        let text = answer.text();
        for line in [
            "proxy_get_property -> 0 \"probe\"",
            "proxy_get_property -> 0 \"127.0.0.1:",
            "proxy_get_header_map_value -> 0 \"/asked\"",
            "proxy_get_header_map_value -> 6",
            "proxy_set_shared_data -> 0",
            "proxy_get_shared_data -> 0 \"v\"",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}

pub(crate) mod filter_wasi {
    use super::*;
    use crate::support::client::{get, with};

    #[test]
    fn wasi_is_there_under_both_names() {
        let wharf = before_component("filter-wasi", "environment = { A = \"1\" }");
        let script = "preview1.clock_time_get 0 0 >8; unstable.random_get 0 70000; \
                      preview1.fd_read 0 0 0 0; unstable.environ_sizes_get >a >b; \
                      preview1.path_open 3 0 \"x\" 0 0 0 0 0; answer";
        let asked = with(get("/"), "x-script", script);
        let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
        let text = answer.text();
        for line in [
            "preview1.clock_time_get -> 0",
            "unstable.random_get -> 28",
            "preview1.fd_read -> 52",
            "unstable.environ_sizes_get -> 0",
            "preview1.path_open -> 44",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}

/// What it does with connections is tried in the crate of filters.
pub(crate) mod filter_tcp {
    use crate::filter::{check, component, file};

    #[test]
    fn check_starts_it_and_tells_it_its_configuration() {
        let keys = "configuration = { upper = [\"downstream\"] }";
        let ended = check(&file("filter-tcp", keys, &component()));
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        let ended = check(&file("filter-tcp", "configuration = { upper = 1 }", &component()));
        assert_eq!(ended.code, Some(64), "{}", ended.errors);
    }
}
