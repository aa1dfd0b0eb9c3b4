//! What a broker keeps besides its messages, and how it is there again.

use super::group::{Group, GroupRow, PendingRow};
use super::log::Log;
use super::state::{Rows, State};
use base::Result;
use std::sync::Arc;

/// What was kept of groups and ids.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) groups: Vec<(u64, GroupRow)>,
    /// By the group and the message's number, in their order.
    pub(crate) pending: Vec<((u64, u64), PendingRow)>,
    pub(crate) ids: Vec<(String, (u64, u64))>,
}

impl<L: Log> State<L> {
    /// Takes in what was kept. What was with subscribers can be handed out again.
    ///
    /// # Errors
    /// Where a message cannot be read.
    pub(super) fn restore(&mut self, mut kept: Kept) -> Result<()> {
        for (id, row) in kept.groups {
            self.last = self.last.max(id);
            self.names.insert(Arc::clone(&row.name), id);
            let group = Group::restored(row, self.now());
            self.groups.insert(id, group);
        }
        for ((id, number), row) in kept.pending {
            let entry = self.log.find(number)?;
            if let (Some(group), Some(entry)) = (self.groups.get_mut(&id), entry) {
                group.restore(number, row, &entry);
            }
        }
        kept.ids.sort_by_key(|(_, (_, time))| *time);
        for (id, (number, time)) in kept.ids {
            self.ids_by_time.push_back((time, id.clone()));
            self.ids.insert(id, (number, time));
        }
        Ok(())
    }

    /// Takes out what changed since the last time.
    pub(crate) fn take_changes(&mut self) -> Rows {
        let changes = std::mem::take(&mut self.changes);
        let mut rows =
            Rows { removed: changes.removed, old_ids: changes.old_ids, ..Rows::default() };
        for id in changes.changed {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            rows.groups.extend(group.row().map(|row| (id, row)));
            let touched = group.take_touched().into_iter();
            rows.pending.extend(touched.map(|(number, row)| ((id, number), row)));
        }
        let known = |id: String| self.ids.get(&id).map(|known| (id.clone(), *known));
        rows.new_ids = changes.new_ids.into_iter().filter_map(known).collect();
        rows
    }

    /// Has these changes kept with the next ones, because they could not be. Messages from `safe`
    /// on are gone.
    pub(crate) fn change_again(&mut self, rows: Rows, safe: u64) {
        self.changes.removed.extend(rows.removed);
        self.changes.old_ids.extend(rows.old_ids);
        for (id, _) in rows.groups {
            self.changes.changed.insert(id);
        }
        for ((id, number), _) in rows.pending {
            if let Some(group) = self.groups.get_mut(&id) {
                group.touch_again([number]);
            }
        }
        self.changes.new_ids.extend(rows.new_ids.into_iter().map(|(id, _)| id));
        // Whoever began behind them would miss those that get their numbers.
        for (id, group) in &mut self.groups {
            if group.cursor() > safe {
                group.go_back_to(safe);
                self.changes.changed.insert(*id);
            }
        }
        self.oldest = None;
        self.ids.retain(|_, (number, _)| *number < safe);
        let ids = &self.ids;
        self.ids_by_time.retain(|(_, id)| ids.contains_key(id));
    }

    /// Tells everybody that there may be something for them.
    pub(crate) fn wake_all(&self) {
        for group in self.groups.values().filter(|group| group.subscribers > 0) {
            group.wake.notify_waiters();
        }
    }
}
