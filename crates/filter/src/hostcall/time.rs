//! Clocks and timers.

use super::{Call, Outcome};
use std::time::{Duration, UNIX_EPOCH};

/// `proxy_get_current_time_nanoseconds`.
pub(crate) fn now(call: &mut Call<'_>, to: u32) -> Outcome {
    let now = call.state().outside.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(call.put_u64(to, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))?)
}

/// `proxy_set_tick_period_milliseconds`: the timer is the plugin's; 0 ends it.
pub(crate) fn set_tick_period(call: &mut Call<'_>, period: u32) -> Outcome {
    let state = call.state();
    let root = state.root();
    let period = (period > 0).then(|| Duration::from_millis(u64::from(period)));
    state.outside.set_tick(root, period);
    Ok(())
}
