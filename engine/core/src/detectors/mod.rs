//! In: normalised text. Out: findings: what was seen, where and how surely, never the value.
//!
//! # What is found
//! The [`catalogue`] lists the built-in detectors (`engine/catalogue/detectors/*.yaml`): data with a version, a
//! source, a description in both languages, and examples that the tests run. A policy may bring its own
//! ([`CustomDetector`](novacrm_crds::compliance_policy::CustomDetector)): an expression, under the limits of
//! [`compile_pattern`].
//!
//! # How
//! One Aho-Corasick automaton finds, in one pass, every literal that a secret starts with and every context word.
//! Bytes that can start something else (a digit, `@`, `:`, two capitals) lead to code that knows the structure.
//! An expression or a parser only ever sees a window around such a candidate, so text without candidates costs
//! one pass, and hostile text costs a bounded amount for each byte.
//!
//! # Scores
//! A checksum decides whether a finding exists; the score says how likely the reading is. An entry states up to
//! three scores and the highest that applies counts: `base` for the structure alone, `context` when one of the
//! entry's context words stands within 64 bytes before or 24 bytes after, `verified` when an optional checksum
//! holds. `weak` takes the place of `base` for a form that other numbers share, such as unbroken digits; a score
//! of 0 is not reported, so such a value needs its context. A `base` below 0.5 is below the threshold that a policy has
//! unless it says otherwise.
//!
//! # Identifiers
//! Most identifiers are data: the shapes they are written in, a named [`Check`], and what they [need](Needs) to be
//! believed, because a bare number passes a weak checksum by chance. Without a context word an identifier must pass
//! its checksum, be grouped as one of its shapes (or stand unbroken, where that is telling enough), and not be part of
//! something else: tied to more characters by punctuation, beside a group of the same length, an amount. With a
//! context word any regular grouping will do. What has no checksum to prove it always needs the word.
//!
//! # Context words
//! A word speaks for the values behind it until another value stands between them, unless the two are a list
//! ("SIREN 732829320 et 404833048"), and for a value right before it in the same clause ("732829320 RCS Paris"). The
//! nearest word decides: where several identifiers fit the same digits, the one whose word is nearest is meant; and
//! where a word for a number that is nobody's stands nearer (an order, an article, a parcel, a version), the number is
//! none of them. In the head of a table a word speaks for its column and for nothing else. A checksum with its own word outweighs a telephone number that only a word speaks for.
//!
//! Where the text has a structure (JSON, a table, HTML, lines with keys), the key of a value or the head of its column
//! speaks for it however far away it stands, when no word near says otherwise; and a finding names the
//! [path](crate::Finding::path) to it.
//!
//! # Overlaps
//! A finding that lies wholly inside another one of at least the same score is dropped (a SIREN inside a SIRET,
//! a card number inside an IBAN); of two equal spans the higher score stays, then the lower id. A secret is hidden by
//! secrets only: whatever else a passage is, it stays one. Findings that overlap otherwise all stay; [`transform`](crate::transform) replaces their union.
//!
//! # Readings
//! Detectors see every reading of a text ([`Readings`](crate::text::Readings)): the whole of it, normalised, and
//! windows in which an encoding or another disguise was undone. What is found in a window counts when it touches
//! what was undone there and has the least score that the layer asks for; layers that join what stood apart also
//! refuse what words alone tell (names, addresses). Its span is that of the text as sent, to whole escape sequences;
//! behind an opaque layer (base64, hexadecimal) it is the whole token. Then, over the spans in the text as sent:
//!
//! 1. what is found in a transparent window and what is found in the plain text are resolved together, by the rule
//!    above; of one value that both see with one span, the fingerprint is that of the value as it reads;
//! 2. a plain finding that starts or ends within an escape sequence is misread, and gives way to a finding of the
//!    same detector that overlaps it where the sequence was undone;
//! 3. findings behind an opaque layer neither hide nor are hidden, since they are only parts of their span: one is
//!    dropped only when the same detector found at least as much, as surely, in the plain text, or found the same
//!    value in the same token by another way.
//!
//! A text in which nothing is undone has the findings of its plain reading and no others.
//!
//! All built-in detectors always run, and the set a policy asked for is chosen from what is left. So what one
//! detector finds never depends on which others are enabled, and combining policies cannot hide a finding. Secrets are
//! found by themselves where nobody asks for more, since nothing else decides about them. For
//! the same reason custom detectors neither hide built-in findings nor each other's.
//!
//! Lexical detectors (the families `special`, `prompt` and `tone`, in `lexical`) say something about a passage rather
//! than what a value is, so they take no part in this: only findings of the same lexical detector are settled among
//! themselves. Their families therefore run only when somebody asks for them, and change nothing for the others.

mod catalogue;
mod entry;
mod letters;
mod lexical;
mod names;
mod pattern;
mod reference;
mod scan;
mod set;

use novacrm_crds::Bilingual;

pub use catalogue::{Catalogue, catalogue};
pub use entry::{
    Alone, Assigned, Category, Check, Entry, Example, Examples, Find, Identifier, Lexicon, Needs, Pattern,
    Score, Source, Structure, TermGroup, Terms, Validator,
};
pub(crate) use lexical::Families;
pub use pattern::{MAX_COMPILED_BYTES, MAX_NESTING, MAX_PATTERN_BYTES, PatternError, compile_pattern};
pub use reference::reference;
pub(crate) use scan::plain;
pub(crate) use set::Wanted;
pub use set::{DetectorError, DetectorSet};

#[cfg(test)]
mod tests;
