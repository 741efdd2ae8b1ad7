//! Who may do what to which records, as data.
//!
//! The matrix speaks of three scopes: own, team, all. Teams do not exist yet, so what it grants to a team is
//! granted on all records; the day teams exist, these entries become `Team` and nothing else changes.
//! What a role is not given here it may not do.

use std::fmt;

use uuid::Uuid;

use crate::user::{Role, closed_set};

closed_set! {
    /// A kind of record that permissions speak of.
    Resource {
        /// Organisations.
        Organisation = "organisation",
        /// Contacts.
        Contact = "contact",
        /// Interactions with contacts.
        Interaction = "interaction",
        /// Verdicts of the compliance engine.
        Assessment = "assessment",
        /// The policies in force, which change through git only.
        Policy = "policy",
        /// Users and their roles.
        User = "user",
    }
}

closed_set! {
    /// What is done to a record. Restoring a deleted record needs `delete`.
    Verb {
        /// Look at it.
        Read = "read",
        /// Make one.
        Create = "create",
        /// Change it.
        Update = "update",
        /// Delete or restore it.
        Delete = "delete",
        /// Give it to another owner. What a verb reaches may depend on the owner, so changing a record's fields does not
        /// include this.
        Assign = "assign",
        /// Erase it for good, with what belongs to it (GDPR, article 17).
        Erase = "erase",
    }
}

/// Which records a permission reaches, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Those the user owns.
    Own,
    /// All.
    All,
}

/// Something that may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// To what.
    pub resource: Resource,
    /// What.
    pub verb: Verb,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.resource.as_str(), self.verb.as_str())
    }
}

/// One line of the matrix: a role may do these verbs to a resource within a scope.
type Grant = (Role, Resource, &'static [(Verb, Scope)]);

/// The matrix. A verb that is not listed is refused.
const MATRIX: &[Grant] = {
    use Resource::{Assessment, Contact, Interaction, Organisation, Policy, User};
    use Role::{Compliance, Direction, Ops, Sales};
    use Scope::{All, Own};
    use Verb::{Assign, Create, Delete, Erase, Read, Update};
    &[
        // Team becomes all: create, read and update.
        (Sales, Organisation, &[(Create, All), (Read, All), (Update, All), (Delete, Own), (Assign, Own)]),
        (Sales, Contact, &[(Create, All), (Read, All), (Update, All), (Delete, Own), (Assign, Own)]),
        // Team becomes all: read.
        (Sales, Interaction, &[(Create, Own), (Read, All), (Update, Own), (Delete, Own)]),
        (Sales, Assessment, &[(Create, Own), (Read, Own)]),
        (Sales, Policy, &[(Read, All)]),
        (Ops, Organisation, &[(Create, All), (Read, All), (Update, All), (Delete, All), (Assign, All)]),
        (Ops, Contact, &[(Create, All), (Read, All), (Update, All), (Delete, All), (Assign, All)]),
        (Ops, Interaction, &[(Create, All), (Read, All), (Update, All), (Assign, All)]),
        (Ops, Assessment, &[(Create, Own), (Read, All)]),
        (Ops, Policy, &[(Read, All)]),
        // Answers what people ask of their data; changes nothing else.
        (Compliance, Organisation, &[(Read, All), (Erase, All)]),
        (Compliance, Contact, &[(Read, All), (Erase, All)]),
        (Compliance, Interaction, &[(Read, All), (Erase, All)]),
        (Compliance, Assessment, &[(Create, Own), (Read, All)]),
        (Compliance, Policy, &[(Read, All)]),
        (Compliance, User, &[(Read, All)]),
        (
            Direction,
            Organisation,
            &[(Create, All), (Read, All), (Update, All), (Delete, All), (Assign, All), (Erase, All)],
        ),
        (
            Direction,
            Contact,
            &[(Create, All), (Read, All), (Update, All), (Delete, All), (Assign, All), (Erase, All)],
        ),
        (Direction, Interaction, &[(Create, All), (Read, All), (Update, All), (Assign, All), (Erase, All)]),
        (Direction, Assessment, &[(Create, Own), (Read, All)]),
        (Direction, Policy, &[(Read, All)]),
        (Direction, User, &[(Create, All), (Read, All), (Update, All)]),
    ]
};

/// How far a role's permission reaches, or `None` when it has none.
#[must_use]
pub fn scope(role: Role, permission: Permission) -> Option<Scope> {
    let (_, _, verbs) = MATRIX.iter().find(|(who, what, _)| *who == role && *what == permission.resource)?;
    verbs.iter().find(|(verb, _)| *verb == permission.verb).map(|(_, scope)| *scope)
}

/// All that a role may do, in the order of the definitions.
pub fn of_role(role: Role) -> impl Iterator<Item = Permission> {
    Resource::ALL
        .iter()
        .flat_map(|resource| Verb::ALL.iter().map(|verb| Permission { resource: *resource, verb: *verb }))
        .filter(move |permission| scope(role, *permission).is_some())
}

/// Whose records are visible: what a scope means for the user who asks. Queries turn it into a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Those of this owner.
    Owner(Uuid),
    /// All.
    All,
}

