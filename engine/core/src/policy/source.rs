//! Text of a file in, plain values and the line and column of each of their fields out.
//!
//! YAML 1.2 with several documents, and JSON, which YAML contains. What different readers of YAML take for
//! different things is refused rather than guessed (`yes`, `0x10`, `010`, `1_000`), and so is what a policy has
//! no use for and an attacker has: anchors, aliases, tags, unlimited depth and size.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::problem::{PolicyProblem, named, problem};

/// Longest file that is read, in bytes.
pub const MAX_SOURCE_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting of mappings and sequences.
pub const MAX_DEPTH: usize = 32;
/// Most values in one file, over all its documents.
pub const MAX_NODES: usize = 500_000;

/// Where the fields of an object stand in the file it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(HashMap<String, (u32, u32)>);

impl Positions {
    /// Line and column (both from 1, columns in characters) of a field path such as `spec.rules[2].action.type`,
    /// or of the nearest field around it that exists.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<(u32, u32)> {
        let mut path = path;
        loop {
            if let Some(found) = self.0.get(path) {
                return Some(*found);
            }
            if path.is_empty() {
                return None;
            }
            path = path.rfind(['.', '[']).and_then(|cut| path.get(..cut)).unwrap_or_default();
        }
    }
}

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    pub(crate) positions: Positions,
    /// Problems that left a hole in `value`: nothing beyond them can be said of this document.
    pub(crate) problems: Vec<PolicyProblem>,
}

/// The path of a field of the object at `parent`.
pub(crate) fn child(parent: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (parent.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[\"{}\"]", named(key)),
    }
}

/// The path of an item of the list at `parent`.
pub(crate) fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// Reads every document. What is not YAML at all ends the reading; the documents before it are still there.
pub(crate) fn read(source: &str) -> (Vec<Document>, Vec<PolicyProblem>) {
    let mut documents = Vec::new();
    if source.len() > MAX_SOURCE_BYTES {
        let message = format!("the file is longer than {MAX_SOURCE_BYTES} bytes");
        return (
            documents,
            vec![problem("", message, "Split it; one policy rarely needs more than some kB.")],
        );
    }
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(source);
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let at = position(error.marker());
                let what =
                    problem("", "this is not well-formed YAML or JSON".to_owned(), syntax_hint(error.info()));
                return (documents, vec![PolicyProblem { line: Some(at.0), column: Some(at.1), ..what }]);
            }
        };
        let at = position(&span.start);
        if let Err((message, hint)) = builder.take(event, at, &mut documents) {
            let what = problem("", message, hint);
            return (documents, vec![PolicyProblem { line: Some(at.0), column: Some(at.1), ..what }]);
        }
    }
    (documents, Vec::new())
}

/// The scanner's own words, which describe syntax and hold no value of the file.
fn syntax_hint(info: &str) -> String {
    format!("Look at the indentation and quotes here: {info}.")
}

fn position(marker: &Marker) -> (u32, u32) {
    let one_based = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (one_based(marker.line()), one_based(marker.col()).saturating_add(1))
}

enum Frame {
    Map { path: String, map: Map<String, Value>, key: Option<(String, (u32, u32))>, seen: HashSet<String> },
    List { path: String, list: Vec<Value> },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    positions: HashMap<String, (u32, u32)>,
    problems: Vec<PolicyProblem>,
    root: Option<Value>,
    nodes: usize,
}

