//! A value, its type and a key of the tenant in; what stands for the value in a text that leaves, and the value again,
//! out.
//!
//! Nothing is kept: a token holds what it stands for, encrypted, and whoever has the key can open it on any machine
//! (ADR 10). All keys are derived from one key of the tenant with HMAC-SHA-256 (RFC 2104), for one purpose each, and
//! for the scope `document` from the document's name as well: a token of one document does not open in another.
//!
//! - A *token* is the value under AES-SIV (RFC 5297, `AEAD_AES_SIV_CMAC_512`), with its type as associated data:
//!   deterministic, so equal values of a scope have equal tokens, and authenticated, so a changed one opens to nothing.
//!   It encrypts the value as it was sent, with every separator, so what is restored is what was there.
//! - A *hash* is 64 bits, and a *pseudonym* 40 bits, of HMAC-SHA-256 over the type and the fingerprint of the
//!   normalised value. They hold nothing of it. Among 10,000 values of one type in one scope two share a pseudonym with
//!   a probability of 1 in 20,000.
//! - A token that keeps the format is what [`super::shape`] makes of the value.
//!
//! All but the last are written `[TYPE:body]`, in letters and digits that no model has a reason to change: base32 without
//! the letters that look like digits (Crockford's alphabet), read back in either case. The end of the body is a
//! checksum under the tenant's key, 20 bits of HMAC-SHA-256 (16 in a hash): so an engine knows what it wrote itself,
//! whatever the document, leaves it as it is when it comes by again, and takes nobody else's brackets for it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use hmac::{Hmac, Mac};
use novacrm_crds::compliance_policy::{TokenForm, TokenScope};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::shape;
use crate::policy::lattice::Tokenize;
use crate::{Fingerprint, Span};

/// Longest value that a token stands for, in bytes; what is longer is redacted.
pub const MAX_VALUE_BYTES: usize = 256;
/// Longest token in a text, in bytes.
pub const MAX_TOKEN_BYTES: usize = 512;
/// Longest type of a finding, as in `CompliancePolicy`.
const MAX_KIND_BYTES: usize = 64;
/// Symbols of a pseudonym without its checksum: 40 bits.
const PSEUDONYM_SYMBOLS: usize = 8;
/// Symbols of a hash without its checksum: 64 bits.
const HASH_SYMBOLS: usize = 16;
/// Symbols of every checksum: 20 bits, in a hash 16.
const CHECK_SYMBOLS: usize = 4;
/// Crockford's base32, which has no `i`, `l`, `o` and `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The tenant's key for tokens; wiped from memory when dropped. Cheap to clone.
#[derive(Clone)]
pub struct TokenKey(Arc<Master>);

struct Master {
    key: Zeroizing<[u8; 32]>,
    check: Zeroizing<[u8; 32]>,
    tenant: OnceLock<ScopeKeys>,
}

/// The keys of one scope, one for each purpose.
struct ScopeKeys {
    siv: Zeroizing<[u8; 64]>,
    name: Zeroizing<[u8; 32]>,
    shape: Zeroizing<[u8; 32]>,
}

impl TokenKey {
    /// Takes 32 bytes of key material.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        let check = hmac(&key, &[b"novacrm token v1", b"check"]);
        Self(Arc::new(Master { key, check, tenant: OnceLock::new() }))
    }

    /// What makes and opens the tokens of one document: any name the caller has for it, such as that of a conversation.
    #[must_use]
    pub fn tokens(&self, document: &str) -> Tokens {
        Tokens(Some(Keyed { key: self.clone(), document: document.to_owned(), keys: OnceLock::new() }))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// HMAC-SHA-256 over parts, each with its length before it, so that no two lists of parts are one.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // HMAC takes keys of any length, so this cannot fail.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) else { return Zeroizing::new([0; 32]) };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

impl ScopeKeys {
    fn derive(key: &[u8; 32], scope: &[u8], document: &[u8]) -> Self {
        let of = |purpose: &[u8]| hmac(key, &[b"novacrm token v1", purpose, scope, document]);
        let mut siv = Zeroizing::new([0; 64]);
        let (mac, cipher) = (of(b"siv mac"), of(b"siv cipher"));
        for (to, from) in siv.iter_mut().zip(mac.iter().chain(cipher.iter())) {
            *to = *from;
        }
        Self { siv, name: of(b"name"), shape: of(b"shape") }
    }
}

/// What makes, knows and opens the tokens of one document of a tenant.
pub struct Tokens(Option<Keyed>);

struct Keyed {
    key: TokenKey,
    document: String,
    keys: OnceLock<ScopeKeys>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

/// A value that something is to stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'v> {
    /// Its type.
    pub(super) kind: &'v str,
    /// As it was sent.
    pub(super) text: &'v str,
    /// Of what was found in it.
    pub(super) fingerprints: &'v [Fingerprint],
    /// Whether it is one finding, and not several that overlap.
    pub(super) is_one: bool,
}

/// What stands for a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StandIn {
    /// In brackets; it is known by itself.
    Bracketed(String),
    /// In the format of the value; nobody can tell.
    Shaped(String),
}

