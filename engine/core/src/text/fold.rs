//! In: one character. Out: what it folds to on its own, before any composition.

/// What becomes of a character that has no combining mark behind it.
pub(super) enum Fold {
    /// It stays.
    Keep,
    /// It is not seen, so it is dropped.
    Drop,
    /// It reads as this one.
    To(char),
    /// NFKC decides.
    Compose,
}

/// Zero of each run of ten decimal digits (general category Nd, Unicode 16) of the Basic Multilingual Plane
/// that NFKC does not fold by itself.
const ZEROS: [char; 35] = [
    '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}',
    '\u{c66}', '\u{ce6}', '\u{d66}', '\u{de6}', '\u{e50}', '\u{ed0}', '\u{f20}', '\u{1040}', '\u{1090}',
    '\u{17e0}', '\u{1810}', '\u{1946}', '\u{19d0}', '\u{1a80}', '\u{1a90}', '\u{1b50}', '\u{1bb0}',
    '\u{1c40}', '\u{1c50}', '\u{a620}', '\u{a8d0}', '\u{a900}', '\u{a9d0}', '\u{a9f0}', '\u{aa50}',
    '\u{abf0}',
];

pub(super) fn fold(c: char) -> Fold {
    match c {
        '\0'..='\u{84}' | '\u{86}'..='\u{9f}' => Fold::Keep,
        '\u{85}' | '\u{2028}' | '\u{2029}' => Fold::To('\n'),
        // White_Space of category Zs.
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Fold::To(' ')
        }
        // Default_Ignorable_Code_Point.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => Fold::Drop,
        // Dash_Punctuation that is drawn as one stroke, and the minus sign.
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
            Fold::To('-')
        }
        // Full stops and dots at any height, used between groups of digits.
        '\u{b7}' | '\u{2024}' | '\u{2027}' | '\u{2219}' | '\u{22c5}' | '\u{3002}' | '\u{30fb}'
        | '\u{fe52}' | '\u{ff0e}' | '\u{ff61}' | '\u{ff65}' => Fold::To('.'),
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bc}' | '\u{ff07}' => Fold::To('\''),
        '\u{2044}' | '\u{2215}' => Fold::To('/'),
        // Superscripts, subscripts and fractions: NFKC would glue them to the number before them.
        '\u{b2}'
        | '\u{b3}'
        | '\u{b9}'
        | '\u{bc}'..='\u{be}'
        | '\u{2070}'..='\u{209c}'
        | '\u{2150}'..='\u{215f}' => Fold::Keep,
        // Latin letters with their marks, as French and its neighbours write them: already composed.
        '\u{c0}'..='\u{131}' => Fold::Keep,
        _ => digit(c).map_or(Fold::Compose, Fold::To),
    }
}

fn digit(c: char) -> Option<char> {
    let run = ZEROS.partition_point(|zero| *zero <= c).checked_sub(1)?;
    let value = u32::from(c).checked_sub(u32::from(*ZEROS.get(run)?))?;
    char::from_digit(value, 10)
}
