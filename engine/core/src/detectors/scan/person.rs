//! In: a capital. Out: the name of a person, told by the evidence of its words and of what stands around it.
//!
//! A run of capitalised words is read as given name and surname, or the other way round. Each word adds what the
//! lists say of it; a title, a label, a greeting or the end of a letter before it, and an e-mail address made of the
//! same words near it, add more; a street type, an organisation or the ending of a company's name rule it out.

use std::ops::Range;

use super::lexicon::{self, CITY, FIRST, Folded, Role, SURNAME, WORD};
use super::words::{char_at, char_before, fold, is_capital, plain, role, skip_spaces, word_at, word_before};
use super::{Scan, Structure, byte_at, byte_before};

/// Longest run of words that is looked at, and longest name, in words.
const MAX_RUN: usize = 12;
const MAX_NAME: usize = 7;
/// Longest word of a name, in bytes.
const MAX_WORD: usize = 48;
/// Points from which a run is a name, and from which it surely is.
const ENOUGH: i32 = 10;
const SURE: i32 = 14;
/// How far around a name an e-mail address of the same words counts, in bytes.
const NEAR: usize = 64;

/// Roles of words that are no part of a name.
const NO_NAME: Role = Role::TITLE
    .or(Role::LABEL)
    .or(Role::NAME_KEY)
    .or(Role::GREETING)
    .or(Role::SIGN_OFF)
    .or(Role::STREET)
    .or(Role::ORGANISATION);
/// What makes a place or a company of the words behind it.
const NO_PERSON: Role = Role::STREET.or(Role::STREET_WEAK).or(Role::ORGANISATION).or(Role::SAINT);

/// Endings of surnames that are too many for a list.
const SURNAME_ENDINGS: [&[u8]; 22] = [
    b"ski", b"ska", b"cki", b"cka", b"dzki", b"dzka", b"wicz", b"czyk", b"czak", b"owicz", b"mann",
    b"berger", b"sson", b"ovic", b"escu", b"elli", b"etti", b"ucci", b"oglu", b"idis", b"enko", b"poulos",
];

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `Jean`, `Jean-Marc`, `O'Neill`, `McDonald`.
    Title,
    /// `DUPONT`.
    Upper,
    /// `J.`
    Initial,
    /// `de`, `van der`.
    Particle,
}

/// A word of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    start: usize,
    end: usize,
    flags: u8,
    role: Role,
    shape: Shape,
    letters: usize,
}

/// What stands before a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Title,
    /// A key that only a name can follow.
    Key,
    Label,
    /// `nom`, `nombre`, …: mostly of a person.
    Named,
    /// `name`: of anything.
    AnyName,
    SignOff,
    Greeting,
    /// Another capitalised word, or an article.
    Word,
    /// What makes a place or a company of it.
    NoPerson,
}

impl Before {
    fn points(self) -> i32 {
        match self {
            Self::Nothing => 0,
            Self::Title | Self::Key => 10,
            Self::Label | Self::Named | Self::SignOff => 8,
            Self::AnyName => 5,
            Self::Greeting => 4,
            Self::Word => -1,
            Self::NoPerson => -40,
        }
    }

    /// Whether it says that a name of a person follows.
    fn announces(self) -> bool {
        matches!(self, Self::Title | Self::Key | Self::Label | Self::Named | Self::SignOff)
    }
}

