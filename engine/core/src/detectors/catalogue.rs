//! In: the catalogue as the build embedded it. Out: its entries, by id and by family.

use std::sync::LazyLock;

use super::Entry;

/// The built-in detectors, in the order of their ids.
#[derive(Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

/// The catalogue of this build.
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    #[expect(clippy::expect_used, reason = "the build script wrote these bytes from the same types")]
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
        entries: serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/detectors.json")))
            .expect("the embedded catalogue is readable"),
    });
    &CATALOGUE
}

impl Catalogue {
    /// The detector of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| (*entry.id).cmp(id)).ok()?;
        self.entries.get(at)
    }

    /// All detectors, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The detectors an id (`pii.iban`) or a family (`pii.*`) names; none when there is no such.
    pub fn matching(&self, selector: &str) -> impl Iterator<Item = &Entry> {
        let named = match selector.strip_suffix('*').filter(|family| family.ends_with('.')) {
            // The ids of a family follow each other.
            Some(family) => {
                let start = self.entries.partition_point(|entry| *entry.id < *family);
                let rest = self.entries.get(start..).unwrap_or_default();
                let count = rest.partition_point(|entry| entry.id.starts_with(family));
                rest.get(..count).unwrap_or_default()
            }
            None => self.get(selector).map(std::slice::from_ref).unwrap_or_default(),
        };
        named.iter()
    }
}
