//! In: a pattern of the catalogue. Out: it compiled, and tried where one of its literals stands. Most patterns are
//! shapes; what is not becomes an expression of the `regex` crate, compiled when it is first needed.

use std::ops::Range;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::{Regex, RegexBuilder};

use super::super::{Pattern, Validator};
use super::shape::{Matched, Shape};
use super::{Form, byte_at, byte_before, check};

/// Longest stretch of text an expression sees, in bytes.
const WINDOW: usize = 8192;
/// Longest compiled expression, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// A pattern, compiled.
pub(super) struct Rule {
    /// Index of the catalogue entry.
    pub(super) entry: usize,
    anchors: Vec<String>,
    ignore_case: bool,
    lead: usize,
    matcher: Matcher,
    min_entropy: f64,
    needs_company: bool,
    validator: Option<Validator>,
}

/// What an expression matched.
pub(super) struct Match {
    /// Where the match ends.
    pub(super) end: usize,
    /// The value, how telling its form is and whether its optional checksum holds, when it passes everything else.
    pub(super) value: Option<(Range<usize>, Form, bool)>,
}

impl Rule {
    pub(super) fn new(entry: usize, pattern: &Pattern) -> Result<Self, Box<regex_syntax::Error>> {
        Ok(Self {
            entry,
            anchors: pattern.anchors.clone(),
            ignore_case: pattern.ignore_case,
            lead: pattern.lead,
            matcher: Matcher::new(&pattern.regex)?,
            min_entropy: pattern.min_entropy,
            needs_company: pattern.needs_company,
            validator: pattern.validator,
        })
    }

    /// Whether a match may start so that one of the literals stands at `at`.
    pub(super) fn may_start_at(&self, bytes: &[u8], at: usize) -> bool {
        at.checked_sub(self.lead).is_some_and(|start| self.may_start(bytes, start))
    }

    /// Tries the rule where one of its literals stands, in whatever case, and a match may start.
    pub(super) fn try_at(&self, text: &str, at: usize) -> Option<Match> {
        let bytes = text.as_bytes();
        let start = at.checked_sub(self.lead)?;
        let rest = bytes.get(at..)?;
        let is_mark = |anchor: &&String| rest.starts_with(anchor.as_bytes());
        let mark = self.anchors.iter().filter(is_mark).map(String::len).max();
        if !self.ignore_case && mark.is_none() {
            return None;
        }
        let matched = self.matcher.match_at(text, start)?;
        let range = matched.value.0..matched.value.1;
        let value = text.get(range.clone())?;
        // A mark says nothing of how random the rest is, and one is a run of a letter.
        let random =
            if self.lead == 0 && range.start == start { value.get(mark.unwrap_or(0)..) } else { None };
        let random = random.unwrap_or(value);
        let accepted = if may_end(bytes, range.end)
            && !is_in_file_name(bytes, start, range.end)
            && !check::is_placeholder(random)
            && check::entropy(value.as_bytes()) >= self.min_entropy
        {
            validate(self.validator, value, random)
        } else {
            None
        };
        let form = if self.needs_company && stands_alone(bytes, start) { Form::Weak } else { Form::Telling };
        Some(Match { end: matched.end, value: accepted.map(|verified| (range, form, verified)) })
    }

    /// Whether a token may start here: no character of a token touches it. An escape sequence, as in a string
    /// of source code or a URL, is not part of the token.
    fn may_start(&self, bytes: &[u8], at: usize) -> bool {
        let before = byte_before(bytes, at);
        if !check::is_word(byte_at(bytes, at)) {
            return true;
        }
        let second = at.checked_sub(2).map_or(0, |at| byte_at(bytes, at));
        if !check::is_word(before) && before != b'-' && !(before == b'+' && second.is_ascii_alphanumeric()) {
            return true;
        }
        if self.ignore_case && !before.is_ascii_alphanumeric() {
            // Its anchors are names of settings, which come with prefixes.
            return true;
        }
        let third = at.checked_sub(3).map_or(0, |at| byte_at(bytes, at));
        (matches!(before, b'n' | b'r' | b't') && second == b'\\')
            || (before.is_ascii_hexdigit() && second.is_ascii_hexdigit() && third == b'%')
    }
}

/// Whether a token may end here: no character of a token touches it.
pub(super) fn may_end(bytes: &[u8], end: usize) -> bool {
    let next = byte_at(bytes, end);
    let joins = matches!(next, b'-' | b'+') && byte_at(bytes, end + 1).is_ascii_alphanumeric();
    !check::is_word(next) && !joins
}

/// Whether a match stands between the dots of a file name, as in `video.ico-7a38….png`.
fn is_in_file_name(bytes: &[u8], start: usize, end: usize) -> bool {
    byte_before(bytes, start) == b'.'
        && byte_at(bytes, end) == b'.'
        && byte_at(bytes, end + 1).is_ascii_alphanumeric()
}

/// Whether nothing but blanks stands before a match: it is neither assigned nor quoted nor part of a URL.
fn stands_alone(bytes: &[u8], start: usize) -> bool {
    let before = bytes.get(start.saturating_sub(16)..start).unwrap_or_default();
    let last = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    last.is_none_or(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b',' | b';') || *byte >= 0x80
    })
}

