//! Says no to Wasmtime when a virtual machine wants more than it may have.

use crate::plugin::Limits;
use wasmtime::ResourceLimiter;

pub(crate) struct Limiter {
    memory: u64,
    table_elements: usize,
    used: u64,
    /// What the guest was refused, by the name of the limit.
    pub(crate) reached: Option<&'static str>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { memory, table_elements, .. } = *limits;
        Self { memory, table_elements, used: 0, reached: None }
    }

    /// Bytes of memory in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current) as u64);
        if used > self.memory {
            self.reached = Some("memory");
            return Ok(false);
        }
        self.used = used;
        Ok(true)
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
