//! A text with tokens in, piece by piece as it comes; the text with what they stand for, as far as it is safe to say,
//! out.
//!
//! A pure state machine: [`Restorer::push`] takes a piece and gives what cannot change any more, [`Restorer::finish`]
//! the rest. How a text is cut into pieces never matters. Held back is only what may still become a token: from a `[`
//! on at most [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES), and as much as the longest token that keeps a format has,
//! where the caller names such tokens.
//!
//! A token that does not open, since it belongs to another document or was changed, stays as it is and is counted.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use novacrm_crds::compliance_policy::{TokenForm, TokenScope};
use zeroize::Zeroizing;

use super::token::{Parsed, Tokens};

/// Most tokens that keep a format that a restorer is told of.
pub const MAX_LISTED: usize = 256;
/// Longest of them, in bytes.
pub const MAX_LISTED_BYTES: usize = 64;

/// A token that keeps the format of its value. Nothing tells it from any other number, so whoever wants it read back
/// has to name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListedToken {
    /// Type of what it stands for, such as `CARD`.
    pub kind: String,
    /// As it stands in the text.
    pub token: String,
    /// Where it counts.
    pub scope: TokenScope,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// How many tokens of each type.
    pub counts: BTreeMap<String, u64>,
    /// How many tokens of this tenant did not open.
    pub foreign: u64,
}

/// Restores a text.
#[derive(Debug)]
pub struct Restorer {
    tokens: Tokens,
    listed: Option<Listed>,
    /// What was not given out yet.
    held: String,
    /// The character before it.
    before: Option<char>,
    restored: Restored,
}

/// The tokens that keep a format, with what they stand for.
struct Listed {
    automaton: AhoCorasick,
    values: Vec<(String, Zeroizing<String>)>,
    longest: usize,
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listed(…)")
    }
}

impl Restorer {
    /// Restores the tokens of one document and of its tenant. Of `listed`, those that are none, beyond [`MAX_LISTED`] or
    /// longer than [`MAX_LISTED_BYTES`] are left out.
    #[must_use]
    pub fn new(tokens: Tokens, listed: &[ListedToken]) -> Self {
        let listed = Listed::new(&tokens, listed);
        Self { tokens, listed, held: String::new(), before: None, restored: Restored::default() }
    }

    /// Takes a piece of the text; gives what is safe to say.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        self.drain(false)
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> String {
        self.drain(true)
    }

    /// Takes what stands in the place of something and is no part of the text as it came: nothing in it is restored, and
    /// no token reaches across it.
    pub(crate) fn pass(&mut self, put: &str) -> String {
        let held = self.drain(true);
        self.before = put.chars().next_back().or(self.before);
        held + put
    }

    /// What was restored so far.
    #[must_use]
    pub fn restored(&self) -> &Restored {
        &self.restored
    }

    /// Bytes that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn drain(&mut self, is_last: bool) -> String {
        let held = std::mem::take(&mut self.held);
        let mut out = String::with_capacity(held.len());
        let mut rest = held.as_str();
        while !rest.is_empty() {
            let (len, value) = match self.next(rest, is_last) {
                Next::Copy(0) => break,
                Next::Copy(len) => (len, None),
                Next::Replace(len, value) => (len, Some(value)),
            };
            let Some((taken, after)) = rest.split_at_checked(len) else { break };
            out.push_str(value.as_deref().map_or(taken, String::as_str));
            self.before = taken.chars().next_back().or(self.before);
            rest = after;
        }
        rest.clone_into(&mut self.held);
        out
    }

    /// What is to be done with the start of a text.
    fn next(&mut self, rest: &str, is_last: bool) -> Next {
        let bracket = rest.find('[');
        let ahead = bracket.unwrap_or(rest.len());
        if let Some(listed) = &self.listed {
            // A token that keeps a format holds no bracket, so it lies wholly before the next one, or behind it.
            let span = rest.get(..ahead).unwrap_or_default();
            let is_open = !is_last && bracket.is_none();
            match listed.find(span, self.before, is_open) {
                Some((0, end, index)) => {
                    let Some((kind, value)) = listed.values.get(index) else { return Next::Copy(end) };
                    *self.restored.counts.entry(kind.clone()).or_default() += 1;
                    return Next::Replace(end, value.clone());
                }
                Some((start, ..)) => return Next::Copy(start),
                None if is_open => return Next::Copy(floor(span, listed.longest + 4)),
                None => {}
            }
        }
        if ahead > 0 {
            return Next::Copy(ahead);
        }
        match self.tokens.parse(rest) {
            Parsed::Known { kind, form: TokenForm::Token, body, len } => match self.tokens.open(kind, body) {
                Some(value) => {
                    *self.restored.counts.entry(kind.to_owned()).or_default() += 1;
                    Next::Replace(len, value)
                }
                None => {
                    self.restored.foreign += 1;
                    Next::Copy(len)
                }
            },
            Parsed::Known { len, .. } => Next::Copy(len),
            Parsed::Unfinished if !is_last => Next::Copy(0),
            Parsed::Unfinished | Parsed::Other => Next::Copy(1),
        }
    }
}

