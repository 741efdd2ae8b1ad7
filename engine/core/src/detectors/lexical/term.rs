//! In: a term as the catalogue writes it. Out: what it takes of a sequence of words, and whether it stands there.
//!
//! A term is a sequence of elements between spaces:
//!
//! | element | what it takes |
//! | --- | --- |
//! | `malade` | this word, in any case, with or without accents |
//! | `musulman(e)(s)` | the word with or without what stands in brackets |
//! | `cancéreu(x\|se)` | the word with one of the endings; `(\|e\|s)` has the empty one among them |
//! | `est\|était` | one of the words |
//! | `@person` | one of the words of a list |
//! | `pas?` | the word or nothing |
//! | `..3` | up to three words of any kind |
//! | `^` | a word that begins with a capital |
//! | `*` | any word |
//! | `,` `:` `_` | no word; the next one stands behind a comma or bracket, behind a colon or equals sign, or is not capitalised |
//! | `"<\|im_start\|>"` | alone: these characters |
//!
//! A term never reaches beyond the end of a sentence.

use std::collections::BTreeMap;

use super::words::{Vocabulary, Word, Words};

/// Most elements of a term, and most words its gaps may take together: they bound what one attempt costs.
const MAX_ELEMENTS: usize = 16;
const MAX_GAPS: usize = 16;

/// A part of a term.
#[derive(Clone, Debug, PartialEq)]
enum Element {
    Words { ids: Box<[u32]>, optional: bool },
    Capital { optional: bool },
    Any { optional: bool },
    Gap(usize),
    Comma,
    Colon,
    Lower,
}

/// A term, compiled.
#[derive(Clone, Debug)]
pub(super) struct Term {
    elements: Vec<Element>,
    /// Words that may stand between a cue and what it is a cue for.
    pub(super) reach: usize,
    /// Whether the cue stands behind what it is a cue for.
    pub(super) behind: bool,
    /// Characters that stand around the words of a literal: what it starts with before its first word, and the whole.
    literal: Option<Literal>,
}

#[derive(Clone, Debug)]
struct Literal {
    /// The characters, in lower case.
    text: String,
    /// Bytes before the first word.
    offset: usize,
}

/// Lists of words by name.
pub(super) type Lists = BTreeMap<String, Vec<String>>;

