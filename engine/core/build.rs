//! In: `engine/catalogue/detectors/*.yaml`. Out: one JSON array of entries for `src/detectors/catalogue.rs`, in
//! the order of their ids. What does not fit the types fails the build with file and reason.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use serde::{Deserialize, Serialize};

#[path = "src/detectors/entry.rs"]
#[expect(dead_code, reason = "the build only reads and writes entries; the library uses them")]
mod entry;

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
    for watched in ["../catalogue/detectors", "src/detectors/entry.rs", "build.rs"] {
        let mut stdout = std::io::stdout().lock();
        std::io::Write::write_all(&mut stdout, format!("cargo::rerun-if-changed={watched}\n").as_bytes())?;
    }
    Ok(())
}
