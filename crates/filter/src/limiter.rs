//! Says no to Wasmtime when a virtual machine wants more than it may have.

use crate::plugin::Limits;
use base::{Account, Budget, Short};
use std::sync::Arc;
use wasmtime::ResourceLimiter;

pub(crate) struct Limiter {
    memory: Account,
    table_elements: usize,
    /// What the guest was refused, by the name of the limit.
    pub(crate) reached: Option<&'static str>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, budget: Option<Arc<Budget>>) -> Self {
        let memory = Account::new(limits.memory, budget);
        Self { memory, table_elements: limits.table_elements, reached: None }
    }

    /// Bytes of memory in use.
    pub(crate) fn used(&self) -> u64 {
        self.memory.used()
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
                Short::Own => "memory",
                Short::Budget => "memory of all guests",
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
            self.reached = Some("table-elements");
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        1
    }
}
