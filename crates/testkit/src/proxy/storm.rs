//! Bad weather for as long as it is wanted.

use super::{Proxy, Weather};
use crate::random::Random;
use std::sync::Arc;
use std::time::Duration;

/// One fault of the network after the other, for ever: a storm of the same seed is the same. After
/// most of them connections are cut.
pub async fn storm(proxy: Arc<Proxy>, seed: u64) {
    let mut random = Random(seed);
    loop {
        let length = Duration::from_millis(10 + random.below(40));
        let fault = random.below(7);
        proxy.change(|weather| match fault {
            0 => weather.delay = length / 4,
            1 => weather.answers_lost = true,
            2 => weather.stalled = true,
            3 => weather.fragment_pause = length / 8,
            4 => weather.requests_torn = true,
            5 => weather.answers_torn = true,
            _ => {}
        });
        tokio::time::sleep(length).await;
        proxy.change(Weather::clear);
        // What lost an answer never answers again.
        if !matches!(fault, 2 | 3) {
            proxy.cut();
        }
        tokio::time::sleep(Duration::from_millis(20 + random.below(60))).await;
    }
}
