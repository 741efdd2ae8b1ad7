//! Errors in, what people are told of them out.

/// An error with what caused it, where it does not say so itself.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Example {
        #[error("the door")]
        Plain(#[source] std::fmt::Error),
        #[error("the door: {0}")]
        Telling(#[source] std::fmt::Error),
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::fmt::Error.to_string();
        assert_eq!(chain(&Example::Plain(std::fmt::Error)), format!("the door: {cause}"));
        assert_eq!(chain(&Example::Telling(std::fmt::Error)), format!("the door: {cause}"));
    }
}
