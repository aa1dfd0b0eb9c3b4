//! Data and queues that virtual machines share.

use super::{Call, Outcome};
use crate::abi::Status;
use crate::outside::Listener;
use std::sync::Arc;

/// `proxy_get_shared_data`.
pub(crate) fn get(
    call: &mut Call<'_>,
    key: u32,
    key_size: u32,
    data: u32,
    size: u32,
    cas: u32,
) -> Outcome {
    call.check_block(data, size)?;
    call.check(cas, 4)?;
    let (key, state) = call.bytes(key, key_size)?;
    let vm_id = Arc::clone(&state.plugin.vm_id);
    let found = state.outside.shared().get(&vm_id, key)?;
    let (value, number) = found.ok_or(Status::NotFound)?;
    call.give(&value, data, size)?;
    Ok(call.put_u32(cas, number)?)
}

/// `proxy_set_shared_data`.
pub(crate) fn set(
    call: &mut Call<'_>,
    key: u32,
    key_size: u32,
    data: u32,
    size: u32,
    cas: u32,
) -> Outcome {
    let value = call.copy(data, size)?;
    let (key, state) = call.bytes(key, key_size)?;
    let vm_id = Arc::clone(&state.plugin.vm_id);
    Ok(state.outside.shared().set(&vm_id, key, value, cas)?)
}

/// `proxy_register_shared_queue`: this plugin hears of the queue from now on.
pub(crate) fn register(call: &mut Call<'_>, name: u32, name_size: u32, to: u32) -> Outcome {
    call.check(to, 4)?;
    let (name, state) = call.bytes(name, name_size)?;
    let vm_id = Arc::clone(&state.plugin.vm_id);
    let listener = Listener { mailbox: state.outside.mailbox(), context: state.root() };
    let queue = state.outside.queues().register(&vm_id, name, listener)?;
    state.queues.insert(queue);
    Ok(call.put_u32(to, queue)?)
}

/// `proxy_resolve_shared_queue`: of this `vm_id` if none is named.
pub(crate) fn resolve(
    call: &mut Call<'_>,
    vm_id: u32,
    vm_id_size: u32,
    name: u32,
    name_size: u32,
    to: u32,
) -> Outcome {
    call.check(to, 4)?;
    let vm_id = call.text(vm_id, vm_id_size)?;
    let (name, state) = call.bytes(name, name_size)?;
    let vm_id = if vm_id.is_empty() { state.plugin.vm_id.to_string() } else { vm_id };
    let queue = state.outside.queues().resolve(&vm_id, name).ok_or(Status::NotFound)?;
    state.queues.insert(queue);
    Ok(call.put_u32(to, queue)?)
}

/// `proxy_enqueue_shared_queue`: `NotFound` for a queue that was not opened here.
pub(crate) fn enqueue(call: &mut Call<'_>, queue: u32, data: u32, size: u32) -> Outcome {
    let value = call.copy(data, size)?;
    let state = call.state();
    if !state.queues.contains(&queue) {
        return Err(Status::NotFound.into());
    }
    Ok(state.outside.queues().enqueue(queue, value)?)
}

/// `proxy_dequeue_shared_queue`: `NotFound` for a queue that was not opened here.
pub(crate) fn dequeue(call: &mut Call<'_>, queue: u32, data: u32, size: u32) -> Outcome {
    call.check_block(data, size)?;
    let state = call.state();
    if !state.queues.contains(&queue) {
        return Err(Status::NotFound.into());
    }
    let value = state.outside.queues().dequeue(queue)?;
    call.give(&value, data, size)
}
