//! Actions as a lattice: what several rules ask for in, the least action that honours all of them out.
//!
//! The join takes the strongest action, the least number of characters a mask leaves readable, every approver, and of
//! what stands for a tokenized finding each property at its strictest: irreversible before reversible and, of two that
//! are, the shorter (`pseudonym` over `hash` over `token`); the document before the tenant; the format kept only where
//! all rules that tokenize ask for it. A product of chains and of sets: the join is associative, commutative and
//! idempotent, so neither the order of rules nor that of policies matters, and one more of them can tighten and never
//! loosen.

use std::collections::BTreeSet;

use novacrm_crds::compliance_policy::{Action, ActionType, TokenForm, TokenScope};

/// What rules ask for, joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The strongest action.
    pub action: ActionType,
    /// The least number of characters that a mask leaves readable; `None` while no rule masks.
    pub keep_last: Option<u8>,
    /// What stands for a tokenized finding; `None` while no rule tokenizes.
    pub tokenize: Option<Tokenize>,
    /// Roles that may release the text.
    pub approvers: BTreeSet<String>,
}

/// What stands for a tokenized finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tokenize {
    /// What it is.
    pub form: TokenForm,
    /// Within what equal values get equal ones.
    pub scope: TokenScope,
    /// Whether it may look like the value; means something for a token alone.
    pub preserve_format: bool,
}

impl Tokenize {
    /// The smallest that honours both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            form: self.form.max(other.form),
            scope: self.scope.max(other.scope),
            preserve_format: self.preserve_format && other.preserve_format,
        }
    }
}

impl Effect {
    /// The smallest effect that honours both.
    pub fn join(&mut self, other: &Self) {
        self.action = self.action.max(other.action);
        self.keep_last = match (self.keep_last, other.keep_last) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.tokenize = match (self.tokenize, other.tokenize) {
            (Some(a), Some(b)) => Some(a.join(b)),
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
        let tokenize = (action.r#type == ActionType::Tokenize).then(|| Tokenize {
            form: action.form.unwrap_or_default(),
            scope: action.scope.unwrap_or_default(),
            preserve_format: action.preserve_format.unwrap_or(false),
        });
        let approvers = action.approvers.iter().flatten().cloned().collect();
        Self { action: action.r#type, keep_last, tokenize, approvers }
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
            Just(ActionType::Tokenize),
            Just(ActionType::Redact),
            Just(ActionType::RequireApproval),
            Just(ActionType::Block),
        ];
        let form = prop_oneof![Just(TokenForm::Token), Just(TokenForm::Hash), Just(TokenForm::Pseudonym)];
        let scope = prop_oneof![Just(TokenScope::Tenant), Just(TokenScope::Document)];
        let tokenize = (form, scope, any::<bool>()).prop_map(|(form, scope, preserve_format)| Tokenize {
            form,
            scope,
            preserve_format,
        });
        let keep_last = proptest::option::of(0u8..=4);
        let approvers = proptest::collection::btree_set("[a-d]", 0..4);
        (action, keep_last, proptest::option::of(tokenize), approvers).prop_map(
            |(action, keep_last, tokenize, approvers)| Effect { action, keep_last, tokenize, approvers },
        )
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
            let never_looser = a.tokenize.is_none_or(|one| {
                both.tokenize.is_some_and(|joined| {
                    joined.form >= one.form
                        && joined.scope >= one.scope
                        && (one.preserve_format || !joined.preserve_format)
                })
            });
            prop_assert!(never_looser);
        }
    }
}