impl Visibility {
    /// What the scope means for the user.
    #[must_use]
    pub fn new(scope: Scope, user: Uuid) -> Self {
        match scope {
            Scope::Own => Self::Owner(user),
            Scope::All => Self::All,
        }
    }

    /// The owner that records are narrowed to.
    #[must_use]
    pub fn owner(self) -> Option<Uuid> {
        match self {
            Self::Owner(owner) => Some(owner),
            Self::All => None,
        }
    }

    /// Whether records of this owner are visible.
    #[must_use]
    pub fn covers(self, owner: Uuid) -> bool {
        self.owner().is_none_or(|only| only == owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(role: Role, resource: Resource, verb: Verb) -> Option<Scope> {
        scope(role, Permission { resource, verb })
    }

    #[test]
    fn each_role_and_resource_has_one_line() {
        let mut lines: Vec<_> = MATRIX.iter().map(|(role, resource, _)| (*role, *resource)).collect();
        lines.sort();
        let count = lines.len();
        lines.dedup();
        assert_eq!(lines.len(), count);
    }

    #[test]
    fn whoever_changes_a_record_also_reads_it_at_least_as_far() {
        for role in Role::ALL {
            for resource in Resource::ALL {
                for verb in [Verb::Update, Verb::Delete, Verb::Assign, Verb::Erase] {
                    if let Some(scope) = may(*role, *resource, verb) {
                        assert!(may(*role, *resource, Verb::Read) >= Some(scope), "{role:?} {resource:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn compliance_reads_and_may_erase_everything_and_changes_no_customer_record() {
        for resource in [Resource::Organisation, Resource::Contact, Resource::Interaction] {
            assert_eq!(may(Role::Compliance, resource, Verb::Read), Some(Scope::All));
            for verb in [Verb::Create, Verb::Update, Verb::Delete, Verb::Assign] {
                assert_eq!(may(Role::Compliance, resource, verb), None);
            }
            assert_eq!(may(Role::Compliance, resource, Verb::Erase), Some(Scope::All));
        }
    }

    #[test]
    fn nobody_takes_over_a_record_that_is_out_of_reach_of_one_of_their_verbs() {
        // Otherwise whoever may assign more than they may delete (or assign, or update) would reach it in two steps.
        for role in Role::ALL {
            for resource in Resource::ALL {
                let Some(assign) = may(*role, *resource, Verb::Assign) else { continue };
                for verb in Verb::ALL {
                    if let Some(scope) = may(*role, *resource, *verb) {
                        assert!(assign <= scope, "{role:?} {resource:?} {verb:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_changes_policies_here() {
        for role in Role::ALL {
            for verb in Verb::ALL.iter().filter(|verb| **verb != Verb::Read) {
                assert_eq!(may(*role, Resource::Policy, *verb), None);
            }
        }
    }
}
