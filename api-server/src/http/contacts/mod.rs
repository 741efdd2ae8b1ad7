//! Contacts.

use novacrm_api_domain::contact::Contact;

use super::exchange::reply;
use super::views::ContactView;
use crate::services::once::Reply;

pub mod change;
pub mod create;
pub mod delete;
pub mod erasure;
pub mod list;
pub mod read;
pub mod restore;
pub mod timeline;

/// A contact as a reply.
fn render(record: &Contact, status: u16) -> Reply {
    let location = format!("/api/v1/contacts/{}", record.meta.id);
    let version = record.meta.version;
    reply(&ContactView::from(record.clone()), status, Some(version), location)
}