/// What an engine wrote in brackets, at the start of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'t> {
    /// One of ours.
    Known {
        /// Its type.
        kind: &'t str,
        /// What it is.
        form: TokenForm,
        /// Its body without the checksum.
        body: &'t str,
        /// Bytes of all of it.
        len: usize,
    },
    /// With more text it could be one.
    Unfinished,
    /// None of ours.
    Other,
}

impl Tokens {
    /// Writes `…` where others write something under a key, and `0` for each digit of a format: for the tests of
    /// policies, which know no key. Knows and opens nothing.
    #[must_use]
    pub fn placeholders() -> Self {
        Self(None)
    }

    /// What stands for a value; `None` when nothing can, so that it has to be redacted.
    pub(super) fn stand_in(&self, value: &Value<'_>, how: Tokenize) -> Option<StandIn> {
        let Value { kind, text, .. } = *value;
        if !is_kind(kind) || (how.form == TokenForm::Token && text.len() > MAX_VALUE_BYTES) {
            return None;
        }
        let keys = self.0.as_ref().map(|keyed| keyed.of(how.scope));
        if how.form == TokenForm::Token
            && how.preserve_format
            && value.is_one
            && let Some(shaped) = shape::hide(kind, text, keys.map(|keys| &*keys.shape))
        {
            return Some(StandIn::Shaped(shaped));
        }
        let (Some(keyed), Some(keys)) = (self.0.as_ref(), keys) else {
            return Some(StandIn::Bracketed(format!("[{kind}:…]")));
        };
        let body = match how.form {
            TokenForm::Token => {
                let mut cipher = Aes256Siv::new((&*keys.siv).into());
                to_base32(&cipher.encrypt([kind.as_bytes()], text.as_bytes()).ok()?)
            }
            TokenForm::Hash => {
                hex::encode(keys.digest(b"hash", value)).chars().take(HASH_SYMBOLS).collect::<String>()
            }
            TokenForm::Pseudonym => {
                to_base32(&*keys.digest(b"pseudonym", value)).chars().take(PSEUDONYM_SYMBOLS).collect()
            }
        };
        let check = keyed.check(kind, how.form, &body);
        Some(StandIn::Bracketed(format!("[{kind}:{body}{check}]")))
    }

