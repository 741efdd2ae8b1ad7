//! In: `engine/catalogue/detectors/*.yaml`. Out: one JSON array of entries for `src/detectors/catalogue.rs`, in
//! the order of their ids. What does not fit the types fails the build with file and reason.
//!
//! In: `engine/catalogue/lexicon/*.txt`. Out: one hash table for `src/detectors/scan/lexicon`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs};

use serde::{Deserialize, Serialize};

#[path = "src/detectors/entry.rs"]
#[expect(dead_code, reason = "the build only reads and writes entries; the library uses them")]
mod entry;

#[path = "src/detectors/scan/lexicon/table.rs"]
mod table;

/// As in the contract, which a build script need not compile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bilingual {
    fr: String,
    en: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("../catalogue/detectors");
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let mut entries: Vec<entry::Entry> = Vec::new();
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|file| file.map(|file| file.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    for file in &files {
        let text = fs::read_to_string(file)?;
        // By way of JSON, in which an enum is a plain map rather than a YAML tag.
        let of_file: Vec<serde_json::Value> =
            serde_yaml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        for entry in of_file {
            let id = entry.get("id").map(ToString::to_string).unwrap_or_default();
            let entry = serde_json::from_value(entry)
                .map_err(|error| format!("{}: entry {id}: {error}", file.display()))?;
            entries.push(entry);
        }
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    for pair in entries.windows(2) {
        if let [first, second] = pair
            && first.id == second.id
        {
            return Err(format!("{}: the id {} occurs twice", folder.display(), first.id).into());
        }
    }
    fs::write(Path::new(&out).join("detectors.json"), serde_json::to_vec(&entries)?)?;
    fs::write(Path::new(&out).join("lexicon.bin"), lexicon(Path::new("../catalogue/lexicon"))?)?;
    for watched in [
        "../catalogue/detectors",
        "../catalogue/lexicon",
        "src/detectors/entry.rs",
        "src/detectors/scan/lexicon/table.rs",
        "build.rs",
    ] {
        let mut stdout = std::io::stdout().lock();
        std::io::Write::write_all(&mut stdout, format!("cargo::rerun-if-changed={watched}\n").as_bytes())?;
    }
    Ok(())
}

/// The lists of names, words and places as one hash table (see `table`).
fn lexicon(folder: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut words: BTreeMap<String, u8> = BTreeMap::new();
    for (file, flag) in [
        ("first-names.txt", table::FIRST),
        ("surnames.txt", table::SURNAME),
        ("words.txt", table::WORD),
        ("cities.txt", table::CITY),
        ("communes.txt", table::COMMUNE),
    ] {
        let text = fs::read_to_string(folder.join(file))?;
        let mut before = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // Front-coded: how many characters are those of the word before, in base 36, then the rest.
            let shared =
                line.chars().next().and_then(|c| c.to_digit(36)).and_then(|n| before.get(..n as usize));
            let word = shared.zip(line.get(1..)).map(|(shared, rest)| format!("{shared}{rest}"));
            before = word.ok_or_else(|| format!("{file}: `{line}` does not follow `{before}`"))?;
            *words.entry(before.clone()).or_default() |= flag;
        }
    }
    let business = fs::read_to_string(folder.join("business.txt"))?;
    for word in business.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace) {
        *words.entry(word.to_owned()).or_default() |= table::WORD;
    }
    let slots = words.len() * 5 / 4 + 1;
    let mut bytes = vec![0; slots * table::SLOT];
    for (word, flags) in &words {
        let hash = table::hash(word.as_bytes());
        let mut at = table::place(hash, slots);
        while bytes.get(at * table::SLOT).is_some_and(|flags| *flags != 0) {
            at = (at + 1) % slots;
        }
        let slot = bytes.get_mut(at * table::SLOT..(at + 1) * table::SLOT).ok_or("no slot is free")?;
        slot.copy_from_slice(&table::slot(hash, *flags));
    }
    Ok(bytes)
}
