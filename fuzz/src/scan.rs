//! What the command line reads: files in any encoding, and patches as git writes them. The modules stand in the
//! engine, beside a server that has no place here, so they are taken by their path.
#![allow(dead_code)]

#[path = "../../engine/src/cli/scan/patch.rs"]
mod patch;
#[path = "../../engine/src/cli/scan/text.rs"]
mod text;
#[path = "../../engine/src/cli/scan/window.rs"]
mod window;
#[path = "../../engine/src/cli/scan/work.rs"]
mod work;

use patch::{Event, Patches};
use window::{Chunker, Cut, Origin, Window};

/// A patch in any form is read to its end, and every line that counts is one of its window.
pub fn scan_patch(data: &[u8]) {
    let mut tell = |event| {
        if let Event::Window(window) = event {
            check(&window);
            let last = window.text.advance(window.base, 0, window.text.len()).line;
            for run in window.lines.iter().flatten() {
                assert!(run.start < run.end && run.end <= last + 1, "{run:?} of {last} lines");
            }
        }
        Ok(())
    };
    Patches::new(data, &mut tell).read().expect("reading from memory does not fail");
}

/// Pieces and windows of any size show each byte of a document once, in its place.
pub fn scan_text(data: &[u8]) {
    let [piece, core, data @ ..] = data else { return };
    let core = usize::from(*core) + 16;
    let cut = Cut { whole: core * 2, core, margin: core / 2 };
    let origin = Origin { path: String::new(), commit: None, is_whole: true };
    // The first piece of a file is never shorter than its byte order mark.
    let piece = usize::from(*piece) + 4;
    let mut chunker = Chunker::new(cut, origin, 1);
    let mut windows = Vec::new();
    for piece in data.chunks(piece) {
        windows.extend(chunker.push(piece));
    }
    windows.extend(chunker.finish());
    let mut at = window_start(1);
    for window in &windows {
        check(window);
        let start = window.text.advance(window.base, 0, window.core.start);
        assert_eq!(start, at);
        at = window.text.advance(start, window.core.start, window.core.end);
    }
    // Of UTF-16, a byte that is half a unit has no place.
    let is_utf16 = data.starts_with(&[0xff, 0xfe]) || data.starts_with(&[0xfe, 0xff]);
    assert!(at.byte == data.len() as u64 || is_utf16 && at.byte.abs_diff(data.len() as u64) <= 1, "{at:?}");
}

fn window_start(line: u64) -> text::Position {
    text::Position::at_line(line)
}

fn check(window: &Window) {
    assert!(window.core.start < window.core.end && window.core.end <= window.text.len());
    assert!(window.text.as_str().is_char_boundary(window.core.start));
    assert!(window.text.as_str().is_char_boundary(window.core.end));
}
