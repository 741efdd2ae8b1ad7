//! In: a word that may be part of a key. Out: the key, and the value that is assigned to it.
//!
//! One reading serves every notation: `TOKEN=x`, `token: "x"`, `token := x`, `"token" => "x"`, `token ?= x`,
//! `let token: String = "x"`, `<token>x</token>`, `<add key="token" value="x"/>`, `set("token", "x")`,
//! `.token("x")`, `--token x`, `| token | x |`, `name: TOKEN` with `value: x` below it, «the token is x»,
//! «le jeton est x». Nothing but a bounded stretch behind the word is looked at.

use std::ops::Range;

use super::{byte_at, byte_before};

/// Longest key before and behind the word, in bytes.
const MAX_KEY: usize = 64;
/// Most words between the word and what assigns, as in «password of the shared mailbox: x».
const MAX_WORDS: usize = 7;
/// Longest stretch of blanks, as in aligned tables, in bytes.
const MAX_BLANKS: usize = 64;
/// Longest value that is read to its end, in bytes; what a vendor's expression matches may be longer.
const MAX_VALUE: usize = 512;
/// Words that assign in a sentence, by language: en, fr, de, es, it, pt, nl, pl.
const VERBS: [&str; 15] = [
    "is", "was", "est", "sera", "était", "devient", "c'est", "c’est", "ist", "lautet", "es", "è", "é", "to",
    "będzie",
];
/// Words that may stand between such a verb and the value.
const FILLERS: [&str; 12] = [
    "set",
    "to",
    "now",
    "still",
    "currently",
    "actuellement",
    "toujours",
    "maintenant",
    "désormais",
    "bien",
    "donc",
    "le",
];
/// Names of types that stand between a key and its value.
const TYPES: [&str; 12] = [
    "string",
    "str",
    "text",
    "any",
    "char",
    "const",
    "final",
    "static",
    "optional",
    "varchar",
    "option",
    "secretstr",
];
/// Names of attributes that hold the value of a key that is itself the value of an attribute.
const VALUE_NAMES: [&str; 4] = ["value", "content", "default", "val"];

/// What assigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// `=`, `:`, `=>` and their kin.
    Sign,
    /// A place in a structure: an argument, an element, an attribute, a cell.
    Place,
    /// A blank behind an option of a command line.
    Flag,
    /// A verb of a sentence.
    Verb,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// From the first character of the identifier that holds the word to the last before what assigns.
    pub(super) key: Range<usize>,
    pub(super) operator: Operator,
    /// Without its quotation marks.
    pub(super) value: Range<usize>,
    /// The quotation mark it stands in, or 0.
    pub(super) quote: u8,
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The assignment whose key holds the word.
pub(super) fn of(text: &str, word: &Range<usize>) -> Option<Assignment> {
    let bytes = text.as_bytes();
    let mut start = word.start;
    while word.start - start < MAX_KEY && is_key(byte_before(bytes, start)) {
        start -= 1;
    }
    let (key_end, place, operator) = operator(text, start, word.end)?;
    let (value, quote) = value(bytes, place, operator)?;
    Some(Assignment { key: start..key_end, operator, value, quote })
}

/// Where the key ends, where what assigns ends, and what it is.
fn operator(text: &str, start: usize, from: usize) -> Option<(usize, usize, Operator)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at - from < MAX_KEY && is_key(byte_at(bytes, at)) && !is_operator_at(bytes, at) {
        at += 1;
    }
    let is_flag = byte_at(bytes, start) == b'-' && !byte_before(bytes, start).is_ascii_alphanumeric();
    let mut words = 0;
    let mut key_end = at;
    loop {
        let next = skip_blanks(bytes, at)?;
        let byte = byte_at(bytes, next);
        if is_flag && next > at && words == 0 && !matches!(byte, b'=' | b':' | b'-' | b'\n' | 0) {
            return Some((key_end, next, Operator::Flag));
        }
        let is_word = byte.is_ascii_alphanumeric() || byte >= 0x80 || byte == b'_';
        if next == at || !is_word || is_operator_at(bytes, next) {
            break;
        }
        let mut end = next;
        while end - next < MAX_KEY
            && (is_key(byte_at(bytes, end)) || byte_at(bytes, end) >= 0x80 || byte_at(bytes, end) == b'\'')
            && !is_operator_at(bytes, end)
        {
            end += 1;
        }
        let word = bytes.get(next..end)?;
        if VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb.as_bytes())) {
            let after = skip_blanks(bytes, fillers(bytes, end))?;
            let after = if byte_at(bytes, after) == b':' { after + 1 } else { after };
            return (after > end).then_some((key_end, after, Operator::Verb));
        }
        words += 1;
        if word.ends_with(b".") || words > MAX_WORDS || end - from > 2 * MAX_KEY {
            return None;
        }
        at = end;
        key_end = end;
    }
    closed(text, at).map(|(place, operator)| (key_end, place, operator))
}