    /// Reads what stands at the start of a text, which begins with `[`.
    pub(super) fn parse<'t>(&self, text: &'t str) -> Parsed<'t> {
        let Some(keyed) = &self.0 else { return Parsed::Other };
        let unfinished = |end: usize, most: usize| match text.len() {
            len if len == end && len < most => Parsed::Unfinished,
            _ => Parsed::Other,
        };
        let bytes = text.as_bytes();
        let run = |from: usize, takes: fn(&u8) -> bool| {
            let rest = bytes.get(from..).unwrap_or_default();
            from + rest.iter().take(MAX_TOKEN_BYTES).take_while(|byte| takes(byte)).count()
        };
        let colon = run(1, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
        let kind = text.get(1..colon).unwrap_or_default();
        if bytes.get(colon) != Some(&b':') || !is_kind(kind) {
            // A type that only begins is no type yet.
            return if kind.is_empty() || is_kind(kind) {
                unfinished(colon, MAX_KIND_BYTES + 2)
            } else {
                Parsed::Other
            };
        }
        let end = run(colon + 1, u8::is_ascii_alphanumeric);
        if bytes.get(end) != Some(&b']') {
            return unfinished(end, MAX_TOKEN_BYTES);
        }
        let symbols = text.get(colon + 1..end).unwrap_or_default();
        let Some((body, check)) = symbols.split_at_checked(symbols.len().saturating_sub(CHECK_SYMBOLS))
        else {
            return Parsed::Other;
        };
        let form = match body.len() {
            PSEUDONYM_SYMBOLS => TokenForm::Pseudonym,
            HASH_SYMBOLS => TokenForm::Hash,
            // A synthetic IV of 16 bytes and at least one of the value.
            28.. => TokenForm::Token,
            _ => return Parsed::Other,
        };
        let canonical = |text: &str| text.bytes().map(fold).map(char::from).collect::<String>();
        if keyed.check(kind, form, &canonical(body)) != canonical(check) {
            return Parsed::Other;
        }
        Parsed::Known { kind, form, body, len: end + 1 }
    }

    /// Opens the body of a token; `None` when it is of another document, or was changed.
    pub(super) fn open(&self, kind: &str, body: &str) -> Option<Zeroizing<String>> {
        let keyed = self.0.as_ref()?;
        let sealed = from_base32(body)?;
        [TokenScope::Document, TokenScope::Tenant].into_iter().find_map(|scope| {
            let mut cipher = Aes256Siv::new((&*keyed.of(scope).siv).into());
            let value = cipher.decrypt([kind.as_bytes()], &sealed).ok()?;
            String::from_utf8(value).ok().map(Zeroizing::new)
        })
    }

    /// Opens a token that keeps the format, as a scope made it; `None` when none did.
    pub(super) fn open_shaped(
        &self,
        kind: &str,
        token: &str,
        scope: TokenScope,
    ) -> Option<Zeroizing<String>> {
        let keyed = self.0.as_ref()?;
        shape::show(kind, token, &keyed.of(scope).shape).map(Zeroizing::new)
    }

    /// Where a text holds what an engine wrote: tokens, hashes, pseudonyms, and labels of `known` types.
    pub(crate) fn written(&self, text: &str, known: impl Fn(&str) -> bool) -> Written {
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(|rest| rest.find('[')) {
            at += found;
            let rest = text.get(at..).unwrap_or_default();
            let len = match self.parse(rest) {
                Parsed::Known { len, .. } => Some(len),
                _ => label(rest, &known),
            };
            if let Some(len) = len {
                places.push(at..at + len);
            }
            at += len.unwrap_or(1);
        }
        Written::new(text, &places)
    }
}

impl Keyed {
    fn of(&self, scope: TokenScope) -> &ScopeKeys {
        let key = &self.key.0.key;
        match scope {
            TokenScope::Tenant => self.key.0.tenant.get_or_init(|| ScopeKeys::derive(key, b"tenant", b"")),
            TokenScope::Document => {
                self.keys.get_or_init(|| ScopeKeys::derive(key, b"document", self.document.as_bytes()))
            }
        }
    }

    fn check(&self, kind: &str, form: TokenForm, body: &str) -> String {
        let digest = hmac(&self.key.0.check, &[kind.as_bytes(), body.as_bytes()]);
        let symbols = match form {
            TokenForm::Hash => hex::encode(*digest),
            TokenForm::Token | TokenForm::Pseudonym => to_base32(&*digest),
        };
        symbols.chars().take(CHECK_SYMBOLS).collect()
    }
}

impl ScopeKeys {
    fn digest(&self, purpose: &[u8], value: &Value<'_>) -> Zeroizing<[u8; 32]> {
        let mut parts = vec![purpose, value.kind.as_bytes()];
        parts.extend(value.fingerprints.iter().map(|fingerprint| fingerprint.as_bytes().as_slice()));
        hmac(&self.name, &parts)
    }
}

