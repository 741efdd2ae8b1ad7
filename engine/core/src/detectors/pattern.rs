//! In: an expression that a policy brings along. Out: it compiled, or what is wrong with it and how to mend it.
//!
//! The `regex` crate runs in time linear in the text for one search, so an expression cannot explode at run
//! time; what is bounded here is what it costs to compile and keep.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast;
use regex_syntax::hir::Hir;
use thiserror::Error;

/// Longest expression, in bytes; the schema of `CompliancePolicy` has the same limit in characters.
pub const MAX_PATTERN_BYTES: usize = 4096;
/// Deepest nesting of groups, classes and repetitions.
pub const MAX_NESTING: u32 = 32;
/// Largest compiled expression, in bytes.
pub const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It is longer than [`MAX_PATTERN_BYTES`].
    #[error(
        "the expression has {length} bytes, at most {MAX_PATTERN_BYTES} are allowed; split it into several detectors"
    )]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It nests deeper than [`MAX_NESTING`].
    #[error("the expression nests deeper than {MAX_NESTING} levels; flatten its groups")]
    TooDeep,
    /// Compiled, it is larger than [`MAX_COMPILED_BYTES`].
    #[error(
        "the expression is larger than {MAX_COMPILED_BYTES} bytes when compiled; lower its counted repetitions, such as {{1,1000}}, or use (?-u:…) for ASCII classes"
    )]
    TooLarge,
    /// It matches the empty text, so it would match everywhere.
    #[error(
        "the expression matches the empty text, so it would be found everywhere; make one part of it mandatory"
    )]
    MatchesEmpty,
    /// It uses look-around or a back-reference.
    #[error(
        "at character {column}: {what} is not supported; use a group named `value` to narrow the finding instead"
    )]
    Unsupported {
        /// Where, in characters from 1.
        column: usize,
        /// What.
        what: &'static str,
    },
    /// It is not an expression.
    #[error(
        "at character {column}: {message}; see the syntax of the regex crate, https://docs.rs/regex/latest/regex/#syntax"
    )]
    Syntax {
        /// Where, in characters from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

/// Compiles an expression under the limits of this module.
///
/// # Errors
/// When it is not an expression of the `regex` crate, is beyond a limit or matches the empty text.
pub fn compile_pattern(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong { length: pattern.len() });
    }
    let hir = parse(pattern)?;
    if hir.properties().minimum_len().is_none_or(|shortest| shortest == 0) {
        return Err(PatternError::MatchesEmpty);
    }
    RegexBuilder::new(pattern)
        .nest_limit(MAX_NESTING)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .build()
        // Its syntax was read above, so what is left is its size.
        .map_err(|_| PatternError::TooLarge)
}

fn parse(pattern: &str) -> Result<Hir, PatternError> {
    regex_syntax::ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(pattern).map_err(|error| {
        match error {
            regex_syntax::Error::Parse(error) => syntax_error(&error),
            regex_syntax::Error::Translate(error) => {
                PatternError::Syntax { column: error.span().start.column, message: error.kind().to_string() }
            }
            other => PatternError::Syntax { column: 1, message: other.to_string() },
        }
    })
}

fn syntax_error(error: &ast::Error) -> PatternError {
    let column = error.span().start.column;
    match error.kind() {
        ast::ErrorKind::NestLimitExceeded(_) => PatternError::TooDeep,
        ast::ErrorKind::UnsupportedBackreference => {
            PatternError::Unsupported { column, what: "a back-reference" }
        }
        ast::ErrorKind::UnsupportedLookAround => PatternError::Unsupported { column, what: "look-around" },
        kind => PatternError::Syntax { column, message: kind.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_expression_compiles() {
        assert!(compile_pattern(r"\bDOSSIER-(?P<value>[0-9]{6})\b").unwrap().is_match("DOSSIER-123456"));
    }

    #[test]
    fn each_refusal_says_what_is_wrong_and_how_to_mend_it() {
        let nested = format!("{}a{}", "(".repeat(40), ")".repeat(40));
        let long = "a".repeat(MAX_PATTERN_BYTES + 1);
        for (pattern, said) in [
            (long.as_str(), "split it"),
            (nested.as_str(), "flatten"),
            (r"((\w{100}){100}){100}", "lower its counted repetitions"),
            ("[0-9]*", "mandatory"),
            ("^", "mandatory"),
            (r"(?=secret)x", "look-around"),
            (r"(a)\1", "back-reference"),
            ("ab(", "at character 3"),
            (r"\p{Unknown}x", "at character 1"),
        ] {
            let error = compile_pattern(pattern).unwrap_err().to_string();
            assert!(error.contains(said), "{pattern:.20}: {error}");
        }
    }

    #[test]
    fn an_exploding_expression_is_refused_at_once() {
        assert_eq!(compile_pattern("(((a{999}){999}){999}){999}").unwrap_err(), PatternError::TooLarge);
    }
}
