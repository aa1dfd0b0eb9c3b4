//! Connections that come in.

use super::Inlet;
use super::connection::{self, Ends};
use crate::listener::Bound;
use crate::path::Shared;
use engine::Stop;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Accepts the connections of one address until told to stop.
pub(crate) async fn accept(inlet: Arc<Inlet>, bound: Bound, shared: Arc<Shared>, stop: Stop) {
    let (tls, address) = (bound.tls().cloned(), bound.address());
    let listener = match bound.into_tokio() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, %address, "the listener cannot be served");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.wait() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            // Out of descriptors or memory: both come back when connections end.
            Err(error) => {
                let listener = inlet.name();
                tracing::warn!(listener, %error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Only after it was accepted: whoever waits for room must not keep it from another
        // address. Nobody is accepted behind it meanwhile.
        let room = tokio::select! {
            biased;
            () = stop.wait() => return,
            room = inlet.admit() => room,
        };
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let ends = Ends { client, host: stream.local_addr().unwrap_or(address) };
        let (inlet, of) = (Arc::clone(&inlet), Arc::clone(&shared));
        shared.tasks.spawn(connection::serve(inlet, of, stream, ends, tls.clone(), room));
    }
}
