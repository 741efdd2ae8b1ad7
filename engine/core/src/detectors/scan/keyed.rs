//! In: a word of a key. Out: the vendor's value, the credential or the password that is assigned to it.

use std::ops::Range;

use super::super::{Assigned, Entry, Validator};
use super::assignment::{self, Assignment, Operator};
use super::pattern::{Matcher, may_end, validate};
use super::plausible::{self, KeyKind};
use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Share of the entropy that a value of its length could have, below which it is a placeholder.
const LEAST_SHARE: f64 = 0.6;
/// Longest alphabet that entropy is expected of: lower case letters and digits.
const ALPHABET: f64 = 36.0;
/// A name this short needs a boundary behind it, too.
const SHORT_NAME: usize = 6;
/// A shorter name of a vendor is part of too many words.
const LEAST_VENDOR: usize = 4;
/// Nouns of keys that hold something to be kept, or that go with it.
const NOUNS: [&str; 30] = [
    "token",
    "key",
    "secret",
    "auth",
    "pass",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "cred",
    "creds",
    "credential",
    "credentials",
    "access",
    "private",
    "client",
    "login",
    "signature",
    "bearer",
    "jwt",
    "apikey",
    "api",
    "accesskey",
    "license",
    "licence",
    "webhook",
    "dsn",
    "pat",
    "cookie",
    "session",
];

/// Words of keys that lead to a credential or a password; [`plausible::key_kind`] judges the whole key.
pub(super) const KEPT: [&str; 26] = [
    "token",
    "secret",
    "key",
    "auth",
    "jwt",
    "credential",
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "passcode",
    "mdp",
    "mot de passe",
    "mot_de_passe",
    "mot-de-passe",
    "motdepasse",
    "jeton",
    "clé",
    "cle",
    "passwort",
    "kennwort",
    "contraseña",
    "senha",
    "wachtwoord",
    "hasło",
];

/// The vendor's name in the id of a secret, such as `gitlab` of `secret.gitlab-token`, when it is long enough to
/// tell something.
pub(super) fn vendor(entry: &Entry) -> Option<&str> {
    let name = entry.id.strip_prefix("secret.")?.split('-').next()?;
    (name.len() >= LEAST_VENDOR).then_some(name)
}

/// Where the values of vendors start, each in order once the names have been read.
#[derive(Default)]
pub(super) struct Known {
    /// One was found.
    pub(super) found: Vec<usize>,
    /// The key or the mark is the vendor's: whose form is known and not met is hardly a credential.
    pub(super) unmet: Vec<usize>,
}

/// A vendor's value, compiled.
pub(super) struct KeyedRule {
    /// Index of the catalogue entry.
    pub(super) entry: usize,
    any_key: bool,
    matcher: Matcher,
    min_entropy: Option<f64>,
    validator: Option<Validator>,
}

impl KeyedRule {
    pub(super) fn new(entry: usize, assigned: &Assigned) -> Result<Self, Box<regex_syntax::Error>> {
        Ok(Self {
            entry,
            any_key: assigned.any_key,
            matcher: Matcher::new(&assigned.value)?,
            min_entropy: assigned.min_entropy,
            validator: assigned.validator,
        })
    }

    /// The value at the start of what is assigned, and whether its optional checksum holds.
    fn try_on(&self, text: &str, assigned: &Assignment) -> Option<(Range<usize>, bool)> {
        let matched = self.matcher.match_at(text, assigned.value.start)?;
        let range = matched.value.0..matched.value.1;
        let value = text.get(range.clone())?;
        let expected = (value.len() as f64).min(ALPHABET).log2() * LEAST_SHARE;
        (may_end(text.as_bytes(), range.end)
            && check::entropy(value.as_bytes()) >= self.min_entropy.unwrap_or(expected)
            && !check::is_placeholder(value)
            && !is_words(value))
        .then_some(())?;
        Some((range, validate(self.validator, value, value)?))
    }
}

