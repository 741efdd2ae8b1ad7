//! An exported audit log, damaged.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use novacrm_engine_core::record::entry::record_id;
use novacrm_engine_core::record::log::leaf_hash;
use novacrm_engine_core::record::tiles::{File, TileBuilder};
use novacrm_engine_core::record::verify::verify_export;
use novacrm_engine_core::record::{CheckpointKey, CheckpointVerifier, Frontier};

/// A made-up key, in two parts so that no scanner takes it for somebody's.
const KEY: [&str; 4] = [
    "-----BEGIN PRIV",
    "ATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUW",
    "FxgZGhscHR4f\n-----END PRIV",
    "ATE KEY-----\n",
];

/// More records than a tile holds, so that there are two levels and tiles that are not full.
const RECORDS: u32 = 300;

struct Export {
    verifier: CheckpointVerifier,
    files: BTreeMap<String, Vec<u8>>,
}

static EXPORT: LazyLock<Export> = LazyLock::new(|| {
    let key = CheckpointKey::from_pem("novacrm.io/acme/audit", &KEY.concat()).expect("the key is one");
    let mut builder = TileBuilder::default();
    let mut files: Vec<File> = Vec::new();
    let mut tree = Frontier::default();
    for number in 0..RECORDS {
        let body = format!(r#"{{"id":"01890a5d-ac96-774b-bcce-b302099a{number:04x}","n":{number}}}"#);
        let leaf = leaf_hash(body.as_bytes());
        tree.push(leaf);
        builder.push(body.as_bytes(), leaf, &mut files).expect("it is short");
    }
    builder.finish(&mut files);
    let mut files: BTreeMap<_, _> = files.into_iter().map(|file| (file.path, file.bytes)).collect();
    files.insert("checkpoint".to_owned(), key.sign(&tree).expect("a tree can be signed").into_bytes());
    let verifier = CheckpointVerifier::new(&key.verifier_line()).expect("the line is one");
    let export = Export { verifier, files };
    assert!(verify(&export, |_| None), "the log is intact as it is");
    export
});

fn verify(export: &Export, changed: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
    let read = |path: &str| Ok::<_, ()>(changed(path).or_else(|| export.files.get(path).cloned()));
    verify_export(&export.verifier, &[], read).expect("reading does not fail").is_intact()
}

/// Whatever is put in the place of one of the log's files, the verification ends and finds the log damaged; and
/// nothing that takes the log's bytes breaks on others.
pub fn record(data: &[u8]) {
    let _ = record_id(data);
    if let Ok(line) = std::str::from_utf8(data) {
        let _ = CheckpointVerifier::new(line);
    }
    let export = &*EXPORT;
    let _ = export.verifier.open(data);
    if let Some((size, hashes)) = data.split_first_chunk::<8>()
        && let Some(mut tree) = Frontier::from_bytes(u64::from_le_bytes(*size) >> 1, hashes)
    {
        tree.push(leaf_hash(b"one more"));
        let _ = tree.root();
    }
    let [choice, rest @ ..] = data else { return };
    let Some((path, original)) = export.files.iter().nth(usize::from(choice >> 1) % export.files.len())
    else {
        return;
    };
    // Either the bytes take the place of the file, or each pair of them changes one of its bytes.
    let mut bytes = rest.to_vec();
    if choice & 1 == 1 {
        bytes.clone_from(original);
        for [place, change] in rest.as_chunks::<2>().0 {
            let at = usize::from(*place) * bytes.len() / 256;
            bytes[at] ^= change;
        }
    }
    let is_same = bytes == *original;
    let is_intact = verify(export, |asked| (asked == path).then(|| bytes.clone()));
    assert!(
        is_intact == is_same || path == "checkpoint" && !is_same && is_intact == reads_alike(export, &bytes)
    );
}

/// Whether a checkpoint that was written differently says the same under the same signature, such as with a
/// signature of somebody else beside it.
fn reads_alike(export: &Export, bytes: &[u8]) -> bool {
    let own = export.files.get("checkpoint").and_then(|own| export.verifier.open(own).ok());
    own.is_some() && export.verifier.open(bytes).ok() == own
}