impl Builder {
    /// Takes one event; an error ends the reading.
    fn take(
        &mut self,
        event: Event<'_>,
        at: (u32, u32),
        documents: &mut Vec<Document>,
    ) -> Result<(), (String, &'static str)> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
            Event::DocumentEnd => {
                let value = self.root.take().unwrap_or(Value::Null);
                let positions = Positions(std::mem::take(&mut self.positions));
                let problems = std::mem::take(&mut self.problems);
                if value != Value::Null || !problems.is_empty() {
                    documents.push(Document { value, positions, problems });
                }
            }
            Event::Alias(_) => {
                let path = self.path(at, false);
                self.refuse(&path, at, "an alias (`*name`) is not allowed", "Write the value out.");
                self.put(Value::Null, at)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.expects_key() {
                    self.adornments(anchor, tag.is_some(), at);
                    self.key(text.into_owned(), at);
                } else {
                    let path = self.path(at, true);
                    self.adornments(anchor, tag.is_some(), at);
                    let value = if style == ScalarStyle::Plain {
                        plain(&text).unwrap_or_else(|(message, hint)| {
                            self.refuse(&path, at, message, hint);
                            Value::Null
                        })
                    } else {
                        Value::String(text.into_owned())
                    };
                    self.put(value, at)?;
                }
            }
            Event::SequenceStart(anchor, tag) => {
                let path = self.open(at)?;
                self.adornments(anchor, tag.is_some(), at);
                self.stack.push(Frame::List { path, list: Vec::new() });
            }
            Event::MappingStart(anchor, tag) => {
                let path = self.open(at)?;
                self.adornments(anchor, tag.is_some(), at);
                self.stack.push(Frame::Map { path, map: Map::new(), key: None, seen: HashSet::new() });
            }
            Event::SequenceEnd => {
                if let Some(Frame::List { list, .. }) = self.stack.pop() {
                    self.put(Value::Array(list), at)?;
                }
            }
            Event::MappingEnd => {
                if let Some(Frame::Map { map, .. }) = self.stack.pop() {
                    self.put(Value::Object(map), at)?;
                }
            }
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Map { key: None, .. }))
    }

    /// The path of the value that comes next; notes where it stands: a scalar itself, anything else by its key.
    fn path(&mut self, at: (u32, u32), scalar: bool) -> String {
        let (path, at) = match self.stack.last() {
            None => (String::new(), at),
            Some(Frame::List { path, list }) => (item(path, list.len()), at),
            Some(Frame::Map { path, key: Some((key, key_at)), .. }) => {
                (child(path, key), if scalar { at } else { *key_at })
            }
            Some(Frame::Map { path, key: None, .. }) => (path.clone(), at),
        };
        self.positions.entry(path.clone()).or_insert(at);
        path
    }

    fn open(&mut self, at: (u32, u32)) -> Result<String, (String, &'static str)> {
        if self.stack.len() >= MAX_DEPTH {
            return Err((
                format!("values are nested deeper than {MAX_DEPTH} levels"),
                "No kind of this product needs that; look for a missing closing bracket.",
            ));
        }
        if self.expects_key() {
            return Err((
                "a key must be a name, not a mapping or a list".to_owned(),
                "Write `name: value`; quote a name that starts with `{` or `[`.",
            ));
        }
        Ok(self.path(at, false))
    }

    fn key(&mut self, name: String, at: (u32, u32)) {
        let Some(Frame::Map { path, key, seen, .. }) = self.stack.last_mut() else { return };
        let duplicate = !seen.insert(name.clone());
        let path = child(path, &name);
        *key = Some((name, at));
        if duplicate {
            self.refuse(&path, at, "the field is given twice", "Keep one of the two.");
        }
    }

    fn adornments(&mut self, anchor: usize, tag: bool, at: (u32, u32)) {
        if anchor != 0 {
            self.refuse(
                "",
                at,
                "an anchor (`&name`) is not allowed",
                "Write the value out where it is needed.",
            );
        }
        if tag {
            self.refuse("", at, "a tag (`!name`) is not allowed", "Remove it; quote what must be a string.");
        }
    }

    fn refuse(&mut self, path: &str, at: (u32, u32), message: &str, hint: &str) {
        // Enough to mend the file; a hostile one must not make a report of its own size.
        if self.problems.len() < 100 {
            let what = problem(path, message.to_owned(), hint);
            self.problems.push(PolicyProblem { line: Some(at.0), column: Some(at.1), ..what });
        }
    }

    fn put(&mut self, value: Value, at: (u32, u32)) -> Result<(), (String, &'static str)> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err((format!("the file holds more than {MAX_NODES} values"), "Split it."));
        }
        match self.stack.last_mut() {
            None => {
                self.positions.entry(String::new()).or_insert(at);
                self.root = Some(value);
            }
            Some(Frame::List { list, .. }) => list.push(value),
            Some(Frame::Map { map, key, .. }) => {
                if let Some((key, _)) = key.take() {
                    map.entry(key).or_insert(value);
                }
            }
        }
        Ok(())
    }
}

/// A scalar without quotes.
fn plain(text: &str) -> Result<Value, (&'static str, &'static str)> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off") {
        return Err((
            "readers of YAML disagree whether this is a word or a truth value",
            "Write `true` or `false`, or put the word in quotes.",
        ));
    }
    if matches!(lower.as_str(), ".inf" | "+.inf" | "-.inf" | ".nan") {
        return Err(("the number is not finite", "Give a finite number."));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(Value::String(text.to_owned()));
    }
    let ambiguous = (
        "readers of YAML disagree what number this is",
        "Write a plain decimal number, or put it in quotes if it is not a number.",
    );
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            return Err(ambiguous);
        }
        let text = text.strip_prefix('+').unwrap_or(text);
        return text
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| text.parse::<u64>().map(Value::from))
            .map_err(|_| ("the number is too large", "Put it in quotes if it is not a number."));
    }
    let based =
        unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0o")).or(unsigned.strip_prefix("0b"));
    if based.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(ambiguous);
    }
    if unsigned.contains('_') && unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return Err(ambiguous);
    }
    let numeric =
        unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(number) if numeric => Number::from_f64(number)
            .map(Value::Number)
            .ok_or(("the number is too large", "Put it in quotes if it is not a number.")),
        _ => Ok(Value::String(text.to_owned())),
    }
}
