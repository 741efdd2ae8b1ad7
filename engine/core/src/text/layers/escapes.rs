//! In: `&`, `%` and `\`. Out: the character that the sequence from there stands for.

use super::{Layer, Places, byte_at, hex_byte, hex_digit, is_text, utf8};

/// Longest name of a character reference that is known here.
const MAX_NAME: usize = 8;

pub(super) fn find(text: &str) -> Places {
    let bytes = text.as_bytes();
    let mut places = Places::new(Layer::Escapes);
    let mut done = 0;
    for at in memchr::memchr3_iter(b'&', b'%', b'\\', bytes) {
        if at < done {
            continue;
        }
        let sequence = match byte_at(bytes, at) {
            b'&' => reference(bytes, at),
            b'%' => percent(bytes, at),
            _ => backslash(bytes, at),
        };
        if let Some((end, c)) = sequence {
            places.push_char(at..end, c);
            done = end;
        }
    }
    places
}

/// A character reference of HTML (WHATWG HTML, section 13.2.5.72), numeric or by name.
fn reference(bytes: &[u8], at: usize) -> Option<(usize, char)> {
    if byte_at(bytes, at + 1) != b'#' {
        let name = bytes.get(at + 1..bytes.len().min(at + 2 + MAX_NAME))?;
        let length = name.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
        let c = named(std::str::from_utf8(name.get(..length)?).ok()?)?;
        return (byte_at(bytes, at + 1 + length) == b';').then_some((at + 2 + length, c));
    }
    let is_hex = matches!(byte_at(bytes, at + 2), b'x' | b'X');
    let (from, radix, most) = if is_hex { (at + 3, 16, 8) } else { (at + 2, 10, 9) };
    let (end, value) = number(bytes, from, radix, most)?;
    let c = text_char(value)?;
    // The semicolon may be left out, as browsers allow.
    Some((end + usize::from(byte_at(bytes, end) == b';'), c))
}

/// At most `most` digits from `at`: where they end and what they are worth.
fn number(bytes: &[u8], at: usize, radix: u32, most: usize) -> Option<(usize, u32)> {
    let mut value = 0_u32;
    let mut end = at;
    while let Some(digit) = char::from(byte_at(bytes, end)).to_digit(radix) {
        if end - at == most {
            return None;
        }
        value = value.checked_mul(radix)?.checked_add(digit)?;
        end += 1;
    }
    (end > at).then_some((end, value))
}

fn text_char(value: u32) -> Option<char> {
    char::from_u32(value).filter(|c| is_text(*c))
}

/// Percent-encoding of UTF-8 (RFC 3986, section 2.1) or else of ISO 8859-1, and `%uXXXX` of old scripts.
fn percent(bytes: &[u8], at: usize) -> Option<(usize, char)> {
    if matches!(byte_at(bytes, at + 1), b'u' | b'U') {
        return code_unit(bytes, at + 2).and_then(|(end, unit)| pair(bytes, end, unit, b"%u"));
    }
    bytes_behind(bytes, at, b"%")
}

/// A character whose bytes in UTF-8, or whose byte in ISO 8859-1, each stand behind `mark` in hexadecimal.
fn bytes_behind(bytes: &[u8], at: usize, mark: &[u8]) -> Option<(usize, char)> {
    let step = mark.len() + 2;
    let first = hex_byte(bytes, at + mark.len())?;
    let mut end = at + step;
    let next = || {
        let byte = bytes.get(end..)?.starts_with(mark).then(|| hex_byte(bytes, end + mark.len()))??;
        end += step;
        Some(byte)
    };
    match utf8(first, next) {
        Some(c) => Some((end, c)),
        None if first >= 0xa0 => Some((at + step, char::from(first))),
        None => None,
    }
}