/// Whether a value passes the validator, and if so whether its optional checksum holds.
/// `random` is the value without its mark.
pub(super) fn validate(validator: Option<Validator>, value: &str, random: &str) -> Option<bool> {
    match validator {
        None => Some(false),
        Some(Validator::GithubChecksum) => Some(github_checksum(value)),
        Some(Validator::GrafanaChecksum) => Some(grafana_checksum(value)),
        Some(Validator::JwtHeader) => jwt_algorithm(value).filter(|name| !is_none(name)).map(|_| false),
        Some(Validator::JwtUnsigned) => jwt_algorithm(value).filter(|name| is_none(name)).map(|_| false),
        Some(Validator::JwtBase64) => {
            let bare = value.trim_end_matches('=');
            let inner = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok()?;
            jwt_header(std::str::from_utf8(&inner).ok()?).filter(serde_json::Value::is_object).map(|_| false)
        }
        Some(Validator::LettersAndDigits) => {
            let count = |class: fn(&u8) -> bool| random.as_bytes().iter().filter(|byte| class(byte)).count();
            (count(u8::is_ascii_digit) >= 2 && count(u8::is_ascii_alphabetic) >= 2).then_some(false)
        }
        Some(Validator::MixedAlphabet) => {
            let has = |class: fn(&u8) -> bool| value.as_bytes().iter().any(class);
            (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit))
                .then_some(false)
        }
    }
}

/// An expression, ready to be tried at a place.
pub(super) enum Matcher {
    Shape(Shape),
    /// Compiled when it is first tried: most texts hold the literals of a few rules only.
    Regex {
        expression: String,
        compiled: OnceLock<Option<Regex>>,
    },
}

impl Matcher {
    pub(super) fn new(expression: &str) -> Result<Self, Box<regex_syntax::Error>> {
        let parsed = regex_syntax::parse(expression)?;
        Ok(match Shape::new(&parsed) {
            Some(shape) => Self::Shape(shape),
            None => Self::Regex { expression: expression.to_owned(), compiled: OnceLock::new() },
        })
    }

    pub(super) fn match_at(&self, text: &str, at: usize) -> Option<Matched> {
        match self {
            Self::Shape(shape) => shape.match_at(text.as_bytes(), at, may_end),
            Self::Regex { .. } => {
                let regex = self.regex()?;
                let mut to = at.saturating_add(WINDOW).min(text.len());
                while !text.is_char_boundary(to) {
                    to -= 1;
                }
                let captures = regex.captures(text.get(at..to)?)?;
                let whole = captures.get(0)?;
                let value = captures.name("value").unwrap_or(whole);
                Some(Matched { end: at + whole.end(), value: (at + value.start(), at + value.end()) })
            }
        }
    }

    fn regex(&self) -> Option<&Regex> {
        match self {
            Self::Shape(_) => None,
            Self::Regex { expression, compiled } => compiled
                .get_or_init(|| {
                    RegexBuilder::new(&format!(r"\A(?:{expression})")).size_limit(SIZE_LIMIT).build().ok()
                })
                .as_ref(),
        }
    }
}

/// Whether the last six characters are the CRC-32 of those between prefix and checksum, in base 62.
/// Source: <https://github.blog/engineering/behind-githubs-new-authentication-token-formats/>.
fn github_checksum(token: &str) -> bool {
    let Some((_, body)) = token.split_once('_') else { return false };
    let Some((random, checksum)) =
        body.len().checked_sub(6).and_then(|at| body.as_bytes().split_at_checked(at))
    else {
        return false;
    };
    check::base62(checksum) == Some(u64::from(check::crc32(random)))
}

/// Whether the eight hexadecimal digits behind the last `_` are the CRC-32 of what precedes it, little-endian.
/// Source: <https://github.com/grafana/grafana/blob/main/pkg/components/satokengen/satokengen.go>.
fn grafana_checksum(token: &str) -> bool {
    let Some((body, checksum)) = token.rsplit_once('_') else { return false };
    u32::from_str_radix(checksum, 16)
        .is_ok_and(|checksum| checksum.swap_bytes() == check::crc32(body.as_bytes()))
}

/// The header of a JSON Web Signature or Encryption (RFC 7515, section 4.1).
fn jwt_header(token: &str) -> Option<serde_json::Value> {
    let (header, _) = token.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// The algorithm that the header names (RFC 7515, section 4.1.1).
fn jwt_algorithm(token: &str) -> Option<String> {
    jwt_header(token)?.get("alg")?.as_str().map(str::to_owned)
}

/// Whether the algorithm is the one that signs nothing (RFC 7518, section 3.6), in whatever case: readers that
/// are fooled by it often ignore case.
fn is_none(algorithm: &str) -> bool {
    algorithm.eq_ignore_ascii_case("none")
}

#[cfg(test)]
mod tests {
    use super::super::super::{Find, catalogue};
    use super::*;

    #[test]
    fn every_expression_of_the_catalogue_is_a_shape_or_compiles() {
        let mut general = 0;
        for entry in catalogue().iter() {
            let expression = match &entry.find {
                Find::Pattern(pattern) => &pattern.regex,
                Find::Assigned(assigned) => &assigned.value,
                _ => continue,
            };
            let matcher = Matcher::new(expression).unwrap();
            if !matches!(matcher, Matcher::Shape(_)) {
                general += 1;
                assert!(matcher.regex().is_some(), "{}", entry.id);
            }
        }
        assert!(general < 100, "{general} expressions need the general engine");
    }

    #[test]
    fn the_checksums_of_vendors_hold_for_what_they_make_and_for_nothing_else() {
        let body = format!("gl{}", "sa_Zk3Lq8Wm5Tn2Rv7Xs4Bd9Fg6Hj1Kc0Pa");
        let token = format!("{body}_{:08x}", check::crc32(body.as_bytes()).swap_bytes());
        assert!(grafana_checksum(&token) && !grafana_checksum(&token.replace("Zk3", "Zk4")));
        assert!(!grafana_checksum("glsa"));
    }
}
