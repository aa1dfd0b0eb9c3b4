//! How often something is tried again, and how long it waits before.

use crate::Stop;
use std::time::Duration;

/// Something is tried so often before it is left out.
const ATTEMPTS: u32 = 4;
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// The pause after the failure with this number, counted from one: four times longer each time.
pub fn pause(failures: u32) -> Duration {
    let factor = 4_u32.saturating_pow(failures.saturating_sub(1));
    FIRST.saturating_mul(factor).min(LONGEST)
}

/// The attempts at one thing.
#[derive(Debug, Default)]
pub struct Attempts(u32);

impl Attempts {
    /// Counts one that failed, and says how many have.
    pub fn count(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }

    /// Waits before the next, or says that there is none: too many failed, or all is to end.
    pub async fn again(&self, stop: &Stop) -> bool {
        if self.0 >= ATTEMPTS {
            return false;
        }
        tokio::select! {
            () = stop.wait() => false,
            () = tokio::time::sleep(pause(self.0)) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let pauses: Vec<_> = (1..=4).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 400, 1600, 6400]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }
}
