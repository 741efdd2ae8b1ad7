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

/// How many letters must be added, removed, replaced or swapped with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut above_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = at(&last, j) + usize::from(x != y);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&above_last, j - 1) + 1);
            }
            row.push(least);
        }
        above_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
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
