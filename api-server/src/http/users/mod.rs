//! Users.

use novacrm_api_domain::user::User;

use super::exchange::reply;
use super::views::UserView;
use crate::services::once::Reply;

pub mod change;
pub mod create;
pub mod list;
pub mod read;

/// A user as a reply.
fn render(user: &User, status: u16) -> Reply {
    let location = format!("/api/v1/users/{}", user.meta.id);
    reply(&UserView::from(user.clone()), status, Some(user.meta.version), location)
}
