//! In: a word as it stands in a text. Out: whether lists of names, words and places have it, and what part it plays
//! in a letter (title, label, street type). The lists are `engine/catalogue/lexicon`; their README names the sources.

mod fold;
mod roles;
pub(crate) mod table;

use std::sync::LazyLock;

use super::super::{Structure, catalogue};
pub(super) use fold::Folded;
pub(super) use roles::Role;
pub(super) use table::{CITY, COMMUNE, FIRST, SURNAME, WORD};

/// The lists as `build.rs` laid them out.
static TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lexicon.bin"));

/// What the lists say about a folded word: flags of [`table`].
pub(super) fn flags(word: &[u8]) -> u8 {
    let hash = table::hash(word);
    let slots = TABLE.len() / table::SLOT;
    let wanted = table::slot(hash, 0);
    let mut at = table::place(hash, slots);
    // The build leaves a fifth of the slots empty, so a search is short; the bound is for the reader's peace.
    for _ in 0..slots {
        match TABLE.get(at * table::SLOT..(at + 1) * table::SLOT) {
            Some([flags, rest @ ..]) if *flags != 0 => {
                if Some(rest) == wanted.get(1..) {
                    return *flags;
                }
            }
            _ => return 0,
        }
        at = if at + 1 == slots { 0 } else { at + 1 };
    }
    0
}

/// What part a word, or up to three words with a space between, plays around names and addresses.
pub(super) fn role(folded: &[u8]) -> Role {
    static ROLES: LazyLock<Roles> = LazyLock::new(Roles::new);
    ROLES.get(folded)
}

/// More than twice as many as there are words with a role.
const SLOTS: usize = 4096;

/// Roles by hash: open addressing with at most half of the slots taken.
struct Roles {
    slots: Vec<(u64, Role)>,
}

impl Roles {
    fn new() -> Self {
        let mut roles = Self { slots: vec![(0, Role::NONE); SLOTS] };
        for (role, words) in roles::ROLES {
            for word in words.split(',') {
                roles.insert(word, *role);
            }
        }
        // Words that announce a person are the context words of the catalogue.
        for entry in catalogue().iter() {
            if matches!(entry.find, super::super::Find::Structure(Structure::Person)) {
                for word in entry.context.values().flatten() {
                    roles.insert(word, Role::LABEL);
                }
            }
        }
        roles
    }

    /// A word may have several roles.
    fn insert(&mut self, word: &str, role: Role) {
        let folded = Folded::of_words(word.split_whitespace());
        let hash = table::hash(folded.as_bytes());
        let mut at = table::place(hash, SLOTS);
        for _ in 0..SLOTS {
            let Some(slot) = self.slots.get_mut(at) else { return };
            if slot.1 == Role::NONE || slot.0 == hash {
                *slot = (hash, slot.1.or(role));
                return;
            }
            at = (at + 1) % SLOTS;
        }
    }

    fn get(&self, folded: &[u8]) -> Role {
        let hash = table::hash(folded);
        let mut at = table::place(hash, SLOTS);
        for _ in 0..SLOTS {
            match self.slots.get(at) {
                Some((of, role)) if *role != Role::NONE => {
                    if *of == hash {
                        return *role;
                    }
                }
                _ => break,
            }
            at = (at + 1) % SLOTS;
        }
        Role::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags_of(word: &str) -> u8 {
        let mut folded = Folded::default();
        folded.push_word(word);
        flags(folded.as_bytes())
    }

    #[test]
    fn the_lists_know_names_words_and_places() {
        for name in ["Jeanne", "HÉLÈNE", "Giuseppe", "Małgorzata", "Jürgen", "João", "Maarten", "Lucía"]
        {
            assert_eq!(flags_of(name) & (FIRST | WORD), FIRST, "{name}");
        }
        for name in ["Dupont", "Müller", "Mueller", "García", "Rossi", "Janssens", "Wójcik", "Williams"] {
            assert_ne!(flags_of(name) & SURNAME, 0, "{name}");
        }
        for word in ["facture", "Rechnung", "pedido", "customer", "gennaio", "zamówienie"] {
            assert_eq!(flags_of(word) & (FIRST | WORD), WORD, "{word}");
        }
        assert_ne!(flags_of("Paris") & CITY, 0);
        assert_ne!(flags(b"38 grenoble") & COMMUNE, 0);
        assert_eq!(flags(b"39 grenoble"), 0);
        assert_eq!(flags_of("Xqzvwk"), 0);
    }

    #[test]
    fn roles_are_found_whatever_the_case_and_the_marks() {
        let role_of = |text: &str| role(Folded::of_words(text.split(' ')).as_bytes());
        assert!(role_of("Mme").is(Role::TITLE));
        assert!(role_of("avenue").is(Role::STREET) && !role_of("avenue").is(Role::TITLE));
        assert!(role_of("Sincèrement").is(Role::SIGN_OFF));
        assert!(role_of("au nom de").is(Role::LABEL));
        assert!(role_of("conducteur").is(Role::LABEL));
        assert_eq!(role_of("éléphant"), Role::NONE);
    }
}
