//! In: normalised text. Out: its fields: which bytes are a value, what names announce it, and the path to it.
//!
//! Recognised are JSON (whole, one object a line, or inside other text), tables (CSV, TSV, Markdown), e-mail
//! (headers, multipart), HTML (text and attributes), and lines of `key: value` and `key=value` (YAML, INI, logs).
//! Nothing is ever refused: what does not go on as it began is plain text from there on. One pass; the work and the
//! fields are bounded by the length of the text.
//!
//! # Paths
//! | where | notation |
//! | --- | --- |
//! | JSON | `$.client.iban`, `$.lines[2].tel`, `$['un nom']` (RFC 9535) |
//! | table | `row 3, column tel`; rows count from 1 behind the header, a column without a usual name is its number |
//! | e-mail | `header From`; `part 2` before what is in a part |
//! | HTML | `td`, `input@value`; a cell of a table as in a table |
//! | lines | `key client.iban` |
//!
//! Parts of a path are joined by ` > `. A name stands in a path only when each of its words is one that keys and
//! columns usually have ([`usual`], and what the caller knows besides); otherwise `*` or the number of the column does.
//! So a path is made of words of a fixed list and never holds a value.

mod html;
mod json;
mod lines;
mod mail;
mod table;
mod usual;

use std::fmt::Write;
use std::ops::Range;

pub(crate) use usual::words;

/// Most fields and steps of a text; what follows is read without its structure.
const MAX_FIELDS: usize = 50_000;
const MAX_NODES: usize = 100_000;
/// Deepest nesting whose names are kept.
const MAX_DEPTH: usize = 32;
/// Longest name that is one, in bytes.
const MAX_NAME: usize = 40;
/// Most words of a name.
const MAX_WORDS: usize = 5;
/// Most paths are not longer, in bytes.
const PATH: usize = 48;
/// How many names above a value announce it, its own included.
const MAX_NAMES: usize = 3;

/// What a text says of its own structure.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    nodes: Vec<Node>,
    /// In order, none overlapping another.
    fields: Vec<Field>,
    /// The bodies of the parts of an e-mail that hold no others, in order.
    parts: Vec<(Range<usize>, usize)>,
    /// Where it makes sense again to look for JSON, so that no byte is tried often.
    no_json_before: usize,
}

/// A value.
#[derive(Clone, Debug)]
struct Field {
    range: Range<usize>,
    node: usize,
    /// Whether it is what its names say and nothing besides.
    is_announced: bool,
}

/// A step of a path.
#[derive(Clone, Debug)]
struct Node {
    parent: Option<usize>,
    step: Step,
    /// A name that announces what is below.
    name: Option<Range<usize>>,
    depth: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The whole of a JSON text.
    Root,
    /// A member of an object.
    Member,
    /// An element of an array, from 0.
    Index(usize),
    /// A row of a table, from 1.
    Row(usize),
    /// A column, from 1.
    Column(usize),
    /// A header of an e-mail.
    Header,
    /// A part of an e-mail, from 1.
    Part(usize),
    /// The key of a line.
    Key,
    /// An element of HTML.
    Element(Range<usize>),
    /// An attribute of the element above.
    Attribute(Range<usize>),
}

impl Document {
    /// Reads the structure of a text.
    pub(super) fn read(text: &str) -> Self {
        let mut document = Self::default();
        let start = text.len() - text.trim_start().len();
        match text.as_bytes().get(start) {
            None => {}
            Some(b'{' | b'[') => {
                let end = json::read(&mut document, text, start, None).unwrap_or(start);
                lines::read(&mut document, text, end..text.len(), None);
            }
            Some(b'<') => html::read(&mut document, text, start..text.len(), None),
            Some(_) => match mail::read(&mut document, text, start) {
                true => {}
                false => lines::read(&mut document, text, start..text.len(), None),
            },
        }
        document
    }

    /// The names that announce a value, nearest first; none when it lies in no field, in more than one, or in one that
    /// says more than its names do.
    pub(super) fn names(&self, value: &Range<usize>) -> impl Iterator<Item = &Range<usize>> {
        let field =
            self.field_at(value.start).filter(|field| field.is_announced && value.end <= field.range.end);
        field
            .into_iter()
            .flat_map(|field| self.above(field.node))
            .filter_map(|node| node.name.as_ref())
            .take(MAX_NAMES)
    }

    fn field_at(&self, place: usize) -> Option<&Field> {
        let after = self.fields.partition_point(|field| field.range.start <= place);
        let field = after.checked_sub(1).and_then(|at| self.fields.get(at));
        field.filter(|field| place < field.range.end)
    }

    /// The path to what starts at a place. A name is shown when each of its words is usual or known.
    pub(super) fn path(&self, text: &str, place: usize, is_known: impl Fn(&str) -> bool) -> Option<String> {
        let node = match self.field_at(place) {
            Some(field) => field.node,
            None => {
                let after = self.parts.partition_point(|(range, _)| range.start <= place);
                let (range, node) = after.checked_sub(1).and_then(|at| self.parts.get(at))?;
                range.contains(&place).then_some(*node)?
            }
        };
        Some(self.path_of(text, node, &is_known))
    }