/// The end of at most two filling words.
fn fillers(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    for _ in 0..2 {
        let Some(next) = skip_blanks(bytes, at) else { break };
        let length = FILLERS.iter().map(|word| word.len()).find(|length| {
            is_blank(byte_at(bytes, next + length))
                && bytes.get(next..next + length).is_some_and(|word| {
                    FILLERS.iter().any(|filler| word.eq_ignore_ascii_case(filler.as_bytes()))
                })
        });
        match length {
            Some(length) => at = next + length,
            None => break,
        }
    }
    at
}

/// What assigns behind the end of a key: first what closes the key, then the sign.
fn closed(text: &str, at: usize) -> Option<(usize, Operator)> {
    let bytes = text.as_bytes();
    let mut place = at;
    let mut was_quoted = false;
    loop {
        place = skip_blanks(bytes, place)?;
        match byte_at(bytes, place) {
            b'"' | b'\'' | b'`' if place - at < 8 => was_quoted = true,
            b'\\' if matches!(byte_at(bytes, place + 1), b'"' | b'\'' | b'\\') && place - at < 8 => {}
            b']' | b')' | b'*' if place - at < 8 => {}
            _ => break,
        }
        place += 1;
    }
    if let Some(after) = sign(bytes, place) {
        return Some((typed(bytes, after).unwrap_or(after), Operator::Sign));
    }
    match byte_at(bytes, place) {
        b'|' => Some((place + 1, Operator::Place)),
        b',' if was_quoted => Some((place + 1, Operator::Place)),
        b'(' => {
            let inner = skip_blanks(bytes, place + 1)?;
            matches!(byte_at(bytes, inner), b'"' | b'\'' | b'`').then_some((inner, Operator::Place))
        }
        b'>' => Some((place + 1, Operator::Place)),
        b'<' if byte_at(bytes, place + 1) == b'/' => element(bytes, place),
        b'\n' | b'\r' => {
            let next = skip_white(bytes, place)?;
            named_value(bytes, next)
        }
        byte if was_quoted && byte.is_ascii_alphabetic() => named_value(bytes, place),
        _ => None,
    }
}

/// Whether an operator rather than a part of the key starts at `.`, `-` or `_`.
fn is_operator_at(bytes: &[u8], at: usize) -> bool {
    let next = byte_at(bytes, at + 1);
    match byte_at(bytes, at) {
        b'.' => next == b'=' || next == b'.',
        b'-' => next == b'>',
        _ => false,
    }
}

/// The end of a sign that assigns or compares: up to five characters with `=`, `:` or an arrow among them.
fn sign(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..bytes.len().min(at + 5))?;
    let length = rest.iter().position(|byte| !b"=:?.+|&~<>!-".contains(byte)).unwrap_or(rest.len());
    let sign = rest.get(..length)?;
    let assigns = |sign: &[u8]| {
        sign.contains(&b'=') || sign.contains(&b':') || sign == b"->" || sign == b"<-" || sign == b"-->"
    };
    // `=-1`, `:<b>` and `:-)` are a sign and the start of something else.
    let first = sign.iter().take_while(|byte| matches!(byte, b'=' | b':')).count();
    let length = match sign {
        [b'=', b'>', ..] => 2,
        [b':' | b'=', ..] if first > 0 && !sign.get(first..).is_some_and(|rest| rest.starts_with(b"=")) => {
            first
        }
        _ => length,
    };
    assigns(sign).then_some(at + length)
}