/// What of a text an engine wrote before.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// In brackets, in code points, in order.
    places: Vec<Span>,
    /// What each code point is; empty where no engine wrote anything.
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// In brackets of ours, or a separator: no part of a value.
    Nothing,
    /// Masked.
    Star,
    /// May be part of a value.
    Open,
}

impl Written {
    fn new(text: &str, places: &[Range<usize>]) -> Self {
        if places.is_empty() && !text.contains("**") {
            return Self::default();
        }
        let (mut spans, mut points) = (Vec::with_capacity(places.len()), Vec::with_capacity(text.len()));
        let mut coming = places.iter().peekable();
        let mut start = None;
        for (code_point, (at, c)) in text.char_indices().enumerate() {
            if coming.peek().is_some_and(|place| place.start == at) {
                start = Some(code_point);
            }
            points.push(match c {
                _ if start.is_some() => Point::Nothing,
                '*' => Point::Star,
                _ if c.is_alphanumeric() => Point::Open,
                _ => Point::Nothing,
            });
            if coming.peek().is_some_and(|place| place.end == at + c.len_utf8()) {
                coming.next();
                spans.extend(start.take().map(|start| Span { start, end: code_point + 1 }));
            }
        }
        Self { places: spans, points }
    }

    /// Whether there is nothing left to be found in a span: all that it holds was written by an engine, or it is the end
    /// of a masked value, before which at least as much is masked as it shows.
    pub(crate) fn is_all_of(&self, span: Span) -> bool {
        let Some(points) = self.points.get(span.start..span.end) else { return false };
        let Some(last) = points.iter().rposition(|point| *point == Point::Open) else {
            let next = self.places.partition_point(|place| place.end <= span.start);
            let is_in_brackets = self.places.get(next).is_some_and(|place| place.start < span.end);
            return is_in_brackets || points.contains(&Point::Star);
        };
        let shown = points.iter().take(last + 1);
        let (open, stars) = shown.fold((0, 0), |(open, stars), point| match point {
            Point::Open => (open + 1, stars),
            Point::Star => (open, stars + 1),
            Point::Nothing => (open, stars),
        });
        let before = self.points.get(..span.start).unwrap_or_default();
        let stars = stars + before.iter().rev().take_while(|point| **point == Point::Star).take(open).count();
        stars > 1 && stars >= open
    }
}

/// The length of the label at the start of a text, as [`super::apply`] writes it: `[IBAN]`, `[IBAN, CARD]`.
fn label(text: &str, known: impl Fn(&str) -> bool) -> Option<usize> {
    let is_part = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_, ".contains(byte);
    let inner = text.as_bytes().iter().skip(1).take(MAX_TOKEN_BYTES).take_while(|byte| is_part(byte)).count();
    let labels = text.get(1..=inner)?;
    (text.as_bytes().get(inner + 1) == Some(&b']') && labels.split(", ").all(known)).then_some(inner + 2)
}

/// Whether a word can be the type of a finding.
fn is_kind(word: &str) -> bool {
    word.len() <= MAX_KIND_BYTES && word.starts_with(|first: char| first.is_ascii_uppercase())
}

/// A symbol as it is written: in lower case, and the letters that are not in the alphabet as what they look like.
fn fold(symbol: u8) -> u8 {
    match symbol.to_ascii_lowercase() {
        b'o' => b'0',
        b'i' | b'l' => b'1',
        other => other,
    }
}

fn to_base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(symbol(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(symbol(held << (5 - bits)));
    }
    out
}

fn symbol(bits: u32) -> char {
    ALPHABET.get((bits & 31) as usize).copied().map_or('0', char::from)
}

