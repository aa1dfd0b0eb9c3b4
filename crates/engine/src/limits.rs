//! What one guest may use, and who says no.

use base::{Account, Budget, Short};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::ResourceLimiter;

/// The limits of one component. Every field has a default that a deployment can override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory in one instance, all its memories together.
    pub memory: u64,
    /// Tables in one instance.
    pub tables: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances in one instance of the component.
    pub instances: usize,
    /// Bytes of stack of a guest's call.
    pub stack: usize,
    /// Handles that one instance holds, of host and component resources each.
    pub handles: usize,
    /// Bytes that the host copies out of a guest for the arguments of one call.
    pub hostcall_buffer: usize,
    /// Host calls of a component that run at once.
    pub hostcalls: usize,
    /// How long one host call may take.
    pub hostcall_timeout: Duration,
    /// How long a call of a guest may take, from its start to the end of its answer.
    pub request_timeout: Duration,
    /// Calls of a component that run at once.
    pub concurrency: usize,
    /// Calls that wait when `concurrency` are running.
    pub queue: usize,
    /// How long a call waits before it is turned away.
    pub queue_timeout: Duration,
    /// Bytes of the body of a request.
    pub request_body: u64,
    /// Bytes of the body of an answer.
    pub response_body: u64,
    /// Bytes of the header fields of a request or an answer that a guest makes.
    pub header_size: usize,
    /// Lines that a component logs in a second.
    pub log_rate: u32,
    /// Requests that a component sends out at once.
    pub outbound: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            tables: 64,
            table_elements: 100_000,
            instances: 64,
            stack: 512 << 10,
            handles: 10_000,
            hostcall_buffer: 32 << 20,
            hostcalls: 256,
            hostcall_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            concurrency: 256,
            queue: 1024,
            queue_timeout: Duration::from_secs(5),
            request_body: 64 << 20,
            response_body: 1 << 30,
            header_size: 128 << 10,
            log_rate: 1000,
            outbound: 64,
        }
    }
}

/// Which limit an instance ran into, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The component's own memory limit.
    Memory,
    /// The memory of all guests together.
    Budget,
    /// The elements of a table.
    Table,
}

impl Reached {
    /// The limit's name in the deployment file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Budget => "memory of all guests",
            Self::Table => "table-elements",
        }
    }
}

/// Says no to Wasmtime when a guest wants more than it may have.
pub(crate) struct Limiter {
    memory: Account,
    table_elements: usize,
    tables: usize,
    instances: usize,
    reached: Option<Reached>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, budget: &Arc<Budget>) -> Self {
        Self {
            memory: Account::new(limits.memory, Some(Arc::clone(budget))),
            table_elements: limits.table_elements,
            tables: limits.tables,
            instances: limits.instances,
            reached: None,
        }
    }

    /// The last limit that the instance ran into.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.reached
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let taken = self.memory.take(desired.saturating_sub(current) as u64);
        if let Err(short) = taken {
            self.reached = Some(match short {
                Short::Own => Reached::Memory,
                Short::Budget => Reached::Budget,
            });
        }
        Ok(taken.is_ok())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.table_elements;
        if !fits {
            self.reached = Some(Reached::Table);
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_one_instance_share_its_limit_and_give_back() {
        let budget = Arc::new(Budget::new(1000));
        let limits = Limits { memory: 600, ..Limits::default() };
        let mut one = Limiter::new(&limits, &budget);
        assert!(one.memory_growing(0, 400, None).unwrap());
        assert!(!one.memory_growing(0, 300, None).unwrap());
        assert_eq!(one.reached(), Some(Reached::Memory));
        let mut two = Limiter::new(&limits, &budget);
        assert!(two.memory_growing(0, 600, None).unwrap());
        assert!(!one.memory_growing(400, 401, None).unwrap());
        assert_eq!(one.reached(), Some(Reached::Budget));
        drop(two);
        assert!(one.memory_growing(400, 401, None).unwrap());
        drop(one);
        assert_eq!(budget.used(), 0);
    }
}
