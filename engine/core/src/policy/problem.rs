//! Problems of a policy: where, what, and what to do. They name fields, never values.

pub use novacrm_crds::compliance_policy::PolicyProblem;

/// A problem that does not know its place in a file yet.
pub(crate) fn problem(
    path: impl Into<String>,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> PolicyProblem {
    PolicyProblem {
        path: path.into(),
        message: message.into(),
        hint: hint.into(),
        file: None,
        line: None,
        column: None,
    }
}

/// A name from a manifest as a message may show it: short, and without control characters.
pub(crate) fn named(name: &str) -> String {
    let shown: String = name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(64).is_some() { format!("{shown}…") } else { shown }
}

/// The allowed name nearest to `given`, when it is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(given: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.chars().take(64).flat_map(char::to_lowercase).collect();
    let limit = (given.len() / 3).max(1);
    allowed
        .into_iter()
        .map(|name| (distance(&given, &name.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = usize::from(x != y);
            left = (diagonal + cost).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(nearest("keeplast", ["keepLast", "type"]), Some("keepLast"));
        assert_eq!(nearest("redcat", ["redact", "mask"]), Some("redact"));
        assert_eq!(nearest("banana", ["redact", "mask"]), None);
    }

    #[test]
    fn names_are_shortened_and_cleaned() {
        assert_eq!(named("a\nb"), "a\u{fffd}b");
        assert_eq!(named(&"x".repeat(70)).chars().count(), 65);
    }
}
