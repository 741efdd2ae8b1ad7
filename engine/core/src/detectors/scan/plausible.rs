//! In: a key, or the value that stands behind it. Out: whether the key says that it holds a secret, and whether the
//! value looks like one rather than like what usually stands in its place: a reference, a placeholder, a name, a
//! path, a digest, an identifier, a word, a text in base64.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::check;

/// Most words of a key that are looked at, from its end.
const MAX_WORDS: usize = 12;

/// What a key says its value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// Something a person chose.
    Password,
    /// Something a machine made.
    Credential,
}

/// Nouns for what a person chooses, by language: en, fr, de, es, it, pt, nl, pl.
const PASSWORDS: [&str; 21] = [
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "passcode",
    "passw",
    "pword",
    "userpass",
    "userpassword",
    "dbpassword",
    "mdp",
    "motdepasse",
    "kennwort",
    "passwort",
    "contrasena",
    "contraseña",
    "senha",
    "wachtwoord",
    "haslo",
    "hasło",
];
/// Nouns for what a machine makes.
const CREDENTIALS: [&str; 22] = [
    "token",
    "secret",
    "apikey",
    "apitoken",
    "apisecret",
    "secretkey",
    "accesskey",
    "accesstoken",
    "authtoken",
    "privatekey",
    "clientsecret",
    "appsecret",
    "appkey",
    "masterkey",
    "authkey",
    "jwt",
    "bearer",
    "credential",
    "credentials",
    "auth",
    "jeton",
    "accesskeysecret",
];
/// What makes a key a secret one.
const KEY_QUALIFIERS: [&str; 45] = [
    "session",
    "api",
    "access",
    "secret",
    "private",
    "auth",
    "authentication",
    "encryption",
    "encrypt",
    "signing",
    "signature",
    "master",
    "service",
    "account",
    "client",
    "app",
    "application",
    "license",
    "licence",
    "subscription",
    "storage",
    "webhook",
    "ssh",
    "deploy",
    "consumer",
    "shared",
    "symmetric",
    "aes",
    "hmac",
    "crypto",
    "cipher",
    "admin",
    "sdk",
    "server",
    "live",
    "prod",
    "production",
    "integration",
    "ingest",
    "ingestion",
    "d'api",
    "secrète",
    "secrete",
    "privée",
    "security",
];
/// Words that may stand behind the noun without changing what the value is.
const NEUTRAL: [&str; 52] = [
    "value",
    "val",
    "str",
    "string",
    "text",
    "raw",
    "plain",
    "cleartext",
    "base64",
    "b64",
    "env",
    "prod",
    "production",
    "dev",
    "development",
    "test",
    "testing",
    "staging",
    "stage",
    "live",
    "sandbox",
    "default",
    "new",
    "old",
    "current",
    "primary",
    "secondary",
    "main",
    "backup",
    "admin",
    "user",
    "root",
    "v1",
    "v2",
    "v3",
    "header",
    "var",
    "const",
    "final",
    "static",
    "local",
    "global",
    "of",
    "for",
    "the",
    "my",
    "pour",
    "de",
    "du",
    "la",
    "le",
    "des",
];
/// Words that make a key one that need not be kept.
const PUBLIC: [&str; 42] = [
    "public",
    "pub",
    "publishable",
    "csrf",
    "xsrf",
    "next",
    "page",
    "pagination",
    "continuation",
    "continue",
    "cursor",
    "sync",
    "resume",
    "primary",
    "foreign",
    "sort",
    "cache",
    "partition",
    "hash",
    "object",
    "row",
    "index",
    "bucket",
    "map",
    "dict",
    "translation",
    "i18n",
    "event",
    "keyboard",
    "shortcut",
    "no",
    "without",
    "missing",
    "invalid",
    "wrong",
    "max",
    "min",
    "forgot",
    "reset",
    "device",
    "design",
    "idempotency",
];

