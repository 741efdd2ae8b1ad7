//! The reference of detectors as Markdown on standard output: `docs/detectors.md`, which `./task generate` writes.

use std::io::{Write, stdout};

fn main() -> std::io::Result<()> {
    stdout().lock().write_all(novacrm_engine_core::detectors::reference().as_bytes())
}
