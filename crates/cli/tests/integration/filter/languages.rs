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
