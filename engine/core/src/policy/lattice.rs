//! Actions as a lattice: what several rules ask for in, the least action that honours all of them out.
//!
//! The join takes the strongest action, the least number of characters a mask leaves readable, and every
//! approver. It is associative, commutative and idempotent, so neither the order of rules nor that of policies
//! matters, and one more of them can tighten and never loosen.

use std::collections::BTreeSet;

use novacrm_crds::compliance_policy::{Action, ActionType};

/// What rules ask for, joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The strongest action.
    pub action: ActionType,
    /// The least number of characters that a mask leaves readable; `None` while no rule masks.
    pub keep_last: Option<u8>,
    /// Roles that may release the text.
    pub approvers: BTreeSet<String>,
}

impl Effect {
    /// The smallest effect that honours both.
    pub fn join(&mut self, other: &Self) {
        self.action = self.action.max(other.action);
        self.keep_last = match (self.keep_last, other.keep_last) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if !other.approvers.is_subset(&self.approvers) {
            self.approvers.extend(other.approvers.iter().cloned());
        }
    }
}

impl From<&Action> for Effect {
    fn from(action: &Action) -> Self {
        let keep_last = (action.r#type == ActionType::Mask).then(|| action.keep_last.unwrap_or(0));
        let approvers = action.approvers.iter().flatten().cloned().collect();
        Self { action: action.r#type, keep_last, approvers }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn effects() -> impl Strategy<Value = Effect> {
        let action = prop_oneof![
            Just(ActionType::Allow),
            Just(ActionType::Flag),
            Just(ActionType::Mask),
            Just(ActionType::Redact),
            Just(ActionType::RequireApproval),
            Just(ActionType::Block),
        ];
        (action, proptest::option::of(0u8..=4), proptest::collection::btree_set("[a-d]", 0..4))
            .prop_map(|(action, keep_last, approvers)| Effect { action, keep_last, approvers })
    }

    fn joined(a: &Effect, b: &Effect) -> Effect {
        let mut a = a.clone();
        a.join(b);
        a
    }

    proptest! {
        #[test]
        fn join_is_commutative(a in effects(), b in effects()) {
            prop_assert_eq!(joined(&a, &b), joined(&b, &a));
        }

        #[test]
        fn join_is_associative(a in effects(), b in effects(), c in effects()) {
            prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
        }

        #[test]
        fn join_is_idempotent(a in effects()) {
            prop_assert_eq!(joined(&a, &a), a);
        }

        #[test]
        fn join_never_loosens(a in effects(), b in effects()) {
            let both = joined(&a, &b);
            prop_assert!(both.action >= a.action && both.action >= b.action);
            prop_assert!(a.keep_last.is_none_or(|kept| both.keep_last.is_some_and(|k| k <= kept)));
        }
    }
}