/// Behind `:` the end of a type and its `=`, as in `token: String = "x"`.
fn typed(bytes: &[u8], at: usize) -> Option<usize> {
    let from = skip_blanks(bytes, at)?;
    let mut end = from;
    while end - from < 40
        && (byte_at(bytes, end).is_ascii_alphanumeric() || b"_&'<>[]?.:!".contains(&byte_at(bytes, end)))
    {
        end += 1;
    }
    let name = bytes.get(from..end)?;
    let is_type = TYPES
        .iter()
        .any(|kind| name.windows(kind.len()).any(|part| part.eq_ignore_ascii_case(kind.as_bytes())));
    let sign = skip_blanks(bytes, end)?;
    (is_type && byte_at(bytes, sign) == b'=' && byte_at(bytes, sign + 1) != b'>').then_some(sign + 1)
}

/// Behind `</key>` the inside of the next element, as in a property list.
fn element(bytes: &[u8], at: usize) -> Option<(usize, Operator)> {
    let closes = find(bytes, at, b'>', MAX_KEY)?;
    let next = skip_white(bytes, closes + 1)?;
    if byte_at(bytes, next) != b'<' || !byte_at(bytes, next + 1).is_ascii_alphabetic() {
        return None;
    }
    Some((find(bytes, next, b'>', MAX_KEY)? + 1, Operator::Place))
}

/// `value = `, `value: ` and their kin.
fn named_value(bytes: &[u8], at: usize) -> Option<(usize, Operator)> {
    let rest = bytes.get(at..)?;
    let name = VALUE_NAMES.iter().find(|name| {
        rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    })?;
    let mut place = at + name.len();
    while matches!(byte_at(bytes, place), b' ' | b'"' | b'\'') && place - at < 16 {
        place += 1;
    }
    matches!(byte_at(bytes, place), b'=' | b':').then_some((place + 1, Operator::Place))
}

/// The value behind what assigns, without quotation marks, and the mark it stands in.
fn value(bytes: &[u8], at: usize, operator: Operator) -> Option<(Range<usize>, u8)> {
    let mut start = match operator {
        Operator::Flag => at,
        Operator::Place => skip_white(bytes, at)?,
        Operator::Sign | Operator::Verb => {
            // A value on the next line is indented, as in YAML; behind `=` an empty value ends with its line.
            let next = skip_blanks(bytes, at)?;
            let below = skip_white(bytes, next)?;
            let is_below =
                below > next && byte_before(bytes, at) == b':' && is_blank(byte_before(bytes, below));
            if is_below { below } else { next }
        }
    };
    let mut quote = 0;
    let mut escaped = false;
    // At most a constructor, brackets, a prefix of a string and three marks stand before the value.
    for _ in 0..12 {
        let byte = byte_at(bytes, start);
        let next = byte_at(bytes, start + 1);
        match byte {
            b'"' | b'\'' | b'`' => {
                if quote == 0 && next == byte && byte_at(bytes, start + 2) != byte {
                    return None;
                }
                quote = byte;
            }
            b'\\' if matches!(next, b'"' | b'\'' | b'\\') => escaped = true,
            b'(' | b'[' | b'*' | b'{' if quote == 0 => {}
            b'b' | b'r' | b'u' | b'f' | b'B' | b'R' | b'L' | b'@' | b'$'
                if quote == 0 && matches!(next, b'"' | b'\'') => {}
            // French quotation marks and the curly ones are two and three bytes of UTF-8.
            0xc2 if next == 0xab => {
                quote = 0xab;
                start = skip_blanks(bytes, start + 2)?;
                continue;
            }
            0xe2 if next == 0x80 && matches!(byte_at(bytes, start + 2), 0x98 | 0x99 | 0x9c | 0x9d) => {
                quote = 0x9d;
                start += 3;
                continue;
            }
            _ => break,
        }
        start += 1;
    }
    let rest = bytes.get(start..bytes.len().min(start + MAX_VALUE))?;
    let is_end = |place: usize, byte: u8| match quote {
        0 => {
            byte.is_ascii_whitespace()
                || b"\"'`<>,;)]}&|".contains(&byte)
                || (byte == b'\\' && matches!(rest.get(place + 1), Some(b'n' | b'r' | b't' | b'"' | b'\'')))
        }
        0xab => byte == 0xc2 || byte == b'\n',
        0x9d => byte == 0xe2 || byte == b'\n',
        _ => {
            byte == quote
                || byte == b'\n'
                || (byte == b'\\' && (escaped || matches!(rest.get(place + 1), Some(b'n' | b'r'))))
        }
    };
    let mut length =
        rest.iter().enumerate().position(|(place, byte)| is_end(place, *byte)).unwrap_or(rest.len());
    while length > 0 && rest.get(length - 1).is_some_and(|byte| is_blank(*byte)) {
        length -= 1;
    }
    (length > 0).then_some((start..start + length, quote))
}

