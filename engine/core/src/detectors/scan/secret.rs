//! In: `://` or `-----BEGIN `. Out: the password of a URL, or a private key.

use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Longest user information that is read, in bytes.
const MAX_AUTHORITY: usize = 512;
/// Longest key that is read, in bytes: beyond a 16,384-bit RSA key in PEM.
const MAX_KEY: usize = 16_384;
/// Fewest base64 characters of a key: an Ed25519 key in PKCS #8 has 64, and half of one is telling enough.
const MIN_KEY: usize = 32;

impl Scan<'_> {
    /// The password in `scheme://user:password@host` (RFC 3986, section 3.2.1), from the `://` at `at`.
    pub(super) fn connection_string(&mut self, at: usize) {
        if !byte_before(self.bytes, at).is_ascii_alphanumeric() {
            return;
        }
        let from = at + 3;
        let rest = self.bytes.get(from..self.bytes.len().min(from + MAX_AUTHORITY)).unwrap_or_default();
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'<>`\\".contains(byte);
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        let authority = rest.get(..length).unwrap_or_default();
        let Some(host) = authority.iter().rposition(|byte| *byte == b'@') else { return };
        let Some(colon) = authority.iter().take(host).position(|byte| *byte == b':') else { return };
        let range = from + colon + 1..from + host;
        let password = self.slice(&range).to_owned();
        let is_reference = password.starts_with(['$', '{', '%', '[', '*']) && !password.starts_with("%2")
            || password.chars().all(|c| matches!(c, 'x' | 'X' | '*' | '.'));
        if password.is_empty() || is_reference || host + 1 >= authority.len() {
            return;
        }
        let told =
            ["password", "passwd", "pass", "pwd", "secret", "motdepasse", "mot_de_passe", "mdp", "changeme"];
        let is_told =
            told.iter().any(|word| password.eq_ignore_ascii_case(word)) || check::is_placeholder(&password);
        let form = if is_told { Form::Weak } else { Form::Telling };
        self.found(Structure::ConnectionString, range, form, password);
    }

    /// A private key in PEM (RFC 7468), OpenSSH or PGP armour from the `-----BEGIN ` at `at`; answers where it
    /// ends. One that was cut off counts with what is there of it.
    pub(super) fn private_key(&mut self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..self.bytes.len().min(at + MAX_KEY))?;
        let label = rest.get(11..rest.len().min(11 + 64))?;
        let label_end = label.windows(5).position(|dashes| dashes == b"-----")?;
        if !label.get(..label_end)?.windows(11).any(|words| words.eq_ignore_ascii_case(b"PRIVATE KEY")) {
            return None;
        }
        let body_start = 11 + label_end + 5;
        let body = rest.get(body_start..)?;
        let dashes = body.windows(5).position(|dashes| dashes == b"-----");
        let footer = dashes.filter(|place| {
            body.get(*place + 5..*place + 9).is_some_and(|word| word.eq_ignore_ascii_case(b"END "))
        });
        let body_length = footer
            .unwrap_or_else(|| cut_off_length(body.get(..dashes.unwrap_or(body.len())).unwrap_or_default()));
        let key = body.get(..body_length)?;
        let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        if key.iter().filter(is_base64).count() < MIN_KEY {
            return None;
        }
        let mut end = at + body_start + body_length;
        if let Some(footer) = footer {
            let line = body.get(footer + 5..).unwrap_or_default();
            let closing = line.windows(5).take(80).position(|dashes| dashes == b"-----");
            end += closing.map_or(5, |place| 10 + place);
        }
        let mut range_end = end.min(self.bytes.len());
        while !self.text.is_char_boundary(range_end) {
            range_end += 1;
        }
        let value = key.iter().filter(is_base64).map(|byte| char::from(*byte)).collect();
        self.found(Structure::PrivateKey, at..range_end, Form::Telling, value);
        Some(range_end)
    }
}

/// How much of the text behind a header without footer is lines of a key rather than prose.
fn cut_off_length(body: &[u8]) -> usize {
    let mut length = 0;
    let mut place = 0;
    while place < body.len() {
        let start = place;
        while byte_at(body, place).is_ascii_whitespace()
            || (byte_at(body, place) == b'\\' && byte_at(body, place + 1) == b'n')
        {
            place += 1 + usize::from(byte_at(body, place) == b'\\');
        }
        let word = place;
        while matches!(byte_at(body, place), b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=') {
            place += 1;
        }
        if place - word < 16 || place == start {
            break;
        }
        length = place;
    }
    length
}
