//! TLS, of a listener and of a cluster.

use super::data::text;
use super::listener::is_name;
use super::node::Object;
use toml_edit::{InlineTable, Value};

const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const RAW: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/// A transport socket: `None` where it is none of TLS, which was noted unless it is a bare one.
fn socket<'a>(of: &Object<'a>, wanted: &str) -> Option<Object<'a>> {
    let socket = of.object("transport_socket")?;
    let name = socket.text("name").unwrap_or_default();
    let Some((kind, inner)) = socket.object("typed_config").and_then(|config| config.any()) else {
        socket.leave(&format!("{name}: no equivalent"));
        return None;
    };
    if kind == wanted {
        return Some(inner);
    }
    if kind != RAW {
        inner.leave(&format!("{kind}: no equivalent"));
    }
    None
}

/// `tls` of `[http]`.
pub(crate) fn downstream(chain: &Object<'_>) -> Option<InlineTable> {
    let context = socket(chain, DOWNSTREAM)?;
    let common = context.object("common_tls_context")?;
    common.skip(&["alpn_protocols"]);
    if context.truth("require_client_certificate") == Some(true) {
        context.node().left("clients show no certificates here");
    }
    let (certificate, key) = pair(&common)?;
    let mut tls = InlineTable::new();
    tls.insert("cert", certificate);
    tls.insert("key", key);
    Some(tls)
}

/// `tls` of an upstream, and whether TLS is spoken at all.
pub(crate) fn upstream(cluster: &Object<'_>) -> Option<InlineTable> {
    let context = socket(cluster, UPSTREAM)?;
    let mut tls = InlineTable::new();
    if let Some(node) = context.take("sni") {
        match node.text().filter(|name| is_name(name)) {
            Some(name) => drop(tls.insert("server-name", text(name))),
            None => node.left("this is no name of a server"),
        }
    }
    let common = context.object("common_tls_context");
    let trusted = common.as_ref().and_then(|common| {
        common.skip(&["alpn_protocols"]);
        let trusted = common.object("validation_context")?.object("trusted_ca")?;
        let file = trusted.text("filename");
        if file.is_none() {
            trusted.leave("put the authorities into a file, and name it as `ca` of `tls`");
        }
        Some(file)
    });
    match trusted {
        Some(Some(file)) => drop(tls.insert("ca", text(file))),
        Some(None) => {}
        None => context.node().changed(
            "every certificate was trusted; here it has to be of one of the system's authorities",
        ),
    }
    if let Some((certificate, key)) = common.as_ref().and_then(pair) {
        tls.insert("certificate", certificate);
        tls.insert("key", key);
    }
    Some(tls)
}

/// The files of the first certificate and its key.
fn pair(common: &Object<'_>) -> Option<(Value, Value)> {
    let mut all = common.items("tls_certificates").into_iter();
    let first = all.next()?.object()?;
    for more in all {
        more.left("there is one certificate here");
    }
    let file = |key: &str| {
        let source = first.object(key)?;
        let file = source.text("filename");
        if file.is_none() {
            source.leave("put it into a file, and name it in `tls`");
        }
        file.map(text)
    };
    let (certificate, key) = (file("certificate_chain"), file("private_key"));
    certificate.zip(key)
}