/// What a key says its value is; nothing when it names something that is not kept.
pub(super) fn key_kind(key: &str) -> Option<KeyKind> {
    let mut words = [""; MAX_WORDS];
    let mut count = 0;
    for word in Words(key) {
        // Longer keys keep their last words, where the noun is.
        if count == MAX_WORDS {
            words.rotate_left(1);
            count -= 1;
        }
        if let Some(slot) = words.get_mut(count) {
            *slot = word;
        }
        count += 1;
    }
    let words = words.get(..count)?;
    let is_one_of = |word: &str, list: &[&str]| list.iter().any(|known| word.eq_ignore_ascii_case(known));
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let mut noun = None;
    for (at, word) in words.iter().enumerate() {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let before = words.get(..at).unwrap_or_default();
        let is_passe = word.eq_ignore_ascii_case("passe")
            && before.iter().rev().take(2).any(|word| is_one_of(word, &["mot", "mots"]));
        let kind = if is_passe || is_one_of(word, &PASSWORDS) || ends_with_one(word, &["password", "passwd"])
        {
            Some(KeyKind::Password)
        } else if is_one_of(word, &CREDENTIALS)
            || ends_with_one(word, &["token", "secret", "apikey", "secretkey", "accesskey"])
            || (is_one_of(word, &["key", "clé", "clef", "cle"])
                && before.iter().any(|word| is_one_of(word, &KEY_QUALIFIERS)))
        {
            Some(KeyKind::Credential)
        } else {
            None
        };
        // The stronger noun stays: an API token of a password manager is a token, a password token is not kept.
        if let Some(kind) = kind {
            noun = Some((at, kind));
        }
    }
    let (at, kind) = match noun {
        Some(noun) => noun,
        None => french_key(words)?,
    };
    let after = words.get(at + 1..).unwrap_or_default();
    let is_public = words.iter().any(|word| is_one_of(word, &PUBLIC));
    let is_neutral =
        |word: &&str| is_number(word) || is_one_of(word, &NEUTRAL) || is_one_of(word, &["key", "token"]);
    // In an identifier what follows the noun says what it is (`token_url`); in a sentence it says whose it is.
    let is_sentence = key.contains(' ');
    (!is_public && (is_sentence || after.iter().all(is_neutral))).then_some((at, kind)).map(|(_, kind)| kind)
}

fn ends_with_one(word: &str, nouns: &[&str]) -> bool {
    nouns.iter().any(|noun| {
        word.len()
            .checked_sub(noun.len())
            .and_then(|at| word.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(noun))
    })
}

/// «clé API», «clé secrète»: in French the qualifier follows.
fn french_key(words: &[&str]) -> Option<(usize, KeyKind)> {
    let at = words
        .iter()
        .position(|word| ["clé", "clef", "cle"].iter().any(|key| word.eq_ignore_ascii_case(key)))?;
    let after = words.get(at + 1..)?;
    let qualifier = after
        .iter()
        .take(2)
        .position(|word| KEY_QUALIFIERS.iter().any(|qualifier| word.eq_ignore_ascii_case(qualifier)))?;
    Some((at + 1 + qualifier, KeyKind::Credential))
}

/// The words of an identifier or a sentence: at everything that is no letter or digit, and where the case changes.
pub(super) struct Words<'t>(pub(super) &'t str);

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80;
        let bytes = self.0.as_bytes();
        let start = bytes.iter().position(|byte| is_inside(*byte))?;
        let mut end = start;
        while let Some(&byte) = bytes.get(end).filter(|byte| is_inside(**byte)) {
            let before = if end > start { bytes.get(end - 1).copied().unwrap_or(0) } else { 0 };
            let next = bytes.get(end + 1).copied().unwrap_or(0);
            let is_hump = byte.is_ascii_uppercase()
                && (before.is_ascii_lowercase()
                    || (before.is_ascii_uppercase() && next.is_ascii_lowercase()));
            if end > start && is_hump {
                break;
            }
            end += 1;
        }
        let word = self.0.get(start..end)?;
        self.0 = self.0.get(end..)?;
        Some(word)
    }
}