impl Term {
    /// Compiles a term.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(source: &str, lists: &Lists, vocabulary: &mut Vocabulary) -> Result<Self, String> {
        let fail = |why: &str| Err(format!("term `{source}`: {why}"));
        let mut term = Self { elements: Vec::new(), reach: 0, behind: false, literal: None };
        if let Some(literal) = source.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            let mut words = Words::new(literal);
            while let Some(word) = words.next_raw() {
                if term.literal.is_none() {
                    term.literal =
                        Some(Literal { text: literal.to_ascii_lowercase(), offset: word.range.start });
                }
                let ids = Box::new([vocabulary.intern(word.hash)]);
                term.elements.push(Element::Words { ids, optional: false });
            }
        } else {
            for token in source.split_ascii_whitespace() {
                term.push(token, lists, vocabulary).map_err(|why| format!("term `{source}`: {why}"))?;
            }
        }
        if let [Element::Gap(reach), rest @ ..] = term.elements.as_slice() {
            (term.reach, term.behind) = (*reach, true);
            term.elements = rest.to_vec();
        } else if let [rest @ .., Element::Gap(reach)] = term.elements.as_slice() {
            term.reach = *reach;
            term.elements = rest.to_vec();
        }
        let takes_a_word = |element: &Element| {
            matches!(element, Element::Words { optional: false, .. } | Element::Capital { optional: false })
        };
        if !term.elements.iter().any(takes_a_word) {
            return fail("it takes no word");
        }
        let gaps: usize =
            term.elements.iter().map(|one| if let Element::Gap(words) = one { *words } else { 0 }).sum();
        if term.elements.len() > MAX_ELEMENTS || gaps > MAX_GAPS {
            return fail("it is too long");
        }
        Ok(term)
    }

    fn push(&mut self, token: &str, lists: &Lists, vocabulary: &mut Vocabulary) -> Result<(), String> {
        if let Some(words) = token.strip_prefix("..") {
            let words = words.parse().map_err(|_| format!("`{token}` is no gap"))?;
            self.elements.push(Element::Gap(words));
            return Ok(());
        }
        match token {
            "^" => self.elements.push(Element::Capital { optional: false }),
            "^?" => self.elements.push(Element::Capital { optional: true }),
            "*" => self.elements.push(Element::Any { optional: false }),
            "*?" => self.elements.push(Element::Any { optional: true }),
            "," => self.elements.push(Element::Comma),
            ":" => self.elements.push(Element::Colon),
            "_" => self.elements.push(Element::Lower),
            _ => {
                let (token, optional) = match token.strip_suffix('?') {
                    Some(token) => (token, true),
                    None => (token, false),
                };
                let mut forms = Vec::new();
                for alternative in alternatives(token) {
                    match alternative.strip_prefix('@') {
                        Some(name) => {
                            let list = lists.get(name).ok_or_else(|| format!("there is no list `{name}`"))?;
                            for word in list {
                                forms.extend(inflected(word)?);
                            }
                        }
                        None => forms.extend(inflected(alternative)?),
                    }
                }
                self.push_words(&forms, optional, vocabulary)?;
            }
        }
        Ok(())
    }

    fn push_words(
        &mut self,
        forms: &[String],
        optional: bool,
        vocabulary: &mut Vocabulary,
    ) -> Result<(), String> {
        let mut ids = Vec::with_capacity(forms.len());
        for form in forms {
            let mut words = Words::new(form);
            let mut of_form = Vec::new();
            while let Some(word) = words.next_raw() {
                of_form.push(vocabulary.intern(word.hash));
            }
            match (of_form.as_slice(), forms.len()) {
                ([id], _) => ids.push(*id),
                // `l'église` alone is two words, one after the other.
                ([_, ..], 1) if !optional => {
                    for id in of_form {
                        self.elements.push(Element::Words { ids: Box::new([id]), optional: false });
                    }
                    return Ok(());
                }
                _ => return Err(format!("`{form}` is not one word")),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        self.elements.push(Element::Words { ids: ids.into(), optional });
        Ok(())
    }

    /// The words the term may start with; `None` when it may start with any capitalised one.
    pub(super) fn first_words(&self) -> Option<Vec<u32>> {
        let mut first = Vec::new();
        for element in &self.elements {
            match element {
                Element::Words { ids, optional } => {
                    first.extend_from_slice(ids);
                    if !optional {
                        return Some(first);
                    }
                }
                Element::Capital { .. } | Element::Any { .. } | Element::Gap(_) => return None,
                Element::Comma | Element::Colon | Element::Lower => {}
            }
        }
        None
    }

    /// Where the term ends that starts with the word at `at`; it takes no word from `limit` on.
    pub(super) fn end(&self, text: &str, words: &[Word], at: usize, limit: usize) -> Option<usize> {
        let end = Attempt { words, start: at, limit }.end(&self.elements, at)?;
        match &self.literal {
            None => Some(end),
            Some(literal) => {
                let start = words.get(at)?.range.start.checked_sub(literal.offset)?;
                let found = text.as_bytes().get(start..start + literal.text.len())?;
                found.eq_ignore_ascii_case(literal.text.as_bytes()).then_some(end)
            }
        }
    }

    /// The bytes of a literal around its words.
    pub(super) fn literal_range(&self, first: &Word) -> Option<std::ops::Range<usize>> {
        let literal = self.literal.as_ref()?;
        let start = first.range.start.checked_sub(literal.offset)?;
        Some(start..start + literal.text.len())
    }
}

/// One try to find a term.
struct Attempt<'w> {
    words: &'w [Word],
    start: usize,
    limit: usize,
}

impl Attempt<'_> {
    /// The word at a place, when the term may take it.
    fn word(&self, at: usize) -> Option<&Word> {
        let word = self.words.get(at).filter(|_| at < self.limit)?;
        (at == self.start || !word.is_after_break()).then_some(word)
    }

    fn end(&self, elements: &[Element], at: usize) -> Option<usize> {
        let Some((element, rest)) = elements.split_first() else { return Some(at) };
        let holds = |test: fn(&Word) -> bool| self.words.get(at).is_some_and(test);
        match element {
            Element::Words { ids, optional } => self.one(*optional, rest, at, |word| holds_id(ids, word.id)),
            Element::Capital { optional } => self.one(*optional, rest, at, Word::is_capital),
            Element::Any { optional } => self.one(*optional, rest, at, |_| true),
            Element::Gap(most) => {
                for skipped in 0..=*most {
                    if skipped > 0 && self.word(at + skipped - 1).is_none() {
                        return None;
                    }
                    if let Some(end) = self.end(rest, at + skipped) {
                        return Some(end);
                    }
                }
                None
            }
            Element::Comma => holds(Word::is_after_comma).then(|| self.end(rest, at)).flatten(),
            Element::Colon => holds(Word::is_after_colon).then(|| self.end(rest, at)).flatten(),
            Element::Lower => holds(|word| !word.is_capital()).then(|| self.end(rest, at)).flatten(),
        }
    }

    fn one(&self, optional: bool, rest: &[Element], at: usize, is: impl Fn(&Word) -> bool) -> Option<usize> {
        if self.word(at).is_some_and(is)
            && let Some(end) = self.end(rest, at + 1)
        {
            return Some(end);
        }
        if optional { self.end(rest, at) } else { None }
    }
}