/// `None` for what [`to_base32`] never writes.
fn from_base32(symbols: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(symbols.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in symbols.bytes() {
        let value = ALPHABET.iter().position(|symbol| *symbol == fold(byte))?;
        held = (held << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 5 && held == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::FingerprintKey;

    fn key() -> TokenKey {
        TokenKey::new([3; 32])
    }

    fn how(form: TokenForm, scope: TokenScope) -> Tokenize {
        Tokenize { form, scope, preserve_format: false }
    }

    fn made(tokens: &Tokens, kind: &str, text: &str, how: Tokenize) -> String {
        let fingerprints = [FingerprintKey::new([1; 32]).fingerprint(kind, text)];
        let value = Value { kind, text, fingerprints: &fingerprints, is_one: true };
        match tokens.stand_in(&value, how) {
            Some(StandIn::Bracketed(text) | StandIn::Shaped(text)) => text,
            None => format!("[{kind}]"),
        }
    }

    fn opened(tokens: &Tokens, text: &str) -> Option<String> {
        match tokens.parse(text) {
            Parsed::Known { kind, form: TokenForm::Token, body, len } if len == text.len() => {
                tokens.open(kind, body).map(|value| value.to_string())
            }
            _ => None,
        }
    }

    const FORMS: [TokenForm; 3] = [TokenForm::Token, TokenForm::Hash, TokenForm::Pseudonym];
    const SCOPES: [TokenScope; 2] = [TokenScope::Tenant, TokenScope::Document];

    #[test]
    fn equal_values_of_a_scope_have_equal_stand_ins_and_no_others_have() {
        let (one, other) = (key().tokens("a"), key().tokens("b"));
        let foreign = TokenKey::new([4; 32]).tokens("a");
        for form in FORMS {
            for scope in SCOPES {
                let how = how(form, scope);
                let made_here = made(&one, "EMAIL", "anne@acme.example", how);
                assert_eq!(made_here, made(&key().tokens("a"), "EMAIL", "anne@acme.example", how));
                assert_ne!(made_here, made(&one, "EMAIL", "rene@acme.example", how));
                assert_ne!(made_here, made(&one, "LOGIN", "anne@acme.example", how));
                assert_ne!(made_here, made(&foreign, "EMAIL", "anne@acme.example", how));
                let there = made(&other, "EMAIL", "anne@acme.example", how);
                assert_eq!(made_here == there, scope == TokenScope::Tenant, "{form:?}");
            }
        }
    }

    #[test]
    fn a_token_opens_under_its_own_key_and_document_only() {
        let (one, other) = (key().tokens("a"), key().tokens("b"));
        let foreign = TokenKey::new([4; 32]).tokens("a");
        let value = "FR76 3000\u{a0}6000";
        let of_document = made(&one, "IBAN", value, how(TokenForm::Token, TokenScope::Document));
        let of_tenant = made(&one, "IBAN", value, how(TokenForm::Token, TokenScope::Tenant));
        assert_eq!(opened(&one, &of_document).as_deref(), Some(value));
        assert_eq!(opened(&other, &of_document), None);
        assert_eq!(opened(&other, &of_tenant).as_deref(), Some(value));
        for token in [&of_document, &of_tenant] {
            assert_eq!(foreign.parse(token), Parsed::Other);
            assert_eq!(opened(&foreign, token), None);
            assert_eq!(opened(&one, &token.replace("[IBAN:", "[CARD:")), None);
            // Shouted, and with letters for the digits they look like.
            assert_eq!(opened(&one, &token.replace('0', "O").replace('1', "l")).as_deref(), Some(value));
            assert_eq!(opened(&one, &token.to_uppercase()).as_deref(), Some(value));
        }
    }

    #[test]
    fn a_changed_token_is_not_opened() {
        let tokens = key().tokens("a");
        let token = made(&tokens, "IBAN", "FR7630006000", how(TokenForm::Token, TokenScope::Tenant));
        for at in "[IBAN:".len()..token.len() - 1 {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
            assert_eq!(opened(&tokens, &String::from_utf8(changed).unwrap()), None, "{at}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_token_still_has_a_name() {
        let tokens = key().tokens("a");
        let longest = "x".repeat(MAX_VALUE_BYTES);
        let kind = "A".repeat(MAX_KIND_BYTES);
        let token = made(&tokens, &kind, &longest, how(TokenForm::Token, TokenScope::Tenant));
        assert!(token.len() <= MAX_TOKEN_BYTES, "{}", token.len());
        assert_eq!(opened(&tokens, &token), Some(longest.clone()));
        let long = format!("{longest}x");
        assert_eq!(made(&tokens, "KEY", &long, how(TokenForm::Token, TokenScope::Tenant)), "[KEY]");
        assert!(made(&tokens, "KEY", &long, how(TokenForm::Hash, TokenScope::Tenant)).starts_with("[KEY:"));
    }

    #[test]
    fn the_end_of_a_masked_value_is_nothing_to_be_found_and_emphasis_hides_nothing() {
        let is_all = |text: &str, part: &str| {
            let start = text.find(part).unwrap();
            key().tokens("a").written(text, |_| false).is_all_of(Span { start, end: start + part.len() })
        };
        for (text, part) in
            [("x ****1234", "****1234"), ("x ****1234", "1234"), ("x *****", "*****"), ("**-*ab*", "**-*ab*")]
        {
            assert!(is_all(text, part), "{text} {part}");
        }
        for (text, part) in [
            ("**ab12**", "ab12"),
            ("**ab12**", "ab12**"),
            ("**ab12**", "**ab12**"),
            ("* ** abc", "abc"),
            ("**12345", "12345"),
        ] {
            assert!(!is_all(text, part), "{text} {part}");
        }
    }

    #[test]
    fn tests_of_policies_see_no_key() {
        let tokens = Tokens::placeholders();
        for form in FORMS {
            assert_eq!(made(&tokens, "IBAN", "x", how(form, TokenScope::Document)), "[IBAN:…]");
        }
        assert_eq!(tokens.parse("[IBAN:…]"), Parsed::Other);
    }

    #[test]
    fn an_engine_knows_what_it_wrote_and_nobody_else_s_brackets() {
        let tokens = key().tokens("a");
        let token = made(&tokens, "IBAN", "FR7630006000", how(TokenForm::Token, TokenScope::Document));
        let hash = made(&tokens, "CARD", "4111", how(TokenForm::Hash, TokenScope::Document));
        let name = made(&tokens, "PERSON", "Anne", how(TokenForm::Pseudonym, TokenScope::Document));
        let text = format!("é [IBAN] {token}{hash}, {name} [IBAN, CARD] [OTHER] [CARD:4111111111111111]");
        let written = key().tokens("b").written(&text, |kind| ["IBAN", "CARD"].contains(&kind));
        let span = |part: &str| {
            let start = text.split_once(part).unwrap().0.chars().count();
            Span { start, end: start + part.chars().count() }
        };
        let known = ["[IBAN]", &token, &hash, &name, "[IBAN, CARD]", "IBAN, CARD", token.get(6..20).unwrap()];
        for part in known {
            assert!(written.is_all_of(span(part)), "{part}");
        }
        // What joins two of them is nothing by itself; a word beside one is.
        assert!(written.is_all_of(span(&format!("{token}{hash}, {name}"))));
        for part in [
            "é [IBAN]",
            "é",
            "[OTHER]",
            "[CARD:4111111111111111]",
            &format!("{hash}, {name} [IBAN, CARD] [O"),
        ] {
            assert!(!written.is_all_of(span(part)), "{part}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(value in "\\PC{1,60}", document in "\\PC{0,12}") {
            let tokens = key().tokens(&document);
            for scope in SCOPES {
                let token = made(&tokens, "TYPE_1", &value, how(TokenForm::Token, scope));
                prop_assert_eq!(opened(&tokens, &token), Some(value.clone()));
            }
        }

        #[test]
        fn base32_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(from_base32(&to_base32(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_can_be_read(text in "(\\[[A-Z]{0,3}:?[a-z0-9é\\]]{0,80}){0,3}") {
            let tokens = key().tokens("a");
            std::hint::black_box(tokens.parse(&text));
            std::hint::black_box(tokens.written(&text, |_| true));
        }

        #[test]
        fn a_stand_in_that_is_cut_short_is_unfinished(value in "[a-z0-9]{1,40}", cut in any::<proptest::sample::Index>()) {
            let tokens = key().tokens("a");
            for form in FORMS {
                let token = made(&tokens, "IBAN", &value, how(form, TokenScope::Document));
                prop_assert_eq!(tokens.parse(token.split_at(1 + cut.index(token.len() - 1)).0), Parsed::Unfinished);
            }
        }
    }
}
