//! What a component is told when what stands behind its binding fails.

use crate::support::client::{Connection, request};
use crate::support::deploy;
use http_body_util::{BodyExt as _, Full};

#[test]
fn an_error_of_a_server_names_the_binding_the_host_and_the_cause() {
    let full = ["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"];
    let server = testkit::servers::redis_with(&full);
    let wharf = deploy(&format!(
        r#"
            name = "full"
            [component.web]
            source = "kv-draft2.wasm"
            keyvalue = ["orders"]
            [[http.route]]
            component = "web"
            [keyvalue]
            orders = "{}"
        "#,
        server.url()
    ));
    let put = |number: usize| {
        let body = Full::new(vec![b'x'; 1 << 20].into()).boxed();
        let path = format!("/put?b=orders&k={number}");
        Connection::http1(wharf.address).unwrap().send(request("PUT", &path, body)).unwrap()
    };
    let refused = (0..16).map(put).find(|answer| answer.status != 200);
    let said = refused.expect("there is no room for all of it").text();
    let named = format!("other: binding `orders`: redis {}: ", server.address());
    assert!(said.starts_with(&named) && said.contains("OOM"), "{said}");
}
