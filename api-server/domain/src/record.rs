//! What all records share: identity, owner, version, and who changed them when.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::permission::Resource;

/// Identity and history of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// UUIDv7.
    pub id: Uuid,
    /// The user who answers for it; scope `own` means this user.
    pub owner_id: Uuid,
    /// Grows by one with every change, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// By whom.
    pub created_by: Uuid,
    /// When it was last changed.
    pub updated_at: OffsetDateTime,
    /// By whom.
    pub updated_by: Uuid,
    /// When it was deleted; such a record can be restored.
    pub deleted_at: Option<OffsetDateTime>,
}

impl Meta {
    /// A record that is made now.
    #[must_use]
    pub fn new(id: Uuid, owner_id: Uuid, actor: Uuid, now: OffsetDateTime) -> Self {
        Self {
            id,
            owner_id,
            version: 1,
            created_at: now,
            created_by: actor,
            updated_at: now,
            updated_by: actor,
            deleted_at: None,
        }
    }

    /// Notes a change.
    pub fn touch(&mut self, actor: Uuid, now: OffsetDateTime) {
        self.version += 1;
        self.updated_at = now;
        self.updated_by = actor;
    }
}

/// A kind of record.
pub trait Record: Clone + Send + Sync + 'static {
    /// What the permissions call it.
    const RESOURCE: Resource;

    /// Its identity and history.
    fn meta(&self) -> &Meta;

    /// The same, to be changed.
    fn meta_mut(&mut self) -> &mut Meta;
}