impl Scan<'_> {
    /// Reads the run of capitalised words at `at` and notes the names in it. Where the next look may start.
    pub(super) fn person(&mut self, at: usize, tokens: &mut Vec<Token>, address_done: usize) -> usize {
        tokens.clear();
        let Some(end) = self.run(at, tokens) else {
            // Not a word of a name: on to its end.
            let word = word_at(self.text, at);
            return word.end;
        };
        if at < address_done || !self.may_start(at) {
            return end;
        }
        let mut first = 0;
        while first < tokens.len() {
            let rest = tokens.get(first..).unwrap_or_default();
            let before = first.checked_sub(1).and_then(|last| tokens.get(last));
            match self.best(rest, before) {
                Some((length, points, before)) => {
                    let found = rest.first().zip(rest.get(length - 1));
                    if let Some((from, to)) = found {
                        self.person_found(from.start..to.end, points, before);
                    }
                    first += length;
                }
                None => {
                    // What bears a name bears all of it: `The Martin Luther King Library`.
                    if rest.first().is_some_and(|word| self.before(word, before) == Before::NoPerson) {
                        while tokens.get(first).is_some_and(|word| !word.role.is(Role::TITLE.or(Role::LABEL)))
                        {
                            first += 1;
                        }
                    }
                    first += 1;
                }
            }
        }
        self.reversed(tokens).unwrap_or(end)
    }

    /// The words of a run, each with what is known of it. None when the first word is none of a name.
    fn run(&self, start: usize, tokens: &mut Vec<Token>) -> Option<usize> {
        let text = self.text;
        let mut at = start;
        loop {
            let Some(mut token) = self.token(at) else {
                return (!tokens.is_empty()).then_some(at);
            };
            // `Le Gall`, `Dos Santos`
            if !tokens.is_empty() && token.role.is(Role::PARTICLE) && token.flags & FIRST == 0 {
                token.shape = Shape::Particle;
            }
            tokens.push(token);
            let mut end = token.end;
            if token.role.is(Role::TITLE.or(Role::SHORT_TITLE)) && byte_at(self.bytes, end) == b'.' {
                end += 1;
            }
            let mut next = skip_spaces(text, end, 2);
            let glued = next == end;
            if tokens.len() >= MAX_RUN || (glued && byte_before(self.bytes, end) != b'.') {
                return Some(end);
            }
            // Particles count only when a capital follows.
            let kept = tokens.len();
            for _ in 0..3 {
                if char_at(text, next).is_some_and(char::is_lowercase)
                    && let Some(particle) = self.particle(next)
                {
                    next = if byte_at(self.bytes, particle.end) == b'\'' {
                        particle.end + 1
                    } else {
                        skip_spaces(text, particle.end, 1)
                    };
                    tokens.push(particle);
                } else {
                    break;
                }
            }
            if !is_capital(text, next) || tokens.len() >= MAX_RUN {
                tokens.truncate(kept);
                return Some(end);
            }
            at = next;
        }
    }

    /// A particle in lower case, with a space or an apostrophe behind it.
    fn particle(&self, at: usize) -> Option<Token> {
        let rest = self.bytes.get(at..)?;
        let length = rest.iter().take(6).take_while(|byte| byte.is_ascii_lowercase()).count();
        let end = at + length;
        match byte_at(self.bytes, end) {
            b' ' => {}
            b'\'' if length == 1 || length == 4 => {}
            _ => return None,
        }
        let role = role(self.text, &(at..end));
        role.is(Role::PARTICLE).then_some(Token {
            start: at,
            end,
            flags: 0,
            role,
            shape: Shape::Particle,
            letters: length,
        })
    }

    /// The word at `at`, which starts with a capital; none when it is written as no name is.
    fn token(&self, at: usize) -> Option<Token> {
        let text = self.text;
        let mut part = Folded::default();
        let mut flags = None;
        let mut first_role = None;
        let (mut end, mut letters, mut in_part) = (at, 0, 0);
        let (mut capitals, mut inner_capitals, mut inner_small, mut odd) = (0, 0, 0, false);
        let mut close = |part: &mut Folded, first_role: &mut Option<Role>| {
            let of_part = self.part_flags(part.as_bytes());
            first_role.get_or_insert_with(|| lexicon::role(part.as_bytes()));
            part.clear();
            flags = Some(match flags {
                None => of_part,
                // Of a compound, what the first part says holds unless another part is a mere word.
                Some(of_all) if of_part & (WORD | FIRST | SURNAME) == WORD => of_all | WORD,
                Some(of_all) => of_all | (of_part & SURNAME),
            });
        };
        let mut chars = text.get(at..)?.char_indices().peekable();
        while let Some((place, c)) = chars.next() {
            if place > MAX_WORD {
                return None;
            }
            if c.is_alphabetic() {
                letters += 1;
                in_part += 1;
                if c.is_uppercase() {
                    if in_part == 1 { capitals += 1 } else { inner_capitals += 1 }
                } else if in_part > 1 {
                    inner_small += 1;
                }
                part.push_char(c);
                end = at + place + c.len_utf8();
                continue;
            }
            let next = chars.peek().map(|(_, next)| *next);
            if matches!(c, '-' | '\'') && next.is_some_and(char::is_alphabetic) && in_part > 0 {
                if c == '\'' {
                    // `Jean's`
                    let behind = text.get(at + place + 1..).unwrap_or_default();
                    if behind.starts_with(['s', 'S'])
                        && !behind.chars().nth(1).is_some_and(char::is_alphabetic)
                    {
                        break;
                    }
                } else {
                    odd |= !capitals_fit(&part, inner_capitals, inner_small);
                    close(&mut part, &mut first_role);
                    if inner_small > 0 {
                        inner_capitals = 0;
                    }
                }
                in_part = 0;
                continue;
            }
            if c.is_numeric()
                || matches!(c, '_' | '@' | '\\' | '/' | '+' | '$')
                    && next.is_some_and(|next| !next.is_whitespace())
            {
                return None;
            }
            break;
        }
        odd |= !capitals_fit(&part, inner_capitals, inner_small);
        close(&mut part, &mut first_role);
        if letters == 0 || odd {
            return None;
        }
        let role = first_role.unwrap_or_default();
        let mut shape = if inner_small == 0 && letters > 1 { Shape::Upper } else { Shape::Title };
        if letters == 1 {
            shape = Shape::Initial;
            if byte_at(self.bytes, end) == b'.' && !role.is(Role::SHORT_TITLE) {
                end += 1;
                // `J.-P.`
                if byte_at(self.bytes, end) == b'-'
                    && byte_at(self.bytes, end + 2) == b'.'
                    && is_capital(text, end + 1)
                {
                    end += 3;
                }
            }
        } else if byte_at(self.bytes, end) == b'.'
            && char_at(text, end + 1).is_some_and(char::is_alphanumeric)
            && !role.is(Role::TITLE)
        {
            // `Example.com`
            return None;
        }
        if matches!(byte_at(self.bytes, end), b'@' | b'_') {
            return None;
        }
        let compound = capitals > 1 || self.slice(&(at..end)).contains('-');
        Some(Token {
            start: at,
            end,
            flags: flags.unwrap_or(0),
            role: if compound { keep_saint(role) } else { role },
            shape,
            letters,
        })
    }

    fn part_flags(&self, part: &[u8]) -> u8 {
        let flags = lexicon::flags(part);
        if flags == 0 && part.len() >= 6 && SURNAME_ENDINGS.iter().any(|ending| part.ends_with(ending)) {
            return SURNAME;
        }
        flags
    }

    /// Whether what stands before lets a name start.
    fn may_start(&self, at: usize) -> bool {
        match char_before(self.text, at) {
            Some('@' | '_' | '\\' | '#' | '$' | '%' | '&' | '+' | '~') => false,
            Some('/') => byte_before(self.bytes, at - 1) == b' ',
            Some('-') => !char_before(self.text, at - 1).is_some_and(char::is_alphanumeric),
            Some('.') => {
                role(self.text, &word_before(self.text, at - 1)).is(Role::TITLE.or(Role::SHORT_TITLE))
            }
            _ => true,
        }
    }

    /// The best name that starts with the first of the words: its length in words, its points, what stands before.
    fn best(&self, words: &[Token], before_word: Option<&Token>) -> Option<(usize, i32, Before)> {
        let first = words.first()?;
        let is_title = first.role.is(Role::SHORT_TITLE) && words.len() > 1 && first.letters < 3;
        if first.shape == Shape::Particle && first.flags & FIRST == 0 || first.role.is(NO_NAME) || is_title {
            return None;
        }
        let is_word = first.flags & (WORD | FIRST | SURNAME) == WORD;
        let titled = before_word.is_some_and(|word| word.role.is(Role::TITLE.or(Role::SHORT_TITLE)));
        if is_word && !(titled && words.len() > 1) {
            return None;
        }
        let before = self.before(first, before_word);
        if before == Before::NoPerson {
            return None;
        }
        let mut best: Option<(usize, i32)> = None;
        for length in 1..=words.len().min(MAX_NAME) {
            let Some(name) = words.get(..length) else { break };
            let Some(last) = name.last() else { break };
            if length > 1
                && last.role.is(NO_NAME)
                && last.shape != Shape::Particle
                && !is_surname_too(first, last)
            {
                break;
            }
            if last.shape == Shape::Particle {
                continue;
            }
            let Some(mut points) = name_points(name, before) else { continue };
            points += before.points();
            if best.is_none_or(|(_, of_best)| points >= of_best) {
                best = Some((length, points));
            }
        }
        if best.is_none_or(|(length, _)| length == 1)
            && let Some(length) = self.word_for_surname(words, before)
        {
            best = Some((length, before.points() + 6));
        }
        let (length, mut points) = best?;
        let name = words.get(..length)?;
        let range = first.start..name.last()?.end;
        if length == 1 && points < ENOUGH {
            return None;
        }
        if (2..SURE).contains(&points) {
            points += self.mail_points(name, &range);
        }
        if points < ENOUGH - 2
            || self.is_company(&range, name, words.get(length), before)
            || self.is_brand(&range)
        {
            return None;
        }
        (points >= ENOUGH).then_some((length, points, before))
    }

    /// Where a name was announced, a first name and a mere word to the end of the run are one as well: many surnames
    /// are words.
    fn word_for_surname(&self, words: &[Token], before: Before) -> Option<usize> {
        let (first, last) = (words.first()?, words.last()?);
        let between = words.get(1..words.len().checked_sub(1)?)?;
        (before.announces()
            && words.len() > 1
            && first.flags & FIRST != 0
            && between.iter().all(|token| token.shape == Shape::Particle)
            && last.role.without(Role::COMPLEMENT) == Role::default()
            && last.letters > 2
            && !matches!(byte_at(self.bytes, last.end), b' ' | b'-' | b'/'))
        .then_some(words.len())
    }

    /// What stands before the first word of a name.
    fn before(&self, first: &Token, before_word: Option<&Token>) -> Before {
        if let Some(word) = before_word {
            return match word.role {
                _ if word.shape == Shape::Particle => {
                    if self.is_place_name(word.start) {
                        Before::NoPerson
                    } else {
                        Before::Word
                    }
                }
                role if role.is(Role::TITLE.or(Role::SHORT_TITLE)) => Before::Title,
                role if role.is(NO_PERSON) => Before::NoPerson,
                role if role.is(Role::NAME_KEY) => Before::Key,
                role if role.is(Role::LABEL) => Before::Label,
                role if role.is(Role::GREETING) => Before::Greeting,
                _ => Before::Word,
            };
        }
        let text = self.text;
        if let Some(before) = self.columns.before(self.bytes, first.start) {
            return before;
        }
        let mut at = first.start;
        let (mut colon, mut comma, mut newline, mut other) = (false, false, false, false);
        for _ in 0..8 {
            match byte_before(self.bytes, at) {
                b' ' | b'\t' | b'*' => {}
                b':' | b'=' => colon = true,
                b'>' if byte_before(self.bytes, at - 1).is_ascii_alphanumeric() => colon = true,
                b',' => comma = true,
                b'\n' | b'\r' => newline = true,
                b'"' | b'\'' | b'<' | b'(' | b'[' | b'-' | b'|' => other = true,
                b'.' if !colon && !comma && !newline && !other => {
                    // `Dr. Martin`
                    let word = word_before(text, at);
                    let role = role(text, &word);
                    if role.is(Role::TITLE) || (role.is(Role::SHORT_TITLE) && is_capital(text, word.start)) {
                        return Before::Title;
                    }
                    return if role.is(Role::STREET) { Before::NoPerson } else { Before::Nothing };
                }
                b'.' if newline && !colon => {
                    // `Cordialement.`
                }
                _ => break,
            }
            at -= 1;
        }
        if at == 0 || !char_before(text, at).is_some_and(char::is_alphanumeric) {
            return Before::Nothing;
        }
        let mut word = word_before(text, at);
        if colon {
            return self.key(at);
        }
        let whole = role(text, &word);
        // `l'avenue`
        if let Some(apostrophe) = self.slice(&word).rfind('\'') {
            word.start += apostrophe + 1;
        }
        let folded = fold(text, &word);
        let of_word = whole.or(lexicon::role(folded.as_bytes()));
        if comma || newline {
            return if of_word.is(Role::SIGN_OFF) || self.phrase(&word).is(Role::SIGN_OFF) {
                Before::SignOff
            } else {
                Before::Nothing
            };
        }
        if other {
            return if of_word.is(Role::LABEL) { Before::Label } else { Before::Nothing };
        }
        if of_word.is(Role::TITLE) || (of_word.is(Role::SHORT_TITLE) && is_capital(text, word.start)) {
            return Before::Title;
        }
        if of_word.is(NO_PERSON) {
            return Before::NoPerson;
        }
        if of_word.is(Role::LABEL) {
            return Before::Label;
        }
        if of_word.is(Role::NAME_KEY) {
            return Before::Key;
        }
        if of_word.is(Role::GREETING) {
            return Before::Greeting;
        }
        if folded.as_bytes().len() <= 4 || of_word.is(Role::PARTICLE) {
            let phrase = self.phrase(&word);
            if phrase.is(Role::LABEL) {
                return Before::Label;
            }
            if phrase.is(Role::NAME_KEY) {
                return Before::Key;
            }
            if of_word.is(Role::PARTICLE) && self.is_place_name(word.start) {
                return Before::NoPerson;
            }
        }
        Before::Nothing
    }

    /// Whether particles and articles before `at` lead back to a street type or an organisation: `rue du Général`.
    fn is_place_name(&self, mut at: usize) -> bool {
        for _ in 0..3 {
            let end = at - usize::from(byte_before(self.bytes, at) == b' ');
            if end == at {
                return false;
            }
            let word = word_before(self.text, end);
            let role = role(self.text, &word);
            if role.is(NO_PERSON) {
                return true;
            }
            if !role.is(Role::PARTICLE) || word.is_empty() {
                return false;
            }
            at = word.start;
        }
        false
    }

    /// What two or three words that end with `word` mean together: `au nom de`, `m'appelle`.
    fn phrase(&self, word: &Range<usize>) -> Role {
        let text = self.text;
        let mut at = word.start;
        let mut all = Role::default();
        for _ in 0..2 {
            if byte_before(self.bytes, at) != b' ' {
                break;
            }
            let before = word_before(text, at - 1);
            if before.is_empty() {
                break;
            }
            at = before.start;
            let folded = Folded::of_words(self.slice(&(at..word.end)).split(' '));
            all = all.or(lexicon::role(folded.as_bytes()));
        }
        all
    }

    /// What a key before a colon or an equals sign says: `nom du client :`, `customer_name=`, `"prenom": "`.
    pub(super) fn key(&self, mut at: usize) -> Before {
        let text = self.text;
        let end = at;
        let mut all = Role::default();
        let (mut named, mut anything) = (false, false);
        let mut last = word_before(text, at);
        for place in 0..3 {
            let word = word_before(text, at);
            if word.is_empty() {
                break;
            }
            // `customer_name`, `firstName`, `NOM-CLIENT`
            let mut part = Folded::default();
            let mut small = false;
            let mut whole = Folded::default();
            for c in text.get(word.clone()).unwrap_or_default().chars() {
                let splits = matches!(c, '_' | '-' | '.' | '\'') || (c.is_uppercase() && small);
                if splits {
                    let of_part = lexicon::role(part.as_bytes());
                    named |= is_name(part.as_bytes());
                    all = all.or(of_part);
                    part.clear();
                }
                small = c.is_lowercase();
                part.push_char(c);
                whole.push_char(c);
            }
            let of_part = lexicon::role(part.as_bytes());
            named |= is_name(part.as_bytes());
            // `name` as a key; `Name:` is a word of a form.
            anything |= whole.as_bytes() == b"name" && !is_capital(text, word.start);
            all = all.or(lexicon::role(whole.as_bytes()));
            // A header (`from:`) is the word right before the colon, and stands alone.
            if place > 0 || whole.as_bytes().len() != part.as_bytes().len() {
                all = all.or(of_part.without(Role::HEADER));
            } else {
                all = all.or(of_part);
            }
            last = word.clone();
            at = word.start;
            if byte_before(self.bytes, at) != b' ' {
                break;
            }
            at -= 1;
        }
        let phrase = fold_phrase(text, &(last.start..end));
        all = all.or(lexicon::role(phrase.as_bytes()));
        if all.is(Role::THING_KEY) {
            return Before::Nothing;
        }
        if all.is(Role::NAME_KEY) {
            return Before::Key;
        }
        if all.is(Role::LABEL) {
            return Before::Label;
        }
        if named {
            return if anything { Before::AnyName } else { Before::Named };
        }
        if all.is(Role::HEADER) {
            return Before::Label;
        }
        if all.is(Role::TITLE) { Before::Label } else { Before::Nothing }
    }

    /// Points for an e-mail address near that is made of the same words.
    fn mail_points(&self, name: &[Token], range: &Range<usize>) -> i32 {
        let from = range.start.saturating_sub(NEAR);
        let around = self.bytes.get(from..(range.end + NEAR).min(self.bytes.len())).unwrap_or_default();
        for (place, _) in around.iter().enumerate().filter(|(_, byte)| **byte == b'@').take(2) {
            let at = from + place;
            let word = word_before(self.text, at);
            let local = fold(self.text, &word);
            if local.as_bytes().len() < 3 {
                continue;
            }
            let told = name
                .iter()
                .filter(|token| token.letters >= 3)
                .filter(|token| {
                    let part = fold(self.text, &(token.start..token.end));
                    contains(local.as_bytes(), part.as_bytes())
                })
                .count();
            match told {
                0 => {}
                1 => return 5,
                _ => return 10,
            }
        }
        // `Jeanne Martin <…@…>` whatever the address is made of.
        let rest = self.bytes.get(range.end..(range.end + NEAR).min(self.bytes.len())).unwrap_or_default();
        match rest {
            [b' ', b'<', rest @ ..]
                if rest.iter().take_while(|byte| **byte != b'>').any(|byte| *byte == b'@') =>
            {
                6
            }
            _ => 0,
        }
    }

    /// Whether what follows makes a company or a place of it.
    fn is_company(&self, range: &Range<usize>, name: &[Token], next: Option<&Token>, before: Before) -> bool {
        let is_suffix =
            |token: &Token| token.role.is(Role::SUFFIX) && token.flags & WORD != 0 && token.letters > 3;
        if matches!(before, Before::Nothing | Before::Word) && name.iter().skip(1).any(is_suffix) {
            return true;
        }
        let at = skip_spaces(self.text, range.end, 1);
        match next {
            Some(token) if token.start == at => {
                token.role.is(Role::SUFFIX) && (token.letters > 3 || token.shape == Shape::Upper)
            }
            _ if byte_at(self.bytes, at) == b'&' => true,
            _ if at > range.end && is_capital(self.text, at) => {
                let word = word_at(self.text, at);
                role(self.text, &word).is(Role::SUFFIX)
            }
            _ => {
                // `Martin et fils`
                let word = word_at(self.text, at);
                let second = word_at(self.text, skip_spaces(self.text, word.end, 1));
                matches!(self.slice(&word), "et" | "and" | "und" | "y" | "e" | "en" | "i")
                    && role(self.text, &second).is(Role::SUFFIX)
            }
        }
    }

    fn is_brand(&self, range: &Range<usize>) -> bool {
        lexicon::role(fold_phrase(self.text, range).as_bytes()).is(Role::BRAND)
    }

    /// `Martin, Jeanne` at the start of a line, a cell or a quotation, or behind a label.
    fn reversed(&mut self, tokens: &[Token]) -> Option<usize> {
        let (first, last) = (tokens.first()?, tokens.last()?);
        if tokens.iter().filter(|token| token.shape != Shape::Particle).count() > 2
            || tokens.iter().any(|token| token.role.is(NO_NAME) || token.flags & (WORD | SURNAME) == WORD)
        {
            return None;
        }
        if byte_at(self.bytes, last.end) != b',' || byte_at(self.bytes, last.end + 1) != b' ' {
            return None;
        }
        let given = self.token(last.end + 2)?;
        if given.flags & (FIRST | WORD) != FIRST || given.flags & CITY != 0 || given.role.is(NO_NAME) {
            return None;
        }
        let mut end = given.end;
        // A second given name or an initial.
        let next = skip_spaces(self.text, end, 1);
        if next > end && is_capital(self.text, next) {
            let second = self.token(next)?;
            if second.flags & FIRST == 0 && second.shape != Shape::Initial {
                return None;
            }
            end = second.end;
        }
        let ends = matches!(
            byte_at(self.bytes, end),
            0 | b'\n' | b'\r' | b';' | b'"' | b'\t' | b'|' | b'<' | b')' | b','
        ) || self.slice(&(end..(end + 2).min(self.bytes.len()))) == " <"
            || self.slice(&(end..(end + 2).min(self.bytes.len()))) == " (";
        let start = first.start;
        let opens = matches!(byte_before(self.bytes, start), 0 | b'\n' | b';' | b'"' | b'\t' | b'|')
            || (byte_before(self.bytes, start) == b' '
                && matches!(
                    self.before(first, None),
                    Before::Label | Before::Named | Before::Key | Before::Title
                ));
        if !opens
            || !ends
            || last.flags & SURNAME == 0 && last.flags != 0
            || last.flags & CITY != 0 && last.flags & SURNAME == 0
        {
            return None;
        }
        let points = if last.flags & SURNAME != 0 { SURE } else { ENOUGH };
        self.person_found(start..end, points, Before::Nothing);
        Some(end)
    }

    /// A name in lower case behind a key: `prenom: jeanne`, `client=jean dupont`.
    pub(super) fn lower_person(&mut self, at: usize) {
        let text = self.text;
        let mut start = at + 1;
        for _ in 0..3 {
            if matches!(byte_at(self.bytes, start), b' ' | b'"' | b'\'') {
                start += 1;
            }
        }
        if !char_at(text, start).is_some_and(|c| c.is_lowercase()) {
            return;
        }
        let first = word_at(text, start);
        let of_first = lexicon::flags(fold(text, &first).as_bytes());
        if of_first & (FIRST | SURNAME) == 0
            || of_first & WORD != 0
            || matches!(byte_at(self.bytes, first.end), b'@' | b'.' | b'_' | b'/' | b'(')
        {
            return;
        }
        let mut key_end = at;
        while matches!(byte_before(self.bytes, key_end), b' ' | b'"' | b'\'') && at - key_end < 3 {
            key_end -= 1;
        }
        let before = self.key(key_end);
        let next = skip_spaces(text, first.end, 1);
        let second = word_at(text, next);
        let of_second = if next > first.end { lexicon::flags(fold(text, &second).as_bytes()) } else { 0 };
        let two = of_first & FIRST != 0
            && of_second & (SURNAME | FIRST) != 0
            && of_second & WORD == 0
            && second.len() > 2;
        match before {
            Before::Label | Before::Named | Before::AnyName | Before::Key if two => {
                self.person_found(first.start..second.end, SURE, before)
            }
            Before::Key => self.person_found(first, ENOUGH, before),
            _ => {}
        }
    }

    /// Notes a name, whose context was read where it stands.
    fn person_found(&mut self, range: Range<usize>, points: i32, before: Before) {
        let Some(&index) = self.scanner.structures.get(&Structure::Person) else { return };
        let Some(entry) = self.scanner.entries.get(index) else { return };
        let mut score = entry.score.base;
        if before.announces() {
            score = score.max(entry.score.context);
        }
        if points >= SURE {
            score = score.max(entry.score.verified);
        }
        let value = plain(self.slice(&range));
        self.push_scored(index, range, score, value);
    }
}