    /// A node and those above it.
    fn above(&self, node: usize) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.nodes.get(node), |node| {
            node.parent.and_then(|parent| self.nodes.get(parent))
        })
    }

    fn path_of(&self, text: &str, node: usize, is_known: &impl Fn(&str) -> bool) -> String {
        let mut steps: Vec<&Node> = self.above(node).collect();
        steps.reverse();
        let mut path = String::with_capacity(PATH);
        let mut last: Option<&Step> = None;
        for node in steps {
            let shown = |name: &Range<usize>| {
                text.get(name.clone()).filter(|name| is_shown(name, is_known)).unwrap_or("*")
            };
            let name = || node.name.as_ref().map_or("*", shown);
            let goes_on = matches!(
                (last, &node.step),
                (Some(_), Step::Member | Step::Index(_) | Step::Attribute(_)) | (Some(Step::Key), Step::Key)
            );
            match (&node.step, last) {
                (Step::Column(..), Some(Step::Row(_))) => path.push_str(", "),
                (_, Some(_)) if !goes_on => path.push_str(" > "),
                _ => {}
            }
            // Writing to a string cannot fail.
            let _ = match &node.step {
                Step::Root => write!(path, "$"),
                Step::Member => match name() {
                    "*" => write!(path, "[*]"),
                    name if is_identifier(name) => write!(path, ".{name}"),
                    name => write!(path, "['{}']", name.replace('\'', "")),
                },
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Row(row) => write!(path, "row {row}"),
                Step::Column(number) => match name() {
                    "*" => write!(path, "column {number}"),
                    name => write!(path, "column {name}"),
                },
                Step::Header => write!(path, "header {}", name()),
                Step::Part(part) => write!(path, "part {part}"),
                Step::Key if matches!(last, Some(Step::Key)) => write!(path, ".{}", name()),
                Step::Key => write!(path, "key {}", name()),
                Step::Element(tag) => write!(path, "{}", shown(tag)),
                Step::Attribute(attribute) => write!(path, "@{}", shown(attribute)),
            };
            last = Some(&node.step);
        }
        path
    }

    /// Adds a step below another. An empty name announces nothing.
    fn node(&mut self, parent: Option<usize>, step: Step, name: Option<Range<usize>>) -> usize {
        let name = name.filter(|name| !name.is_empty());
        let depth = parent.and_then(|parent| self.nodes.get(parent)).map_or(0, |parent| parent.depth) + 1;
        if (depth > MAX_DEPTH || self.nodes.len() >= MAX_NODES)
            && let Some(parent) = parent
        {
            return parent;
        }
        self.nodes.push(Node { parent, step, name, depth });
        self.nodes.len() - 1
    }

    /// Adds a value; an empty one, and one that is not behind the last, is none.
    fn field(&mut self, range: Range<usize>, node: usize) {
        self.push(range, node, true);
    }

    /// Adds the value of a line, whose key announces it only when there are no words in it: a sentence may go on
    /// to something else.
    fn line(&mut self, text: &str, range: Range<usize>, node: usize) {
        let value = text.get(range.clone()).unwrap_or_default();
        let has_words = value.split(|c: char| !c.is_alphabetic()).any(|word| word.len() > 2);
        let is_one = !value.contains([' ', ',', ';']);
        self.push(range, node, is_one || !has_words);
    }

    fn push(&mut self, range: Range<usize>, node: usize, is_announced: bool) {
        let is_behind = self.fields.last().is_none_or(|last| last.range.end <= range.start);
        if !range.is_empty() && is_behind && !self.is_full() {
            self.fields.push(Field { range, node, is_announced });
        }
    }

    fn is_full(&self) -> bool {
        self.fields.len() >= MAX_FIELDS || self.nodes.len() >= MAX_NODES
    }
}

/// Whether a name is shown in a path: each of its words is one that keys and columns have.
fn is_shown(name: &str, is_known: impl Fn(&str) -> bool) -> bool {
    name.len() <= MAX_NAME && words(name, |word| usual::has(word) || is_known(word))
}

/// Whether something is a name rather than a value that stands where names do: short, of a few words, with few
/// digits, and not written like the name of a person.
fn is_name(text: &str) -> bool {
    if text.len() > MAX_NAME {
        return false;
    }
    let (mut words, mut large, mut digits, mut letters) = (0, 0, 0, 0);
    let (mut last, mut is_start) = (' ', false);
    for c in text.chars() {
        match c {
            ' ' | '_' | '-' | '.' | '\'' | '/' | '(' | ')' | '°' => {}
            '0'..='9' => digits += 1,
            _ if c.is_alphabetic() => letters += 1,
            _ => return false,
        }
        if is_start && c.is_lowercase() {
            large += 1;
        }
        is_start = last == ' ' && c.is_uppercase();
        words += usize::from(matches!(last, ' ' | '_' | '-' | '.') && c.is_alphanumeric());
        last = c;
    }
    letters > 0 && digits <= 4 && words <= MAX_WORDS && (large <= 1 || usual::is_usual(text))
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The byte at a place; 0 beyond the end.
fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// A range without the blanks at its ends.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let Some(inner) = text.as_bytes().get(range.clone()) else { return range.start..range.start };
    let from_start = inner.trim_ascii_start();
    let start = range.end - from_start.len();
    start..start + from_start.trim_ascii_end().len()
}

/// A range without the quotation marks around it.
fn unquoted(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let quote = byte_at(bytes, range.start);
    if range.len() > 1 && matches!(quote, b'"' | b'\'') && byte_at(bytes, range.end - 1) == quote {
        range.start + 1..range.end - 1
    } else {
        range
    }
}

#[cfg(test)]
mod tests;
