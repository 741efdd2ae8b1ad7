//! In: a pattern of the catalogue. Out: it compiled, and tried where one of its literals stands.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regex::{Regex, RegexBuilder};

use super::super::{Pattern, Validator};
use super::{byte_at, byte_before, check};

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
    regex: Regex,
    min_entropy: f64,
    validator: Option<Validator>,
}

/// What an expression matched.
pub(super) struct Match {
    /// Where the match ends.
    pub(super) end: usize,
    /// The value and whether its optional checksum holds, when it passes everything else.
    pub(super) value: Option<(Range<usize>, bool)>,
}

impl Rule {
    pub(super) fn new(entry: usize, pattern: &Pattern) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(&format!(r"\A(?:{})", pattern.regex)).size_limit(SIZE_LIMIT).build()?;
        Ok(Self {
            entry,
            anchors: pattern.anchors.clone(),
            ignore_case: pattern.ignore_case,
            regex,
            min_entropy: pattern.min_entropy,
            validator: pattern.validator,
        })
    }

    /// Tries the rule where one of its literals stands, in whatever case.
    pub(super) fn try_at(&self, text: &str, at: usize) -> Option<Match> {
        let bytes = text.as_bytes();
        if !self.may_start(bytes, at) {
            return None;
        }
        let mut to = at.saturating_add(WINDOW).min(text.len());
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        let window = text.get(at..to)?;
        if !self.ignore_case && !self.anchors.iter().any(|anchor| window.starts_with(anchor)) {
            return None;
        }
        let captures = self.regex.captures(window)?;
        let whole = captures.get(0)?;
        let value = captures.name("value").unwrap_or(whole);
        let range = at + value.start()..at + value.end();
        let accepted = self.accept(bytes, value.as_str(), range.end);
        Some(Match { end: at + whole.end(), value: accepted.map(|verified| (range, verified)) })
    }

    /// Whether a token may start here: no character of a token touches it. An escape sequence, as in a string
    /// of source code or a URL, is not part of the token.
    fn may_start(&self, bytes: &[u8], at: usize) -> bool {
        let before = byte_before(bytes, at);
        if !check::is_word(before) && before != b'-' {
            return true;
        }
        if self.ignore_case && !before.is_ascii_alphanumeric() {
            // Its anchors are names of settings, which come with prefixes.
            return true;
        }
        let second = at.checked_sub(2).map_or(0, |at| byte_at(bytes, at));
        let third = at.checked_sub(3).map_or(0, |at| byte_at(bytes, at));
        (matches!(before, b'n' | b'r' | b't') && second == b'\\')
            || (before.is_ascii_hexdigit() && second.is_ascii_hexdigit() && third == b'%')
    }

    /// Whether a value passes, and if so whether its optional checksum holds.
    fn accept(&self, bytes: &[u8], value: &str, end: usize) -> Option<bool> {
        if check::is_word(byte_at(bytes, end))
            || check::is_placeholder(value)
            || check::entropy(value.as_bytes()) < self.min_entropy
        {
            return None;
        }
        match self.validator {
            None => Some(false),
            Some(Validator::GithubChecksum) => Some(github_checksum(value)),
            Some(Validator::JwtHeader) => jwt_header(value).then_some(false),
            Some(Validator::MixedAlphabet) => {
                let has = |class: fn(&u8) -> bool| value.as_bytes().iter().any(class);
                (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit))
                    .then_some(false)
            }
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

/// Whether the first part is the header of a JSON Web Signature or Encryption (RFC 7515, section 4.1.1).
fn jwt_header(token: &str) -> bool {
    let Some((header, _)) = token.split_once('.') else { return false };
    let Ok(header) = URL_SAFE_NO_PAD.decode(header) else { return false };
    let Ok(header) = serde_json::from_slice::<serde_json::Value>(&header) else { return false };
    header.get("alg").is_some_and(serde_json::Value::is_string)
}