/// Whether a value stands for another one: a variable, a call, a template, a path, a URL, something encrypted.
pub(super) fn is_reference(value: &str) -> bool {
    const STARTS: [&str; 28] = [
        "$",
        "%",
        "{",
        "<",
        "[",
        "@",
        "#",
        "&",
        "(",
        "/",
        "./",
        "../",
        "~/",
        "\\",
        "env.",
        "var.",
        "process.env",
        "os.",
        "local.",
        "module.",
        "data.",
        "self.",
        "this.",
        "vault:",
        "arn:",
        "op://",
        "ref+",
        "enc[",
    ];
    const INSIDE: [&str; 13] =
        ["${", "{{", "}}", "$(", "%(", "<%", "://", "(", "->", "getenv", "environ", ".env.", "…"];
    let starts =
        |prefix: &&str| value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    STARTS.iter().any(starts)
        || INSIDE.iter().any(|part| value.contains(part))
        || value.ends_with("...")
        || value.strip_prefix('!').is_some_and(|tag| tag.bytes().all(|byte| byte.is_ascii_alphabetic()))
        || is_dotted_name(value)
}

/// `settings.database.password`, `Config::get`, `user_password`: identifiers of a programming language.
fn is_dotted_name(value: &str) -> bool {
    value.contains(['.', ':', '_'])
        && value.split(['.', ':', '_', '-']).all(|part| {
            part.is_empty()
                || (part.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && humps(part) * 4 <= part.len().max(4))
        })
}

fn humps(word: &str) -> usize {
    word.as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if a.is_ascii_uppercase() != b.is_ascii_uppercase()))
        .count()
}

/// Whether a value says that it is none: it names its own kind, or a text that asks to be replaced.
pub(super) fn is_stand_in(value: &str) -> bool {
    const WORDS: [&str; 70] = [
        "password",
        "passwd",
        "passwort",
        "motdepasse",
        "mot_de_passe",
        "pass",
        "pwd",
        "mdp",
        "secret",
        "token",
        "apikey",
        "api_key",
        "api-key",
        "key",
        "none",
        "null",
        "nil",
        "undefined",
        "true",
        "false",
        "yes",
        "no",
        "oui",
        "non",
        "test",
        "testing",
        "demo",
        "user",
        "username",
        "admin",
        "root",
        "string",
        "str",
        "text",
        "value",
        "redacted",
        "masked",
        "hidden",
        "removed",
        "secure",
        "required",
        "optional",
        "empty",
        "unknown",
        "default",
        "todo",
        "tbd",
        "n/a",
        "na",
        "foo",
        "bar",
        "foobar",
        "baz",
        "xyz",
        "yyy",
        "zzz",
        "mysecret",
        "mypassword",
        "mytoken",
        "supersecret",
        "topsecret",
        "base64",
        "bearer",
        "basic",
        "credentials",
        "example",
        "sample",
        "placeholder",
        "changeme",
        "invalid",
    ];
    const PARTS: [&str; 24] = [
        "example",
        "exemple",
        "sample",
        "placeholder",
        "changeme",
        "change_me",
        "change-me",
        "change-this",
        "changethis",
        "your_",
        "your-",
        "votre",
        "replace",
        "remplace",
        "insert",
        "redacted",
        "dummy",
        "fake",
        "todo",
        "xxxx",
        "****",
        "....",
        "not-a-",
        "here",
    ];
    let bare = value.trim_matches(|c: char| !c.is_alphanumeric());
    WORDS.iter().any(|word| bare.eq_ignore_ascii_case(word))
        || contains_any(value, &PARTS)
        || (value.len() > 4 && starts_with_own(value))
        || check::is_placeholder(value)
}

