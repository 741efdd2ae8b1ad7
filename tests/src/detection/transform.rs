//! In: a value. Out: the same value as somebody writes it who wants it to pass a filter, or as a program encodes it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::Rng;

/// A disguise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// As it is.
    Plain,
    /// A zero-width character here and there.
    ZeroWidth,
    /// Letters of other scripts that look the same.
    Homoglyph,
    /// Full-width forms.
    FullWidth,
    /// Narrow no-break spaces for spaces, and between digits without any.
    NarrowSpace,
    /// Soft hyphens.
    SoftHyphen,
    /// Right-to-left and left-to-right marks.
    Bidi,
    /// Base64.
    Base64,
    /// Base64 for URLs, without padding.
    Base64Url,
    /// Percent-encoding of every byte.
    Percent,
    /// The same twice.
    PercentTwice,
    /// Decimal character references.
    Entities,
    /// Hexadecimal character references.
    HexEntities,
    /// `\u0041`.
    UnicodeEscape,
    /// Quoted-printable of every byte.
    QuotedPrintable,
    /// Hexadecimal bytes.
    Hex,
    /// A space after each character.
    Spaced,
    /// `[at]` and `[dot]`.
    AtDot,
    /// Digits as French words.
    Spelled,
    /// A line break in the middle.
    Wrapped,
}

/// All of them.
pub const TRANSFORMS: &[Transform] = &[
    Transform::Plain,
    Transform::ZeroWidth,
    Transform::Homoglyph,
    Transform::FullWidth,
    Transform::NarrowSpace,
    Transform::SoftHyphen,
    Transform::Bidi,
    Transform::Base64,
    Transform::Base64Url,
    Transform::Percent,
    Transform::PercentTwice,
    Transform::Entities,
    Transform::HexEntities,
    Transform::UnicodeEscape,
    Transform::QuotedPrintable,
    Transform::Hex,
    Transform::Spaced,
    Transform::AtDot,
    Transform::Spelled,
    Transform::Wrapped,
];

impl Transform {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The value in disguise; nothing when the disguise does not suit it.
    pub fn apply(self, value: &str, rng: &mut impl Rng) -> Option<String> {
        let each = |write: &dyn Fn(char) -> String| value.chars().map(write).collect::<String>();
        let bytes = |write: &dyn Fn(u8) -> String| value.bytes().map(write).collect::<String>();
        let told = match self {
            Self::Plain => value.to_owned(),
            Self::ZeroWidth => sprinkle(value, "\u{200b}\u{200d}\u{2060}", rng),
            Self::SoftHyphen => sprinkle(value, "\u{ad}", rng),
            Self::Bidi => sprinkle(value, "\u{200e}\u{202a}", rng),
            Self::Homoglyph => {
                let told = each(&|c| homoglyph(c).to_string());
                return (told != value).then_some(told);
            }
            Self::FullWidth => each(&|c| match c {
                '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c).to_string(),
                other => other.to_string(),
            }),
            Self::NarrowSpace => {
                let told = value.replace(' ', "\u{202f}");
                return (told != value).then_some(told);
            }
            Self::Base64 => STANDARD.encode(value),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(value),
            Self::Percent => bytes(&|byte| format!("%{byte:02X}")),
            Self::PercentTwice => bytes(&|byte| format!("%25{byte:02X}")),
            Self::Entities => each(&|c| format!("&#{};", u32::from(c))),
            Self::HexEntities => each(&|c| format!("&#x{:x};", u32::from(c))),
            Self::UnicodeEscape => each(&|c| format!("\\u{:04x}", u32::from(c))),
            Self::QuotedPrintable => bytes(&|byte| format!("={byte:02X}")),
            Self::Hex => hex::encode(value),
            Self::Spaced => {
                let packed: String = value.chars().filter(|c| *c != ' ').collect();
                packed.chars().map(|c| c.to_string()).collect::<Vec<_>>().join(" ")
            }
            Self::AtDot => {
                let (user, host) = value.split_once('@')?;
                format!("{user} [at] {}", host.replace('.', " [dot] "))
            }
            Self::Spelled => {
                if !value.chars().all(|c| c.is_ascii_digit() || c == ' ') {
                    return None;
                }
                let words = ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"];
                let word = |c: char| c.to_digit(10).and_then(|digit| words.get(digit as usize)).copied();
                value.chars().filter_map(word).collect::<Vec<_>>().join(" ")
            }
            Self::Wrapped => {
                let middle = value.char_indices().nth(value.chars().count() / 2)?.0;
                let (head, tail) = value.split_at_checked(middle)?;
                format!("{head}\n{tail}")
            }
        };
        Some(told)
    }
}

fn sprinkle(value: &str, of: &str, rng: &mut impl Rng) -> String {
    let of: Vec<char> = of.chars().collect();
    let mut told = String::new();
    for c in value.chars() {
        if !told.is_empty() && rng.random_bool(0.5) {
            told.extend(of.get(rng.random_range(0..of.len())));
        }
        told.push(c);
    }
    told
}

/// Cyrillic and Greek letters that are drawn like Latin ones.
fn homoglyph(c: char) -> char {
    match c {
        'a' => 'а',
        'e' => 'е',
        'o' => 'о',
        'p' => 'р',
        'c' => 'с',
        'x' => 'х',
        'A' => 'А',
        'B' => 'В',
        'E' => 'Е',
        'H' => 'Н',
        'K' => 'К',
        'M' => 'М',
        'R' => 'Ʀ',
        'T' => 'Т',
        other => other,
    }
}