fn find(bytes: &[u8], from: usize, wanted: u8, within: usize) -> Option<usize> {
    bytes
        .get(from..bytes.len().min(from + within))?
        .iter()
        .position(|byte| *byte == wanted)
        .map(|at| from + at)
}

fn skip_blanks(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while is_blank(byte_at(bytes, at)) {
        at += 1;
        if at - from > MAX_BLANKS {
            return None;
        }
    }
    Some(at)
}

/// Skips blanks and line ends.
fn skip_white(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while byte_at(bytes, at).is_ascii_whitespace() {
        at += 1;
        if at - from > MAX_BLANKS {
            return None;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(&str, &str)> {
        let word = text.to_ascii_lowercase().find("token")?;
        let found = of(text, &(word..word + 5))?;
        Some((text.get(found.key)?, text.get(found.value)?))
    }

    #[test]
    fn every_notation_has_its_key_and_its_value() {
        for (text, key) in [
            ("APP_TOKEN=v4lue", "APP_TOKEN"),
            ("app-token: v4lue", "app-token"),
            ("appToken := \"v4lue\"", "appToken"),
            ("app_TOKEN :::= 'v4lue'", "app_TOKEN"),
            ("app_TOKEN ?= `v4lue`", "app_TOKEN"),
            ("$appToken .= \"v4lue\"", "appToken"),
            ("\"appToken\" => \"v4lue\"", "appToken"),
            ("{\"appToken\": \"v4lue\"}", "appToken"),
            (r#"{\"appToken\": \"v4lue\"}"#, "appToken"),
            (r#"{"a": "TOKEN=v4lue\nB=c"}"#, "TOKEN"),
            ("var appToken string = \"v4lue\"", "appToken string"),
            ("val appToken: String = \"v4lue\"", "appToken"),
            ("token: Option<&str> = b\"v4lue\"", "token"),
            ("<appToken>\n    v4lue\n</appToken>", "appToken"),
            ("<add key=\"appToken\" value=\"v4lue\" />", "appToken"),
            ("<key>appToken</key>\n<string>v4lue</string>", "appToken"),
            ("System.setProperty(\"APP_TOKEN\", \"v4lue\")", "APP_TOKEN"),
            ("builder.appToken(\"v4lue\")", "builder.appToken"),
            ("ENV['APP_TOKEN'] = 'v4lue'", "APP_TOKEN"),
            ("run --app-token v4lue --other", "--app-token"),
            ("run --app-token=v4lue", "--app-token"),
            ("- name: APP_TOKEN\n  value: \"v4lue\"", "APP_TOKEN"),
            ("| token | v4lue |", "token"),
            ("token:\n  v4lue", "token"),
            ("the token of the shared account is v4lue", "token of the shared account"),
            ("le token du compte est « v4lue »", "token du compte"),
            ("token: \"\"\"v4lue\"\"\"", "token"),
            ("https://h.example/?token=v4lue&x=1", "token"),
        ] {
            assert_eq!(read(text), Some((key, "v4lue")), "{text}");
        }
    }

    #[test]
    fn what_assigns_nothing_is_left_alone() {
        for text in [
            "token",
            "token = \"\"\nnext",
            "token;\n",
            "the token was lost. Call",
            "token\nnext = v4lue",
            "token=\nv4lue=x",
            "token:\nv4lue: x",
            "call(token, v4lue)",
            "token one two three four five six seven eight nine = v4lue",
        ] {
            assert_ne!(read(text).map(|(_, value)| value), Some("v4lue"), "{text}");
        }
    }

    #[test]
    fn only_a_bounded_stretch_is_read() {
        for unit in ["a", " ", "é", "a ", "=", "\"", "\n", "(", "\\"] {
            let text = format!("token{}", unit.repeat(100_000));
            let found = read(&text);
            assert!(found.is_none_or(|(key, value)| key.len() < 300 && value.len() <= MAX_VALUE), "{unit}");
        }
    }
}