/// `yourToken`, `myPassword`, `my-secret-key`.
fn starts_with_own(value: &str) -> bool {
    let mut words = Words(value);
    let own = words.next().is_some_and(|word| {
        ["my", "your", "the", "some", "this", "mon", "votre"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    });
    own && words.all(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

fn contains_any(value: &str, parts: &[&str]) -> bool {
    let bytes = value.as_bytes();
    parts
        .iter()
        .any(|part| bytes.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes())))
}

/// Whether a value counts up or down, or runs along a keyboard, for eight characters: its letters or its digits, with
/// others between them or without (`aB1cD2eF3gH4`).
pub(super) fn is_sequence(value: &str) -> bool {
    const ROWS: [&str; 6] = [
        "abcdefghijklmnopqrstuvwxyzabcdefgh",
        "zyxwvutsrqponmlkjihgfedcba",
        "12345678901234567890",
        "qwertyuiop",
        "azertyuiop",
        "asdfghjkl",
    ];
    let has_run = |of_class: fn(&u8) -> bool| {
        let lower: Vec<u8> = value.bytes().filter(of_class).map(|byte| byte.to_ascii_lowercase()).collect();
        ROWS.iter()
            .any(|row| row.as_bytes().windows(8).any(|part| lower.windows(8).any(|window| window == part)))
    };
    has_run(u8::is_ascii_alphabetic) || has_run(u8::is_ascii_digit)
}

/// Whether a value has the form of something else: a UUID, or hexadecimal digits of the length of a digest.
pub(super) fn is_identifier(value: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = value.len() == 36
        && value.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && value.split('-').all(is_hex);
    is_uuid || is_hex(value)
}

/// Whether a value is an e-mail address, a date, a number, a version or a host name.
pub(super) fn is_data(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let is_figure = value.bytes().all(|byte| byte.is_ascii_digit() || b".,:/-+ %".contains(&byte));
    let is_host = value.contains('.')
        && value.split('.').count() >= 2
        && value.rsplit('.').next().is_some_and(|top| {
            [
                "com", "net", "org", "io", "fr", "eu", "de", "dev", "local", "internal", "json", "yaml",
                "yml", "pem", "key", "cer", "crt", "p12", "txt", "js", "ts", "py", "rs", "java", "html",
                "php", "jks", "xml", "md", "pub",
            ]
            .iter()
            .any(|known| top.split([':', '/']).next().is_some_and(|top| top.eq_ignore_ascii_case(known)))
        });
    let is_address = value.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    (is_figure && digits < value.len()) || is_host || is_address
}

/// Whether a value is public although it is random: a public key, a certificate, an image, a digest with its name.
pub(super) fn is_public(value: &str) -> bool {
    const STARTS: [&str; 14] = [
        "ssh-rsa",
        "ssh-ed25519",
        "ecdsa-",
        "AAAAB3NzaC1",
        "AAAAC3NzaC1",
        "MIIBIjAN",
        "MIICIjAN",
        "MIGfMA0G",
        "MFkwEwYH",
        "iVBORw0KGgo",
        "/9j/",
        "R0lGOD",
        "sha256",
        "sha512",
    ];
    STARTS.iter().any(|start| value.starts_with(start))
}

/// Whether a value is a text in base64: what was a secret before would not read as words.
pub(super) fn is_encoded_text(value: &str) -> bool {
    let bare = value.trim_end_matches('=');
    if bare.len() < 16 {
        return false;
    }
    let decoded = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).unwrap_or_default();
    !decoded.is_empty() && decoded.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
}

/// Whether a value looks drawn at random, as what a machine makes does: its characters are spread and change their
/// kind often.
pub(super) fn is_random(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() < 10 {
        return false;
    }
    let least = (0.75 * (bytes.len() as f64).log2()).min(3.4);
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    };
    let (mut pairs, mut changes, mut digit_runs, mut separators) = (0_usize, 0_usize, 0, 0);
    let mut before = 3;
    for &byte in bytes {
        let now = class(byte);
        if now == 3 {
            separators += 1;
        } else if before != 3 {
            pairs += 1;
            changes += usize::from(now != before);
        }
        digit_runs += usize::from(now == 0 && before != 0);
        before = now;
    }
    let share = changes as f64 / pairs.max(1) as f64;
    let least_share = if separators > 0 { 0.3 } else { 0.2 };
    (share >= 0.4 || (digit_runs >= 2 && share >= least_share)) && check::entropy(bytes) >= least
}

