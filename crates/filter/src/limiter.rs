//! Says no to Wasmtime when a virtual machine wants more than it may have.

use crate::outside::Budget;
use crate::plugin::Limits;
use std::sync::Arc;
use wasmtime::ResourceLimiter;

pub(crate) struct Limiter {
    memory: u64,
    table_elements: usize,
    used: u64,
    budget: Option<Arc<dyn Budget>>,
    /// What the guest was refused, by the name of the limit.
    pub(crate) reached: Option<&'static str>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, budget: Option<Arc<dyn Budget>>) -> Self {
        let Limits { memory, table_elements, .. } = *limits;
        Self { memory, table_elements, used: 0, budget, reached: None }
    }

    /// Bytes of memory in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give(self.used);
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current) as u64;
        if self.used.saturating_add(growth) > self.memory {
            self.reached = Some("memory");
            return Ok(false);
        }
        if self.budget.as_ref().is_some_and(|budget| !budget.take(growth)) {
            self.reached = Some("memory of all guests");
            return Ok(false);
        }
        self.used += growth;
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
