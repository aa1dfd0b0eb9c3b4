//! What of acknowledged writes survives.

use super::Redis;
use base::offer::Durability;
use redis::{Value, cmd};
use std::collections::HashMap;

/// What a server says of itself, as `INFO` has it, or of its settings.
type Said = HashMap<String, String>;

impl Redis {
    /// What of acknowledged writes survives a crash of the servers that [`probe`](Self::probe)
    /// found. A server that does not say keeps nothing, for all we know.
    pub async fn durability(&self, nodes: &[Said]) -> Durability {
        // A replica takes over without the writes that it had not heard of.
        let takes_over = self.has_sentinels() || (self.is_cluster() && has_replicas(nodes));
        if takes_over {
            return Durability::None;
        }
        let said = self.read::<Value>(cmd("CONFIG").arg("GET").arg("append*")).await;
        let nodes = said.map(|said| self.each_node(said)).unwrap_or_default();
        let writes_through = |node: &Value| {
            let settings: Said = redis::from_redis_value(node.clone()).unwrap_or_default();
            // With `everysec` a write may wait two seconds in the server's own memory.
            word(&settings, "appendonly") == "yes" && word(&settings, "appendfsync") == "always"
        };
        match !nodes.is_empty() && nodes.iter().all(writes_through) {
            true => Durability::Fsync,
            false => Durability::None,
        }
    }
}

/// Whether any of the servers has replicas.
pub fn has_replicas(nodes: &[Said]) -> bool {
    nodes.iter().any(|node| !matches!(word(node, "connected_slaves"), "" | "0"))
}

/// A word that a server says; empty where it does not.
pub fn word<'a>(said: &'a Said, name: &str) -> &'a str {
    said.get(name).map(String::as_str).unwrap_or_default()
}