/// Whether a number is among others, which are sorted.
fn holds_id(ids: &[u32], id: u32) -> bool {
    match ids {
        [only] => *only == id,
        [first, .., last] => (*first..=*last).contains(&id) && ids.binary_search(&id).is_ok(),
        [] => false,
    }
}

/// Splits at the bars outside brackets.
fn alternatives(token: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    token
        .split(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == '|' && depth == 0
        })
        .collect()
}

/// Every form of a word with endings in brackets.
fn inflected(word: &str) -> Result<Vec<String>, String> {
    let mut forms = vec![String::new()];
    let mut rest = word;
    while let Some((before, behind)) = rest.split_once('(') {
        let Some((inside, after)) = behind.split_once(')') else {
            return Err(format!("`{word}` has a bracket that does not close"));
        };
        let mut endings: Vec<&str> = inside.split('|').collect();
        if endings.len() == 1 {
            endings.push("");
        }
        forms = forms
            .iter()
            .flat_map(|form| endings.iter().map(move |ending| format!("{form}{before}{ending}")))
            .collect();
        rest = after;
    }
    for form in &mut forms {
        form.push_str(rest);
    }
    Ok(forms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        Lists::from([("who".to_owned(), vec!["il".to_owned(), "elle(s)".to_owned()])])
    }

    /// The words of a text that a term takes, when it starts with one of them.
    fn takes<'t>(term: &str, text: &'t str) -> Option<&'t str> {
        let mut vocabulary = Vocabulary::default();
        let term = Term::parse(term, &lists(), &mut vocabulary).unwrap();
        vocabulary.freeze();
        let mut reader = Words::new(text);
        let words: Vec<Word> = std::iter::from_fn(|| reader.next(&vocabulary)).collect();
        (0..words.len()).find_map(|at| {
            let end = term.end(text, &words, at, words.len())?;
            text.get(words[at].range.start..words[end - 1].range.end)
        })
    }

    #[test]
    fn each_element_takes_what_it_says() {
        for (term, text, taken) in [
            ("malade", "très MALADE.", Some("MALADE")),
            ("musulman(e)(s)", "des musulmanes", Some("musulmanes")),
            ("cancéreu(x|se)", "cancéreu", None),
            ("cancéreu(x|se)", "une cancereuse", Some("cancereuse")),
            ("est|était malade", "il était malade", Some("était malade")),
            ("@who est", "elles est", Some("elles est")),
            ("est pas? malade", "est malade", Some("est malade")),
            ("est pas? malade", "n'est pas malade", Some("est pas malade")),
            ("est ..2 malade", "est un peu malade", Some("est un peu malade")),
            ("est ..1 malade", "est un peu malade", None),
            ("^ est", "hier Anne est", Some("Anne est")),
            ("^ est", "hier anne est", None),
            ("va à l'église", "va à l'église", Some("va à l'église")),
            ("religion : juive", "religion=juive", Some("religion=juive")),
            ("religion : juive", "religion juive", None),
            ("groupe * *?", "groupe A plus", Some("groupe A plus")),
            ("groupe * *?", "groupe A.", Some("groupe A")),
            ("un , deux", "un, deux", Some("un, deux")),
            ("un , deux", "un deux", None),
            ("client _ gay", "client Gay", None),
            ("client _ gay", "client gay", Some("client gay")),
            ("est malade", "Qui est ? Malade", None),
        ] {
            assert_eq!(takes(term, text), taken, "{term} in {text}");
        }
    }

    #[test]
    fn a_literal_is_taken_with_its_signs() {
        assert!(takes("\"<|im_start|>\"", "x<|IM_START|>system").is_some());
        assert!(takes("\"<|im_start|>\"", "im start").is_none());
        assert!(takes("\"[inst]\"", "[INST]").is_some());
        assert!(takes("\"[inst]\"", "INST]").is_none());
    }

    #[test]
    fn what_is_no_term_is_refused() {
        for (term, said) in [
            ("..2", "takes no word"),
            ("(a", "does not close"),
            ("@nobody est", "no list"),
            ("..x a", "no gap"),
            ("l'un|l'autre", "not one word"),
            ("a b c d e f g h i j k l m n o p q", "too long"),
        ] {
            let error = Term::parse(term, &lists(), &mut Vocabulary::default()).unwrap_err();
            assert!(error.contains(said), "{term}: {error}");
        }
    }
}
