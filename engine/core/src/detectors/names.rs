//! In: a word of a key or a column. Out: whether the catalogue has it as a word that announces values.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::{Families, catalogue};
use crate::text::words;

static KNOWN: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let mut known = HashSet::new();
    // Lexical families say something about people: their words stand in no path.
    let entries = catalogue().iter().filter(|entry| Families::of(&entry.id).is_empty());
    for phrase in entries.flat_map(|entry| entry.context.values().flatten()) {
        words(phrase, |word| {
            known.insert(word.to_owned());
            true
        });
    }
    known
});

/// Whether a word, in lower case and without accents, announces values.
pub(super) fn is_known(word: &str) -> bool {
    KNOWN.contains(word)
}