enum Next {
    /// So many bytes stay as they are; none when more text is needed.
    Copy(usize),
    /// So many bytes become a value.
    Replace(usize, Zeroizing<String>),
}

/// The last place at least `less` bytes before the end that does not split a character.
fn floor(text: &str, less: usize) -> usize {
    let end = text.len().saturating_sub(less);
    (0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

impl Listed {
    fn new(tokens: &Tokens, listed: &[ListedToken]) -> Option<Self> {
        let mut patterns = Vec::new();
        let mut values = Vec::new();
        for one in listed.iter().take(MAX_LISTED).filter(|one| one.token.len() <= MAX_LISTED_BYTES) {
            if let Some(value) = tokens.open_shaped(&one.kind, &one.token, one.scope) {
                patterns.push(one.token.as_str());
                values.push((one.kind.clone(), value));
            }
        }
        let longest = patterns.iter().map(|token| token.len()).max()?;
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).ok()?;
        Some(Self { automaton, values, longest })
    }

    /// The first token that stands by itself: where it starts and ends, and which it is. In a text that goes on, what
    /// more text could change is not found yet.
    fn find(&self, text: &str, before: Option<char>, is_open: bool) -> Option<(usize, usize, usize)> {
        let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let mut from = 0;
        loop {
            let found = self.automaton.find(Input::new(text).range(from..))?;
            if is_open && found.start() + self.longest + 4 >= text.len() {
                return None;
            }
            let left = text.get(..found.start()).and_then(|left| left.chars().next_back());
            let left = if found.start() == 0 { before } else { left };
            let right = text.get(found.end()..).and_then(|right| right.chars().next());
            if !is_part(left) && !is_part(right) {
                return Some((found.start(), found.end(), found.pattern().as_usize()));
            }
            // All tokens are ASCII, so this splits no character.
            from = found.start() + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use novacrm_crds::compliance_policy::TokenScope;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::lattice::Tokenize;
    use crate::transform::{Edit, MAX_TOKEN_BYTES, TokenKey, apply};
    use crate::{FingerprintKey, Span};

    fn tokens(document: &str) -> Tokens {
        TokenKey::new([9; 32]).tokens(document)
    }

    fn tokenize(kind: &str, scope: TokenScope, preserve_format: bool) -> Edit<'_> {
        let how = Tokenize { form: TokenForm::Token, scope, preserve_format };
        Edit::Tokenize { kind, fingerprint: FingerprintKey::new([1; 32]).fingerprint(kind, "x"), how }
    }

    /// Restores a text that comes in pieces which end at `cuts`.
    fn restore(restorer: &mut Restorer, text: &str, cuts: &[usize]) -> String {
        let mut out = String::new();
        let mut piece = String::new();
        for (place, c) in text.chars().enumerate() {
            if cuts.contains(&place) {
                out.push_str(&restorer.push(&piece));
                piece.clear();
                assert!(restorer.held() <= MAX_TOKEN_BYTES + MAX_LISTED_BYTES + 4, "{}", restorer.held());
            }
            piece.push(c);
        }
        out.push_str(&restorer.push(&piece));
        out + &restorer.finish()
    }

    #[test]
    fn a_text_without_tokens_is_given_out_at_once() {
        let mut restorer = Restorer::new(tokens("a"), &[]);
        for piece in ["Bonjour", " [1] é", " [x](y) [IBAN] ", "[[", "] [IBAN:…] "] {
            let held = restorer.push(piece);
            assert_eq!(
                held,
                if piece == "[[" {
                    "["
                } else if piece.starts_with(']') {
                    "[] [IBAN:…] "
                } else {
                    piece
                }
            );
        }
        assert_eq!((restorer.finish().as_str(), restorer.restored()), ("", &Restored::default()));
    }

    #[test]
    fn what_began_like_a_token_and_is_none_is_not_lost() {
        let mut restorer = Restorer::new(tokens("a"), &[]);
        assert_eq!(restorer.push("[IBAN:k7f3"), "");
        assert_eq!(restorer.finish(), "[IBAN:k7f3");
    }

    #[test]
    fn a_token_of_another_document_stays_and_is_counted() {
        let applied = apply(
            "abc",
            &[(Span { start: 0, end: 3 }, tokenize("T", TokenScope::Document, false))],
            &tokens("a"),
        );
        let mut restorer = Restorer::new(tokens("b"), &[]);
        assert_eq!(restore(&mut restorer, &applied.text, &[2]), applied.text);
        assert_eq!(restorer.restored(), &Restored { counts: BTreeMap::new(), foreign: 1 });
    }

    #[test]
    fn a_token_that_keeps_the_format_is_restored_where_it_is_named_and_stands_alone() {
        let text = "carte 4111 1111 1111 1111";
        let edit = tokenize("CARD", TokenScope::Document, true);
        let applied = apply(text, &[(Span { start: 6, end: 25 }, edit)], &tokens("a"));
        let [listed] = applied.listed.as_slice() else { panic!("{applied:?}") };
        assert_eq!(applied.text, format!("carte {}", listed.token));
        let token = &listed.token;
        let answer = format!("{token}, é{token} {token}9 [CARD] ({token})");
        let wanted = format!("4111 1111 1111 1111, é{token} {token}9 [CARD] (4111 1111 1111 1111)");
        for step in [1, 2, 7, 100] {
            let cuts: Vec<usize> = (0..answer.len()).step_by(step).collect();
            let mut restorer = Restorer::new(tokens("a"), std::slice::from_ref(listed));
            assert_eq!(restore(&mut restorer, &answer, &cuts), wanted);
            assert_eq!(restorer.restored().counts, BTreeMap::from([("CARD".to_owned(), 2)]));
        }
        let mut unnamed = Restorer::new(tokens("a"), &[]);
        assert_eq!(restore(&mut unnamed, &answer, &[]), answer);
        let mut of_another = Restorer::new(tokens("b"), std::slice::from_ref(listed));
        assert_ne!(restore(&mut of_another, &answer, &[]), wanted);
    }

    proptest! {
        #[test]
        fn what_was_tokenized_is_restored_however_it_is_cut(
            text in "[a-zA-Z0-9é€\\[\\]: .]{0,60}",
            ends in proptest::collection::vec((0..60_usize, 1..20_usize, any::<bool>()), 0..5),
            cuts in proptest::collection::vec(0..600_usize, 0..40),
        ) {
            let edits: Vec<_> = ends
                .iter()
                .map(|(start, len, tenant)| {
                    let scope = if *tenant { TokenScope::Tenant } else { TokenScope::Document };
                    (Span { start: *start, end: start + len }, tokenize("TYPE", scope, false))
                })
                .collect();
            let applied = apply(&text, &edits, &tokens("a"));
            let mut restorer = Restorer::new(tokens("a"), &applied.listed);
            prop_assert_eq!(restore(&mut restorer, &applied.text, &cuts), text);
        }

        #[test]
        fn numbers_that_keep_their_format_are_restored_however_they_are_cut(
            words in proptest::collection::vec("[a-z\\[]{1,6}", 1..6),
            cuts in proptest::collection::vec(0..200_usize, 0..40),
        ) {
            let numbers = ["4111 1111 1111 1111", "06 12 34 56 78", "732829320"];
            let kinds = ["CARD", "PHONE", "SIREN_FR"];
            let (mut text, mut edits) = (String::new(), Vec::new());
            for (place, word) in words.iter().enumerate() {
                text.push_str(word);
                text.push(' ');
                let start = text.len();
                text.push_str(numbers[place % 3]);
                edits.push((Span { start, end: text.len() }, tokenize(kinds[place % 3], TokenScope::Document, true)));
                text.push_str(", ");
            }
            let applied = apply(&text, &edits, &tokens("a"));
            prop_assert_eq!(applied.listed.len(), words.len().min(3));
            let mut restorer = Restorer::new(tokens("a"), &applied.listed);
            prop_assert_eq!(restore(&mut restorer, &applied.text, &cuts), text);
        }

        #[test]
        fn how_a_text_is_cut_never_matters(
            text in "(\\[[A-Z]{1,3}:?|[a-z0-9]{1,5}|\\]|41 11|é| ){0,30}",
            cuts in proptest::collection::vec(0..120_usize, 0..40),
        ) {
            let listed = [];
            let whole = restore(&mut Restorer::new(tokens("a"), &listed), &text, &[]);
            prop_assert_eq!(restore(&mut Restorer::new(tokens("a"), &listed), &text, &cuts), whole);
        }
    }
}