/// What the words of a name say by themselves; none when one of them rules it out.
fn name_points(name: &[Token], before: Before) -> Option<i32> {
    let first = name.iter().find(|token| token.shape != Shape::Particle)?;
    let is_word = |token: &Token| token.flags & (WORD | SURNAME | FIRST) == WORD;
    let is_first = |token: &Token| token.flags & FIRST != 0;
    // `Mme Ait Ouarab`: behind a title, a word may start a name but is none alone.
    if is_word(first) && (before != Before::Title || name.len() < 2) {
        return None;
    }
    let given = match (is_first(first), first.flags & WORD != 0, first.shape) {
        (_, _, Shape::Initial) => 2,
        (true, false, _) => 8,
        (true, true, _) => 4,
        (false, word, _) if first.flags & SURNAME != 0 => {
            if word {
                0
            } else {
                2
            }
        }
        _ => 0,
    };
    // The words behind the first one, particles left out.
    let rest = || name.iter().filter(|token| token.shape != Shape::Particle).skip(1);
    let Some(last) = rest().last() else {
        // One word alone says little: what stands before must say the rest.
        let known = first.flags & (FIRST | SURNAME) != 0;
        return match before {
            _ if first.shape == Shape::Initial || first.letters < 2 => None,
            Before::Title => (first.flags & (WORD | SURNAME) != WORD).then_some(if known { 4 } else { 1 }),
            Before::Key => (first.flags & (WORD | SURNAME) != WORD).then_some(if known { 4 } else { 0 }),
            Before::Label | Before::Named | Before::AnyName | Before::Greeting
                if is_first(first) && first.flags & WORD == 0 =>
            {
                Some(7)
            }
            Before::SignOff if is_first(first) && first.flags & WORD == 0 => Some(6),
            Before::SignOff | Before::Named if first.flags & SURNAME != 0 && first.flags & WORD == 0 => {
                Some(2)
            }
            _ => None,
        };
    };
    if rest().any(is_word) {
        return None;
    }
    let family = |token: &Token| -> i32 {
        if token.shape == Shape::Initial {
            return 1;
        }
        if token.shape == Shape::Upper
            && token.letters <= 3
            && token.flags & SURNAME == 0
            && first.shape != Shape::Upper
        {
            // `Marie RH`
            return -8;
        }
        let points = match (token.flags & SURNAME != 0, token.flags & WORD != 0, token.flags & FIRST != 0) {
            (true, false, _) => 6,
            (true, true, _) | (false, false, true) => 4,
            _ => 2,
        };
        if token.flags & CITY != 0 && token.flags & SURNAME == 0 { points - 3 } else { points }
    };
    let best = rest().map(family).max().unwrap_or(0);
    let worst = rest().map(family).min().unwrap_or(0);
    let mut points = given + best;
    if worst < 0 {
        points += worst;
    }
    // Words beyond the second: known ones make a longer name, unknown ones less of a name.
    let beyond = rest().count() - 1;
    for token in rest().take(beyond) {
        points += if token.flags & (FIRST | SURNAME) != 0 || token.shape == Shape::Initial { 1 } else { -1 };
    }
    // Surname first: `DUPONT Jean`, `Nowak Anna`.
    if is_first(last) && last.flags & WORD == 0 && !is_first(first) {
        let surname = if first.flags & SURNAME != 0 { 4 } else { 1 };
        points = points.max(surname + 6 - i32::from(first.flags & WORD != 0));
    }
    // One of the two in capitals.
    let upper = |token: &Token| token.shape == Shape::Upper && token.letters > 3;
    if (upper(first) && last.shape == Shape::Title && is_first(last))
        || (first.shape == Shape::Title && upper(last))
    {
        points += 4;
    }
    if name.iter().any(|token| token.shape == Shape::Particle) {
        points += 1;
    }
    if first.flags & CITY != 0 {
        points -= 2;
    }
    Some(points)
}

