//! How groups come about and end.

use super::desk::Desk;
use super::link::Link;
use super::names::Note;
use super::notes::written;
use crate::Filter;
use base::Result;
use std::sync::Arc;

/// Takes part in a group, which is made if it is not there. Where another host has it and it covers
/// these topics already, this one stands by.
pub(super) async fn join(link: &Arc<Link>, name: &str, filters: &[Filter]) -> Result<Arc<Desk>> {
    let _joining = link.joining.lock().await;
    link.caught_up().await?;
    let id = link.names.session(name);
    let known = link.notes.filters(&id);
    let is_same = known.as_deref() == Some(filters);
    let desk = match link.desk(&id) {
        Some(desk) if is_same => return Ok(desk),
        Some(desk) => desk,
        None => {
            let filters = known.as_deref().unwrap_or_default();
            Arc::new(Desk::new(link, id.clone(), Some(name.to_owned()), filters))
        }
    };
    let is_held = link.notes.holder(&id).is_some_and(|host| host != link.host());
    if is_same && is_held {
        desk.shared.stand_by();
    } else {
        // Known before it is there, so that it is found when everything is removed.
        if !is_same {
            link.retain(link.names.note(Note::Group, &id), written(name, filters), None).await?;
            // What comes is for the group if it is told to cover it.
            link.told(&id, Some(filters)).await?;
        }
        let before = known.as_deref().unwrap_or_default();
        desk.shared.take(filters, before, known.is_none()).await?;
    }
    link.add_desk(&id, &desk);
    Ok(desk)
}

/// A session for one subscriber, which ends with it.
pub(super) async fn alone(link: &Arc<Link>, filters: &[Filter]) -> Result<Arc<Desk>> {
    let id = link.names.session(&format!("\0{:x}\0{:x}", fastrand::u64(..), fastrand::u64(..)));
    let desk = Arc::new(Desk::new(link, id, None, filters));
    desk.shared.take(filters, &[], true).await?;
    Ok(desk)
}

/// Forgets the group with this session, if there is one, wherever it is.
pub(super) async fn forget(link: &Arc<Link>, id: &str) -> Result<()> {
    let _joining = link.joining.lock().await;
    link.caught_up().await?;
    // First what is known of it: the host that has it hears that it is no more.
    for note in [Note::Group, Note::Holder, Note::User] {
        link.retain(link.names.note(note, id), String::new(), None).await?;
    }
    link.told(id, None).await?;
    if let Some(desk) = link.take_desk(id) {
        desk.shared.forget();
    }
    link.clear(id).await?;
    // A host that had it has said so once more, if it said it just then.
    link.retain(link.names.note(Note::Holder, id), String::new(), None).await
}
