//! Weights of what was seen in, a score from 0 to 100 out.
//!
//! `score = 100 · (1 − ∏ (1 − wᵢ · sᵢ))`, rounded, and at least 1 when anything counts. Each finding counts once,
//! with the heaviest `riskWeight` of the rules that name its detector and whose other demands on the request
//! (surface, use of AI, purpose, role) hold; `sᵢ` is how sure the detector is. Each rule that looks at the
//! request alone counts once, with `sᵢ = 1`. How many findings a rule needs, and which findings must be absent,
//! is a matter of action and not of risk; so one more finding, or one more policy, never lowers the score.

/// How much is at risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// From 0 (nothing seen) to 100.
    pub score: u8,
    /// The score in words.
    pub level: RiskLevel,
}

/// The score in words, lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    /// 0.
    #[default]
    None,
    /// 1 to 24.
    Low,
    /// 25 to 49.
    Medium,
    /// 50 to 74.
    High,
    /// 75 to 100.
    Critical,
}

impl RiskLevel {
    fn of(score: u8) -> Self {
        match score {
            0 => Self::None,
            1..=24 => Self::Low,
            25..=49 => Self::Medium,
            50..=74 => Self::High,
            _ => Self::Critical,
        }
    }
}

/// One thing that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// `riskWeight` of the rule (0 to 100).
    pub weight: u8,
    /// How sure the detector is (0 to 1); 1 for a rule that looks at the request alone.
    pub certainty: f64,
}

/// Combines what was seen. The order is without meaning, to the last bit.
#[must_use]
pub fn combine(contributions: impl IntoIterator<Item = Contribution>) -> Risk {
    let mut left: Vec<f64> = contributions
        .into_iter()
        .map(|one| 1.0 - f64::from(one.weight.min(100)) / 100.0 * one.certainty.clamp(0.0, 1.0))
        .filter(|factor| *factor < 1.0)
        .collect();
    if left.is_empty() {
        return Risk::default();
    }
    // Multiplication of floats depends on the order; a fixed one keeps equal sets equal, and since each factor
    // is at most 1 and rounding is monotone, one more factor anywhere never raises the product.
    left.sort_by(f64::total_cmp);
    let product: f64 = left.iter().product();
    let score = rounded(100.0 * (1.0 - product));
    Risk { score, level: RiskLevel::of(score) }
}

/// The nearest whole number from 1 to 100.
fn rounded(percent: f64) -> u8 {
    (1..=100).rev().find(|score| f64::from(*score) - 0.5 <= percent).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(weight: u8, certainty: f64) -> Contribution {
        Contribution { weight, certainty }
    }

    #[test]
    fn nothing_seen_is_no_risk() {
        assert_eq!(combine([]), Risk { score: 0, level: RiskLevel::None });
        assert_eq!(combine([seen(0, 1.0)]).score, 0);
    }

    #[test]
    fn one_certain_finding_has_the_weight_of_its_rule() {
        assert_eq!(combine([seen(40, 1.0)]), Risk { score: 40, level: RiskLevel::Medium });
        assert_eq!(combine([seen(100, 1.0)]).score, 100);
        assert_eq!(combine([seen(1, 0.1)]).score, 1);
    }

    #[test]
    fn two_findings_weigh_more_than_one_and_less_than_their_sum() {
        assert_eq!(combine([seen(40, 1.0), seen(40, 1.0)]), Risk { score: 64, level: RiskLevel::High });
    }

    fn contributions() -> impl Strategy<Value = Vec<Contribution>> {
        proptest::collection::vec((0u8..=100, 0.0f64..=1.0).prop_map(|(w, c)| seen(w, c)), 0..20)
    }

    proptest! {
        #[test]
        fn adding_a_finding_never_lowers_the_score(all in contributions(), weight in 0u8..=100, certainty in 0.0f64..=1.0) {
            let before = combine(all.clone());
            let after = combine(all.into_iter().chain([seen(weight, certainty)]));
            prop_assert!(after.score >= before.score && after.level >= before.level);
        }

        #[test]
        fn a_heavier_or_surer_finding_never_lowers_the_score(all in contributions(), weight in 0u8..100, certainty in 0.0f64..1.0) {
            let light = combine(all.iter().copied().chain([seen(weight, certainty)]));
            let heavy = combine(all.into_iter().chain([seen(weight + 1, (certainty * 1.1).min(1.0))]));
            prop_assert!(heavy.score >= light.score);
        }

        #[test]
        fn the_order_is_without_meaning(all in contributions(), seed in any::<u64>()) {
            let mut other = all.clone();
            if !other.is_empty() {
                let turn = usize::try_from(seed % other.len() as u64).unwrap();
                other.rotate_left(turn);
            }
            prop_assert_eq!(combine(all), combine(other));
        }
    }
}
