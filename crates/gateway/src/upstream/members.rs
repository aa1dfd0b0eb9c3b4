//! The servers that an upstream has now, and the choice among them.

use super::endpoint::Endpoint;
use super::ring::Ring;
use super::settings::Balance;
use std::sync::Arc;
use std::time::Instant;

/// The servers of now.
#[derive(Default)]
pub(crate) struct Members {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    ring: Ring,
}

impl Members {
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>, balance: &Balance) -> Self {
        let names: Vec<_> = endpoints.iter().map(|one| one.address.to_string()).collect();
        let ring = match balance {
            Balance::RingHash(_) => Ring::new(names.iter().map(String::as_str)),
            Balance::RoundRobin | Balance::LeastRequest => Ring::default(),
        };
        Self { endpoints, ring }
    }

    /// How many are left alone.
    pub(crate) fn out(&self, now: Instant) -> usize {
        self.endpoints.iter().filter(|one| one.record.is_out(now)).count()
    }

    /// Who is asked, or nobody if none is well. Those that were `tried` come after all others,
    /// and those that are left alone after these.
    pub(crate) fn choose(&self, choice: &Choice<'_>, tried: &[Arc<Endpoint>]) -> Option<usize> {
        let now = Instant::now();
        let well = |at: usize| self.endpoints.get(at).is_some_and(|one| one.verdict.is_well());
        let out = |at: usize| self.endpoints.get(at).is_none_or(|one| one.record.is_out(now));
        let fresh = |at: usize| {
            let of = |one: &Arc<Endpoint>| tried.iter().any(|other| Arc::ptr_eq(one, other));
            self.endpoints.get(at).is_some_and(|one| !of(one))
        };
        choice
            .among(self, |at| well(at) && !out(at) && fresh(at))
            .or_else(|| choice.among(self, |at| well(at) && !out(at)))
            .or_else(|| choice.among(self, |at| well(at) && fresh(at)))
            .or_else(|| choice.among(self, well))
    }
}

/// How one of several is chosen.
pub(crate) struct Choice<'a> {
    pub(crate) balance: &'a Balance,
    /// Whose turn it is.
    pub(crate) turn: usize,
    /// Where on the ring the request lies.
    pub(crate) hash: Option<u64>,
}

impl Choice<'_> {
    fn among(&self, members: &Members, fits: impl Fn(usize) -> bool) -> Option<usize> {
        match (self.balance, self.hash) {
            (Balance::RingHash(_), Some(hash)) => members.ring.from(hash).find(|at| fits(*at)),
            (Balance::LeastRequest, _) => self.less_busy(members, fits),
            (Balance::RoundRobin | Balance::RingHash(_), _) => self.next(members, fits),
        }
    }

    /// Each in its turn, so that those who are there share evenly what the others miss.
    fn next(&self, members: &Members, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let fitting = || (0..members.endpoints.len()).filter(|at| fits(*at));
        let turn = self.turn.checked_rem(fitting().count())?;
        fitting().nth(turn)
    }

    /// The one with fewer requests of two that chance names: nearly as good as the best of all,
    /// and not the same for everybody who asks at the same moment.
    fn less_busy(&self, members: &Members, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..members.endpoints.len()).filter(|at| fits(*at)).collect();
        let count = fitting.len();
        if count < 2 {
            return fitting.first().copied();
        }
        let one = fastrand::usize(..count);
        // Another than the first, each as likely.
        let other = (one + fastrand::usize(1..count)) % count;
        let (one, other) = (*fitting.get(one)?, *fitting.get(other)?);
        let active = |at: usize| members.endpoints.get(at).map_or(0, |one| one.active());
        Some(if active(other) < active(one) { other } else { one })
    }
}

#[cfg(test)]
mod tests;
