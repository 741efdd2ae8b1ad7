//! Organisations.

use novacrm_api_domain::organisation::Organisation;

use super::exchange::reply;
use super::views::OrganisationView;
use crate::services::once::Reply;

pub mod change;
pub mod create;
pub mod delete;
pub mod erasure;
pub mod list;
pub mod read;
pub mod restore;

/// An organisation as a reply.
fn render(record: &Organisation, status: u16) -> Reply {
    let location = format!("/api/v1/organisations/{}", record.meta.id);
    let version = record.meta.version;
    reply(&OrganisationView::from(record.clone()), status, Some(version), location)
}
