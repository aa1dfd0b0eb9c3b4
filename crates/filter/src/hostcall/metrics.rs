//! Metrics.

use super::{Call, Outcome};
use crate::abi::{MetricType, Status};
use crate::metric::Metric;
use crate::state::State;
use std::sync::Arc;

/// A virtual machine has so many at most.
const MOST: usize = 4096;

/// `proxy_define_metric`. Its number has the type in the lowest two bits.
pub(crate) fn define(
    call: &mut Call<'_>,
    kind: u32,
    name: u32,
    name_size: u32,
    to: u32,
) -> Outcome {
    let number = kind;
    let kind = MetricType::of(kind).ok_or(Status::BadArgument)?;
    call.check(to, 4)?;
    let name = call.text(name, name_size)?;
    let state = call.state();
    if state.metrics.len() >= MOST {
        return Err(Status::InternalFailure.into());
    }
    let plugin = Arc::clone(state.current());
    let metric = state.outside.metric(&plugin, kind, &name);
    let index = u32::try_from(state.metrics.len()).unwrap_or(u32::MAX);
    state.metrics.push(metric);
    Ok(call.put_u32(to, index << 2 | number)?)
}

fn find(state: &State, metric: u32) -> Result<&Metric, Status> {
    let index = usize::try_from(metric >> 2).unwrap_or(usize::MAX);
    let found = state.metrics.get(index).ok_or(Status::NotFound)?;
    match MetricType::of(metric & 3) == Some(found.kind()) {
        true => Ok(found),
        false => Err(Status::NotFound),
    }
}

/// `proxy_record_metric`.
pub(crate) fn record(call: &mut Call<'_>, metric: u32, value: u64) -> Outcome {
    find(call.state(), metric)?.record(value);
    Ok(())
}

/// `proxy_increment_metric`.
pub(crate) fn increment(call: &mut Call<'_>, metric: u32, delta: i64) -> Outcome {
    Ok(find(call.state(), metric)?.increment(delta)?)
}

/// `proxy_get_metric`.
pub(crate) fn get(call: &mut Call<'_>, metric: u32, to: u32) -> Outcome {
    call.check(to, 8)?;
    let value = find(call.state(), metric)?.get()?;
    Ok(call.put_u64(to, value)?)
}