/// Whether a value is made of words: not too long, no digit, and the case changes only where a word starts.
fn is_words(value: &str) -> bool {
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let changes = value
        .as_bytes()
        .windows(2)
        .filter(|pair| {
            matches!(pair, [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic()
            && a.is_ascii_uppercase() != b.is_ascii_uppercase())
        })
        .count();
    letters > 0
        && value.len() < 32
        && !value.bytes().any(|byte| byte.is_ascii_digit())
        && changes * 3 < letters
}

/// Whether a name stands in a key as a word of its own: `okta` in `oktaToken` and `OKTA_TOKEN`, not in `rookTable`.
pub(super) fn is_name(bytes: &[u8], name: &Range<usize>) -> bool {
    let (before, first) = (byte_before(bytes, name.start), byte_at(bytes, name.start));
    let starts = !before.is_ascii_alphanumeric()
        || (before.is_ascii_lowercase() && !first.is_ascii_lowercase())
        || (before.is_ascii_digit() && !first.is_ascii_digit())
        || matches!((before, byte_before(bytes, name.start.saturating_sub(1))), (b'n' | b'r' | b't', b'\\'));
    let (last, next) = (byte_before(bytes, name.end), byte_at(bytes, name.end));
    let ends = !next.is_ascii_alphanumeric()
        || (last.is_ascii_lowercase() && !next.is_ascii_lowercase())
        || bytes.get(name.end..).is_some_and(|rest| {
            NOUNS.iter().any(|noun| {
                rest.get(..noun.len()).is_some_and(|start| start.eq_ignore_ascii_case(noun.as_bytes()))
            })
        });
    starts && (ends || name.len() > SHORT_NAME)
}

/// Whether a noun ends its word: `token` in `APIToken2`, not in `tokenizer`; it may end a longer one.
pub(super) fn is_noun_end(bytes: &[u8], noun: &Range<usize>) -> bool {
    match byte_at(bytes, noun.end) {
        b'a'..=b'z' => byte_at(bytes, noun.end) == b's' && noun.len() > SHORT_NAME,
        b'A'..=b'Z' => byte_before(bytes, noun.end).is_ascii_lowercase(),
        0x80.. => false,
        _ => true,
    }
}

impl Scan<'_> {
    /// A vendor's value behind a key with its name.
    pub(super) fn keyed(&mut self, rule: &KeyedRule, name: &Range<usize>, known: &mut Known) {
        let Some(assigned) = self.assignment(name) else { return };
        let key = self.slice(&assigned.key);
        // The name alone will do for what is not also the form of a digest or an identifier.
        let is_bare = key.len() <= name.len() + 1 && !plausible::is_identifier(self.slice(&assigned.value));
        if !rule.any_key {
            if !is_bare && !plausible::Words(key).any(is_noun) {
                return;
            }
            known.unmet.push(assigned.value.start);
        }
        if let Some((range, verified)) = rule.try_on(self.text, &assigned) {
            let value = self.slice(&range).to_owned();
            known.found.push(range.start);
            self.push(rule.entry, range, Form::Telling, verified, value);
        }
    }

    /// Where the value starts of a key with the name of a vendor whose values have a mark.
    pub(super) fn marked(&mut self, name: &Range<usize>, known: &mut Known) {
        if let Some(assigned) = self.assignment(name) {
            known.unmet.push(assigned.value.start);
        }
    }

    /// The assignment whose key holds a word; the names and the nouns of one key lead to the same one.
    fn assignment(&mut self, word: &Range<usize>) -> Option<Assignment> {
        match &self.assigned {
            Some((read, found)) if read == word => found.clone(),
            _ => {
                let found = assignment::of(self.text, word);
                self.assigned = Some((word.clone(), found.clone()));
                found
            }
        }
    }

    /// A credential or a password behind a key that says so, unless a vendor's value was found there.
    pub(super) fn kept(&mut self, noun: &Range<usize>, known: &Known) {
        let Some(assigned) = self.assignment(noun) else { return };
        if known.found.binary_search(&assigned.value.start).is_ok() || self.kept_done == assigned.value.start
        {
            return;
        }
        let key = self.slice(&assigned.key);
        match plausible::key_kind(key) {
            Some(KeyKind::Credential) => {
                self.kept_done = assigned.value.start;
                let is_unmet = known.unmet.binary_search(&assigned.value.start).is_ok();
                self.credential(&assigned, is_unmet);
            }
            Some(KeyKind::Password) => {
                self.kept_done = assigned.value.start;
                self.password(&assigned);
            }
            None => {}
        }
    }

    fn credential(&mut self, assigned: &Assignment, is_unmet: bool) {
        let mut range = assigned.value.clone();
        if let Some(scheme) = scheme(self.slice(&range)) {
            range.start += scheme;
        }
        let value = self.slice(&range);
        let is_token =
            value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./+=~:|!@#$%^&*".contains(&byte));
        if !is_token
            || value.len() > 512
            || (assigned.operator == Operator::Verb && value.len() < 16)
            || !plausible::is_random(value)
            || plausible::is_reference(value)
            || plausible::is_stand_in(value)
            || plausible::is_sequence(value)
            || plausible::is_data(value)
            || plausible::is_public(value)
            || plausible::is_encoded_text(value)
        {
            return;
        }
        let form = if is_unmet || plausible::is_identifier(value) { Form::Weak } else { Form::Telling };
        let value = value.to_owned();
        self.found(Structure::Credential, range, form, value);
    }

    fn password(&mut self, assigned: &Assignment) {
        let mut range = assigned.value.clone();
        let is_sentence = assigned.operator == Operator::Verb || self.slice(&assigned.key).contains(' ');
        if assigned.quote == 0 {
            // In a sentence, what closes it or a bracket is not part of the value.
            let value = self.slice(&range);
            range.end = range.start + value.trim_end_matches(['.', ',', ';', ':', ')', '?']).len();
        }
        let value = self.slice(&range);
        let length = value.len();
        if !(4..=128).contains(&length) {
            return;
        }
        let strength = plausible::password_strength(value);
        if value.contains(char::is_whitespace)
            || plausible::is_reference(value)
            || plausible::is_stand_in(value)
            || plausible::is_data(value)
        {
            return;
        }
        // In source code an unquoted word is a name of something else; a bare number is often a length or a delay.
        let is_telling = match (strength, assigned.quote) {
            (0, _) => false,
            (1, 0) => is_sentence && length >= 8,
            (1, _) => length >= 6,
            _ => true,
        };
        let form = if is_telling { Form::Telling } else { Form::Weak };
        if form == Form::Weak && assigned.quote == 0 {
            return;
        }
        let value = value.to_owned();
        self.found(Structure::Password, range, form, value);
    }

    /// The value of an `Authorization` header (RFC 9110, section 11.6.2) or of one named alike.
    pub(super) fn authorization(&mut self, word: &Range<usize>) {
        let Some(assigned) = self.assignment(word) else { return };
        let mut range = assigned.value.clone();
        // Without quotation marks the value ends at the first blank, which is behind the scheme.
        let whole = self.line_from(range.start, assigned.quote);
        let Some(length) = scheme(self.slice(&whole)) else { return };
        range.start += length;
        let rest = self.slice(&(range.start..whole.end));
        range.end = range.start
            + rest.find(|c: char| c.is_whitespace() || "\"'`,;)}>]\\<".contains(c)).unwrap_or(rest.len());
        let value = self.slice(&range);
        let is_basic = self.slice(&whole).get(..5).is_some_and(|name| name.eq_ignore_ascii_case("basic"));
        let is_pair = is_basic && plausible::is_encoded_text(value) && value.len() >= 8;
        if value.len() > 4096
            || plausible::is_reference(value)
            || plausible::is_stand_in(value)
            || !(is_pair || plausible::is_random(value))
        {
            return;
        }
        let value = value.to_owned();
        self.found(Structure::Authorization, range, Form::Telling, value);
    }

    /// From a place to the end of the line or of the quoted string, at most 4,096 bytes.
    fn line_from(&self, from: usize, quote: u8) -> Range<usize> {
        let rest = self.bytes.get(from..self.bytes.len().min(from + 4096)).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n' || (quote != 0 && quote < 0x80 && *byte == quote))
            .unwrap_or(rest.len());
        let mut end = from + end;
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        from..end
    }

    /// The password among the arguments of a command that stands at `at`: `curl -u name:password`,
    /// `docker login -p password`, `sshpass -p password`.
    pub(super) fn command_line(&mut self, at: usize) {
        if at < self.command_done {
            return;
        }
        let mut to = self.bytes.len().min(at + 1024);
        while !self.text.is_char_boundary(to) {
            to -= 1;
        }
        let Some(command) = self.text.get(at..to) else { return };
        let is_curl = command.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("curl"));
        if check::is_word(byte_before(self.bytes, at))
            || !byte_at(self.bytes, at + 4).is_ascii_whitespace() && is_curl
        {
            return;
        }
        // A command ends at its line, unless a backslash carries it on.
        let mut end = 0;
        for line in command.split_inclusive('\n') {
            end += line.len();
            if !line.trim_end().ends_with('\\') {
                break;
            }
        }
        let command = command.get(..end).unwrap_or_default();
        self.command_done = at + end;
        let flags: &[&str] = if is_curl { &[" -u", " --user"] } else { &[" -p", " --password"] };
        for flag in flags {
            let Some(place) = command.find(flag) else { continue };
            let rest = command.get(place + flag.len()..).unwrap_or_default();
            let lead = rest.len() - rest.trim_start_matches([' ', '=']).len();
            if lead == 0 && !rest.starts_with(['"', '\'']) {
                continue;
            }
            let start = at + place + flag.len() + lead;
            self.argument(start, command.get(place + flag.len() + lead..).unwrap_or_default(), is_curl);
            return;
        }
    }

    fn argument(&mut self, start: usize, rest: &str, is_pair: bool) {
        // An argument ends at a blank outside of quotation marks.
        let mut quote = None;
        let length = rest
            .find(|c: char| {
                match (quote, c) {
                    (Some(open), c) if open == c => quote = None,
                    (None, '"' | '\'') => quote = Some(c),
                    (None, c) if c.is_whitespace() => return true,
                    (_, '\n') => return true,
                    _ => {}
                }
                false
            })
            .unwrap_or(rest.len());
        let argument = rest.get(..length).unwrap_or_default();
        let marks: &[char] = &['"', '\''];
        let inner = argument.trim_matches(marks);
        let inner_start = start + (argument.len() - argument.trim_start_matches(marks).len());
        let (name, password) = match inner.split_once(':') {
            Some((name, password)) if is_pair => (name, password),
            None if is_pair => return,
            _ => ("", inner),
        };
        let bare = password.trim_matches(marks);
        // A token may stand for the name, with an empty password.
        let told = if bare.is_empty() { name.trim_matches(marks) } else { bare };
        if told.len() < 4
            || plausible::is_reference(told.strip_prefix('{').unwrap_or(told).trim())
            || plausible::is_stand_in(told)
            || (name == password)
            || plausible::password_strength(told) == 0
        {
            return;
        }
        let value = told.to_owned();
        self.found(Structure::CommandLine, inner_start..inner_start + inner.len(), Form::Telling, value);
    }

    /// The values of the `Secret` whose `kind:` stands at `at` (Kubernetes, core/v1): base64 behind the keys of `data`,
    /// text behind those of `stringData`.
    pub(super) fn kubernetes_secret(&mut self, at: usize) {
        let after = self.slice(&(at..self.bytes.len().min(at + 24)));
        let Some(kind) = after.get(5..) else { return };
        let kind = kind.trim_start().trim_start_matches(['"', '\'']);
        let is_secret = kind.get(..6).is_some_and(|name| name.eq_ignore_ascii_case("secret"))
            && !kind.as_bytes().get(6).is_some_and(u8::is_ascii_alphanumeric);
        let line_start = self
            .bytes
            .get(..at)
            .unwrap_or_default()
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let is_top = at == line_start
            || self.bytes.get(line_start..at).is_some_and(|lead| lead.iter().all(u8::is_ascii_whitespace));
        if !is_secret || !is_top || at < self.object_done {
            return;
        }
        let (mut from, mut to) = (at.saturating_sub(4096), self.bytes.len().min(at + 4096));
        while !self.text.is_char_boundary(from) {
            from += 1;
        }
        while !self.text.is_char_boundary(to) {
            to -= 1;
        }
        // The document is what stands between two lines of three dashes.
        if let Some(place) = self.slice(&(from..at)).rfind("\n---") {
            from += place + 4;
        }
        if let Some(place) = self.slice(&(at..to)).find("\n---") {
            to = at + place;
        }
        self.object_done = to;
        let document = self.slice(&(from..to)).to_owned();
        let mut in_data = false;
        let mut offset = from;
        for line in document.split_inclusive('\n') {
            let is_indented = line.starts_with([' ', '\t']) && !line.trim().is_empty();
            if in_data && is_indented {
                self.data_line(offset, line);
            } else if !line.trim().is_empty() {
                in_data = line.trim_end().trim_end_matches(':') == "data" || line.trim_end() == "stringData:";
            }
            offset += line.len();
        }
    }

    fn data_line(&mut self, offset: usize, line: &str) {
        let value = line.split_once(": ").map_or_else(|| line.trim(), |(_, value)| value.trim());
        let value = value.trim_matches(['"', '\'']);
        let is_value = value.len() >= 10
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
            && value.len().is_multiple_of(4)
            && !check::is_placeholder(value);
        if !is_value {
            return;
        }
        if let Some(place) = line.find(value) {
            let start = offset + place;
            self.found(
                Structure::KubernetesSecret,
                start..start + value.len(),
                Form::Telling,
                value.to_owned(),
            );
        }
    }
}

fn is_noun(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    NOUNS.iter().any(|noun| {
        word.eq_ignore_ascii_case(noun)
            || (word.len() > noun.len()
                && noun.len() > 4
                && word.get(word.len() - noun.len()..).is_some_and(|end| end.eq_ignore_ascii_case(noun)))
    }) || ["key", "token", "access"].iter().any(|part| {
        word.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
    })
}

/// The length of an authentication scheme at the start of a value, with the blanks behind it.
fn scheme(value: &str) -> Option<usize> {
    const SCHEMES: [&str; 12] = [
        "bearer",
        "basic",
        "token",
        "apikey",
        "api-key",
        "bot",
        "oauth",
        "key",
        "ssws",
        "splunk",
        "jwt",
        "apikey-v1",
    ];
    let (name, rest) = value.split_once([' ', ':'])?;
    let blanks = rest.len() - rest.trim_start().len();
    SCHEMES.iter().any(|known| name.eq_ignore_ascii_case(known)).then_some(name.len() + 1 + blanks)
}