/// Whether a word that is a street type or an organisation is a surname behind this first name: `Jean Place`.
fn is_surname_too(first: &Token, last: &Token) -> bool {
    first.flags & (FIRST | WORD) == FIRST
        && last.flags & SURNAME != 0
        && !last.role.is(Role::TITLE.or(Role::LABEL).or(Role::NAME_KEY).or(Role::GREETING).or(Role::SIGN_OFF))
}

/// Whether capitals inside a word are those of a name (`McDonald`, `DeLuca`) or of a word all in capitals.
fn capitals_fit(part: &Folded, inner_capitals: usize, inner_small: usize) -> bool {
    inner_capitals == 0
        || inner_small == 0
        || (inner_capitals == 1
            && ["mc", "mac", "de", "di", "du", "la", "le", "van", "von", "fitz"]
                .iter()
                .any(|prefix| part.as_bytes().starts_with(prefix.as_bytes())))
}

/// What a compound keeps of the role of its first part: `Saint-Denis` is a place.
fn keep_saint(role: Role) -> Role {
    if role.is(Role::SAINT) { Role::SAINT.or(Role::ORGANISATION) } else { Role::default() }
}

/// Words that mean `name` in a key, whoever bears it.
fn is_name(folded: &[u8]) -> bool {
    matches!(folded, b"name" | b"nom" | b"noms" | b"names" | b"nombre" | b"nome" | b"naam" | b"nazwa")
}

fn fold_phrase(text: &str, range: &Range<usize>) -> Folded {
    Folded::of_words(text.get(range.clone()).unwrap_or_default().split([' ', '_', '-']).take(8))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.len() >= 3 && text.windows(part.len()).any(|window| window == part)
}
