//! What filters share where nothing else is set up: data and queues in this process.

use crate::abi::Status;
use crate::outside::{Listener, Queues, SharedData};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;
/// A `vm_id` keeps so many bytes at most.
const MOST_BYTES: usize = 64 << 20;
/// A queue holds so many items, and so many bytes, at most.
const MOST_ITEMS: usize = 16 << 10;
const MOST_QUEUED: usize = 16 << 20;
const MOST_QUEUES: usize = 4096;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared data in this process.
#[derive(Default)]
pub struct LocalData {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    values: HashMap<(Arc<str>, Bytes), (Bytes, u32)>,
    bytes: usize,
}

impl LocalData {
    fn shard(&self, vm_id: &str, key: &[u8]) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one((vm_id, key));
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        // The index is below the number of shards.
        lock(self.shards.get(index).unwrap_or(&self.shards[0]))
    }
}

impl SharedData for LocalData {
    fn get(&self, vm_id: &str, key: &[u8]) -> Result<Option<(Bytes, u32)>, Status> {
        let shard = self.shard(vm_id, key);
        Ok(shard.values.get(&(Arc::from(vm_id), Bytes::copy_from_slice(key))).cloned())
    }

    fn set(&self, vm_id: &str, key: &[u8], value: Bytes, cas: u32) -> Result<(), Status> {
        let mut shard = self.shard(vm_id, key);
        let shard = &mut *shard;
        let key = (Arc::from(vm_id), Bytes::copy_from_slice(key));
        let size = key.1.len() + value.len();
        let known = shard.values.get_mut(&key);
        let before = known.as_ref().map_or(0, |(value, _)| key.1.len() + value.len());
        let bytes = shard.bytes - before + size;
        if bytes > MOST_BYTES / SHARDS {
            return Err(Status::InternalFailure);
        }
        match known {
            Some((_, number)) if cas != 0 && cas != *number => return Err(Status::CasMismatch),
            Some((known, number)) => {
                *known = value;
                // Never 0, which stands for "whatever it is".
                *number = number.checked_add(1).unwrap_or(1);
            }
            None => drop(shard.values.insert(key, (value, 1))),
        }
        shard.bytes = bytes;
        Ok(())
    }
}

/// Queues in this process.
#[derive(Default)]
pub struct LocalQueues(Mutex<Table>);

#[derive(Default)]
struct Table {
    ids: HashMap<(String, Vec<u8>), u32>,
    queues: Vec<Queue>,
}

struct Queue {
    items: VecDeque<Bytes>,
    bytes: usize,
    listener: Listener,
}

impl Table {
    fn queue(&mut self, id: u32) -> Result<&mut Queue, Status> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        index.and_then(|index| self.queues.get_mut(index)).ok_or(Status::NotFound)
    }
}

impl Queues for LocalQueues {
    fn register(&self, vm_id: &str, name: &[u8], listener: Listener) -> Result<u32, Status> {
        let mut table = lock(&self.0);
        let key = (vm_id.to_owned(), name.to_vec());
        if let Some(id) = table.ids.get(&key).copied() {
            table.queue(id)?.listener = listener;
            return Ok(id);
        }
        if table.queues.len() >= MOST_QUEUES {
            return Err(Status::InternalFailure);
        }
        table.queues.push(Queue { items: VecDeque::new(), bytes: 0, listener });
        let id = u32::try_from(table.queues.len()).map_err(|_many| Status::InternalFailure)?;
        table.ids.insert(key, id);
        Ok(id)
    }

    fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<u32> {
        lock(&self.0).ids.get(&(vm_id.to_owned(), name.to_vec())).copied()
    }

    fn enqueue(&self, queue: u32, value: Bytes) -> Result<(), Status> {
        let mut table = lock(&self.0);
        let it = table.queue(queue)?;
        if it.items.len() >= MOST_ITEMS || it.bytes + value.len() > MOST_QUEUED {
            return Err(Status::InternalFailure);
        }
        it.bytes += value.len();
        it.items.push_back(value);
        let listener = it.listener.clone();
        drop(table);
        listener.mailbox.queue_ready(listener.context, queue);
        Ok(())
    }

    fn dequeue(&self, queue: u32) -> Result<Bytes, Status> {
        let mut table = lock(&self.0);
        let it = table.queue(queue)?;
        let value = it.items.pop_front().ok_or(Status::Empty)?;
        it.bytes -= value.len();
        Ok(value)
    }
}
