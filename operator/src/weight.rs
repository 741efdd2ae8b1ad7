//! JSON in, how much memory it would take as a tree of values out. Nothing is kept while it is read, and reading ends as
//! soon as the limit is passed.
//!
//! An object of a few megabytes such as `[0,0,…]` becomes a tree many times as large, so what others write is weighed before
//! a tree is made of it.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Most bytes that the tree of one object may take, by the estimate of this module. A policy of 1.5 MiB with the most
/// tests and rules that the schema admits takes about a half.
pub(crate) const LIMIT: usize = 8 * 1024 * 1024;
/// Longest name of a field. Names are repeated in the field paths of problems.
const LONGEST_NAME: usize = 1024;

/// A value in a list or map, with the room that a growing list keeps free.
const VALUE: usize = 64;
/// A map with few entries: the nodes of a `BTreeMap` have room for eleven.
const MAP: usize = 700;
/// An entry of a map, beside its name and value.
const ENTRY: usize = 32;

/// The object is not JSON, nested too deeply, or would take more than [`LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooHeavy;

/// Weighs a value.
///
/// # Errors
/// When it must not be made into a tree.
pub(crate) fn weigh(value: &RawValue) -> Result<usize, TooHeavy> {
    let weight = Cell::new(0);
    let mut json = serde_json::Deserializer::from_str(value.get());
    Scale(&weight).deserialize(&mut json).map_err(|_| TooHeavy)?;
    Ok(weight.get())
}

#[derive(Clone, Copy)]
struct Scale<'a>(&'a Cell<usize>);

impl Scale<'_> {
    fn add<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        self.0.set(self.0.get().saturating_add(bytes));
        if self.0.get() > LIMIT { Err(E::custom("too heavy")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Scale<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scale<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.add(VALUE)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.add(VALUE)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.add(VALUE)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.add(VALUE)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.add(VALUE)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.add(VALUE.saturating_add(text.len()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.add(VALUE)?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.add(VALUE)?;
        let mut count = 0_usize;
        while entries.next_key_seed(Name(self))?.is_some() {
            if count.is_multiple_of(11) {
                self.add(MAP)?;
            }
            count = count.saturating_add(1);
            entries.next_value_seed(self)?;
        }
        Ok(())
    }
}

/// The name of a field.
struct Name<'a>(Scale<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        if name.len() > LONGEST_NAME {
            return Err(E::custom("the name of a field is too long"));
        }
        self.0.add(ENTRY.saturating_add(name.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(text: &str) -> Result<usize, TooHeavy> {
        weigh(serde_json::from_str::<&RawValue>(text).unwrap())
    }

    #[test]
    fn what_multiplies_in_memory_is_too_heavy_whatever_it_consists_of() {
        for part in ["0", "[]", "{}", "\"\"", "null", "{\"a\":0}", "[[[0]]]"] {
            let text = format!("[{}]", vec![part; 3_000_000 / (part.len() + 1)].join(","));
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
            assert_eq!(weight(&text), Err(TooHeavy), "{part}");
        }
        let names: Vec<String> = (0..200_000).map(|index| format!("\"{index}\":0")).collect();
        assert_eq!(weight(&format!("{{{}}}", names.join(","))), Err(TooHeavy));
        assert_eq!(weight(&format!("{{\"{}\":0}}", "a".repeat(2000))), Err(TooHeavy), "a name");
    }

    #[test]
    fn text_weighs_what_it_is_long_and_a_policy_little() {
        let text = "a".repeat(1_500_000);
        assert!(weight(&format!("{{\"a\":\"{text}\"}}")).unwrap() < 1_600_000);
        let sound = include_str!("../../engine/core/testdata/policies/sound.yaml");
        let sound: serde_json::Value = serde_yaml::from_str(sound).unwrap();
        assert!(weight(&sound.to_string()).unwrap() < LIMIT / 20);
    }
}