/// Escape sequences that programming languages share.
fn backslash(bytes: &[u8], at: usize) -> Option<(usize, char)> {
    match byte_at(bytes, at + 1) {
        b'u' if byte_at(bytes, at + 2) == b'{' => {
            let (end, value) = number(bytes, at + 3, 16, 6)?;
            (byte_at(bytes, end) == b'}').then_some((end + 1, text_char(value)?))
        }
        b'u' => code_unit(bytes, at + 2).and_then(|(end, unit)| pair(bytes, end, unit, b"\\u")),
        b'U' => {
            let digits = std::str::from_utf8(bytes.get(at + 2..at + 10)?).ok()?;
            let value = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)?;
            Some((at + 10, text_char(u32::from_str_radix(value, 16).ok()?)?))
        }
        b'x' => bytes_behind(bytes, at, b"\\x"),
        b'n' | b'r' => Some((at + 2, '\n')),
        b't' => Some((at + 2, '\t')),
        b'/' => Some((at + 2, '/')),
        // A sequence that was escaped once more: what is left is read again.
        b'\\' if matches!(byte_at(bytes, at + 2), b'u' | b'U' | b'x' | b'n' | b'r' | b't' | b'\\') => {
            Some((at + 2, '\\'))
        }
        b'0'..=b'3' => octal(bytes, at),
        _ => None,
    }
}

/// Three octal digits for each byte of UTF-8.
fn octal(bytes: &[u8], at: usize) -> Option<(usize, char)> {
    let byte = |at: usize| {
        if byte_at(bytes, at) != b'\\' {
            return None;
        }
        bytes
            .get(at + 1..at + 4)?
            .iter()
            .try_fold(0_u32, |value, digit| char::from(*digit).to_digit(8).map(|digit| value * 8 + digit))
    };
    let mut end = at + 4;
    let first = u8::try_from(byte(at)?).ok()?;
    let c = utf8(first, || {
        let next = u8::try_from(byte(end)?).ok()?;
        end += 4;
        Some(next)
    })?;
    Some((end, c))
}

/// Four hexadecimal digits from `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<(usize, u32)> {
    let mut value = 0;
    for place in at..at + 4 {
        value = value << 4 | u32::from(hex_digit(byte_at(bytes, place))?);
    }
    Some((at + 4, value))
}

/// The character of a code unit of UTF-16 that ends at `end`; of two when it is the first of a pair.
fn pair(bytes: &[u8], end: usize, unit: u32, mark: &[u8]) -> Option<(usize, char)> {
    if !(0xd800..0xdc00).contains(&unit) {
        return Some((end, text_char(unit)?));
    }
    let rest = bytes.get(end..)?;
    if !rest.starts_with(mark) {
        return None;
    }
    let (end, low) = code_unit(bytes, end + mark.len())?;
    let low = (0xdc00..0xe000).contains(&low).then(|| low - 0xdc00)?;
    Some((end, text_char(0x1_0000 + ((unit - 0xd800) << 10) + low)?))
}

/// Names of U+00A0 to U+00FF, in order (WHATWG HTML, section 13.5).
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo",
    "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot",
    "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",
    "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute",
    "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash",
    "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde",
    "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc",
    "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave",
    "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// The character of a name (WHATWG HTML, section 13.5): signs that values are written with, and Latin letters.
fn named(name: &str) -> Option<char> {
    Some(match name {
        "amp" | "AMP" => '&',
        "lt" | "LT" => '<',
        "gt" | "GT" => '>',
        "quot" | "QUOT" => '"',
        "apos" => '\'',
        "commat" => '@',
        "period" => '.',
        "comma" => ',',
        "colon" => ':',
        "semi" => ';',
        "sol" => '/',
        "bsol" => '\\',
        "lowbar" | "UnderBar" => '_',
        "hyphen" | "dash" => '-',
        "num" => '#',
        "plus" => '+',
        "equals" => '=',
        "percnt" => '%',
        "excl" => '!',
        "quest" => '?',
        "lpar" => '(',
        "rpar" => ')',
        "lsqb" | "lbrack" => '[',
        "rsqb" | "rbrack" => ']',
        "lcub" | "lbrace" => '{',
        "rcub" | "rbrace" => '}',
        "ast" | "midast" => '*',
        "dollar" => '$',
        "verbar" | "vert" => '|',
        "Tab" => '\t',
        "NewLine" => '\n',
        "ensp" | "emsp" | "thinsp" | "hairsp" | "numsp" | "puncsp" => ' ',
        "zwj" => '\u{200d}',
        "zwnj" => '\u{200c}',
        "ndash" | "mdash" => '-',
        "lsquo" | "rsquo" => '\'',
        "ldquo" | "rdquo" => '"',
        "hellip" => '…',
        "euro" => '€',
        "oelig" => 'œ',
        "OElig" => 'Œ',
        _ => {
            let place = LATIN_1.iter().position(|known| *known == name)?;
            char::from(u8::try_from(0xa0 + place).ok()?)
        }
    })
}
