//! Interactions.

use novacrm_api_domain::interaction::Interaction;

use super::exchange::reply;
use super::views::InteractionView;
use crate::services::once::Reply;

pub mod change;
pub mod create;
pub mod delete;
pub mod erasure;
pub mod list;
pub mod read;
pub mod restore;

/// An interaction as a reply.
fn render(record: &Interaction, status: u16) -> Reply {
    let location = format!("/api/v1/interactions/{}", record.meta.id);
    let version = record.meta.version;
    reply(&InteractionView::from(record.clone()), status, Some(version), location)
}