/// How much a value looks like what a person chose for a password: nothing, perhaps, surely.
pub(super) fn password_strength(value: &str) -> u8 {
    let has = |class: fn(&u8) -> bool| value.as_bytes().iter().any(class);
    let has_inner_upper =
        value.bytes().skip(1).any(|byte| byte.is_ascii_uppercase()) && has(u8::is_ascii_lowercase);
    let has_symbol = value.bytes().any(|byte| byte.is_ascii_punctuation() && !b"._-'".contains(&byte));
    let has_letter = value.chars().any(char::is_alphabetic);
    let has_digit = has(u8::is_ascii_digit);
    match (has_letter, has_digit, has_symbol) {
        (true, true, _) => 2,
        (true, _, true) => 2,
        (false, true, true) => 2,
        (true, false, false) if has_inner_upper => 1,
        (false, true, false) if value.len() >= 6 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_it_holds() {
        use KeyKind::{Credential, Password};
        for (key, kind) in [
            ("API_TOKEN", Some(Credential)),
            ("apiKey", Some(Credential)),
            ("x-api-key", Some(Credential)),
            ("stripeSecretKey", Some(Credential)),
            ("APIToken", Some(Credential)),
            ("clientSecret", Some(Credential)),
            ("user_auth", Some(Credential)),
            ("clé API", Some(Credential)),
            ("db_password", Some(Password)),
            ("DB_PASS", Some(Password)),
            ("motDePasse", Some(Password)),
            ("mot de passe", Some(Password)),
            ("passphrase", Some(Password)),
            ("access_token_url", None),
            ("aws_access_key_id", None),
            ("public_key", None),
            ("primaryKey", None),
            ("schemaKey", None),
            ("csrf-token", None),
            ("next_page_token", None),
            ("tokenizer", None),
            ("password_hash", None),
            ("keyVaultName", None),
            ("credentialsId", None),
            ("secretSize", None),
            ("author", None),
            ("monkeys", None),
        ] {
            assert_eq!(key_kind(key), kind, "{key}");
        }
    }

    #[test]
    fn random_values_are_told_from_names() {
        for value in [
            "Zf3D0LXCM3EIMbgJpUNnkRtOfOueHznB",
            "q7xk2m9vwp4tz8rb",
            "k3J9-mQ2x-77Zp-aa8W",
            "Sk94HG7f6KB",
            "3HSa1hQfz6BYzlxf7Yb1WKG3Hyovm56LMFChV2y9",
        ] {
            assert!(is_random(value), "{value}");
        }
        for value in [
            "internationalisation",
            "rc0.15.0_20231217_1420-SNAPSHOT",
            "NRG0-Hermes-INTERNAL-API",
            "id-Gost28147-89-None-KeyMeshing",
            "SalesResults-1.2",
            "EncryptionKeySize",
            "this-is-my-config-value",
            "AAAAAAAAAAAAAAAAAAAA",
            "production2024",
        ] {
            assert!(!is_random(value), "{value}");
        }
    }

    #[test]
    fn what_stands_in_the_place_of_a_secret_is_known() {
        for value in [
            "${TOKEN}",
            "$TOKEN",
            "%TOKEN%",
            "{{ token }}",
            "<token>",
            "process.env.TOKEN",
            "!vault",
            "os.environ",
            "vault:secret/x",
            "config.api.token",
            "getToken()",
            "/run/secrets/token",
            "https://example.com/token",
            "settings.TOKEN",
            "abc...",
        ] {
            assert!(is_reference(value), "{value}");
        }
        for value in ["hunter2", "Az9!xV2p", "q7xk2m9vwp4tz8rb"] {
            assert!(!is_reference(value) && !is_stand_in(value), "{value}");
        }
        for value in [
            "password",
            "changeme",
            "your_token_here",
            "XXXXXXXX",
            "<none>",
            "myPassword",
            "REPLACE-ME",
            "null",
        ] {
            assert!(is_stand_in(value), "{value}");
        }
        for value in ["x12345678", "Abcdefghij", "aB1cD2eF3gH4iJ5", "a1b2c3d4e5f6g7h8", "7890123456"] {
            assert!(is_sequence(value), "{value}");
        }
        assert!(!is_sequence("1357924680") && !is_sequence("q7xk2m9vwp4tz8rb"));
        assert!(
            is_identifier("550e8400-e29b-41d4-a716-446655440000") && !is_identifier("550e8400-e29b-41d4")
        );
        assert!(
            is_encoded_text("dGhpcyBpcyBhIHBsYWluIHRleHQ")
                && !is_encoded_text("Zf3D0LXCM3EIMbgJpUNnkRtOfOueHznB")
        );
    }
}
