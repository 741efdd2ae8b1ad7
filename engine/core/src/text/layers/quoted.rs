//! In: `=`. Out: the character it stands for in the quoted-printable encoding (RFC 2045, section 6.7).
//!
//! An `=` before two hexadecimal digits is also how settings are written (`port=80`), so a sequence on its own
//! counts only when it stands for a sign that the encoding is used for between letters or digits.

use super::{Layer, Places, byte_at, byte_before, hex_byte, utf8};

pub(super) fn find(text: &str) -> Places {
    let bytes = text.as_bytes();
    let mut places = Places::new(Layer::Quoted);
    let mut done = 0;
    for at in memchr::memchr_iter(b'=', bytes) {
        if at < done {
            continue;
        }
        if let Some(length) = soft_break(bytes, at) {
            done = at + length;
            places.push(at..done, "");
        } else if let Some((end, c)) = sequence(bytes, at, done) {
            done = end;
            places.push_char(at..end, c);
        }
    }
    places
}

/// Bytes of an `=` that ends a line without ending the text's own line.
fn soft_break(bytes: &[u8], at: usize) -> Option<usize> {
    let length = match (byte_at(bytes, at + 1), byte_at(bytes, at + 2)) {
        (b'\n', _) => 2,
        (b'\r', b'\n') => 3,
        _ => return None,
    };
    // Padding of base64 also ends lines.
    let is_line = byte_before(bytes, at) > b' ' && byte_before(bytes, at) != b'=';
    (is_line && byte_at(bytes, at + length) > b' ').then_some(length)
}

fn sequence(bytes: &[u8], at: usize, done: usize) -> Option<(usize, char)> {
    let first = hex_byte(bytes, at + 1)?;
    let mut end = at + 3;
    let c = utf8(first, || {
        let byte = (byte_at(bytes, end) == b'=').then(|| hex_byte(bytes, end + 1))??;
        end += 3;
        Some(byte)
    })?;
    let has_company = !c.is_ascii()
        || (done == at && at > 0)
        || (byte_at(bytes, end) == b'=' && hex_byte(bytes, end + 1).is_some());
    let is_sign = !c.is_ascii_alphanumeric()
        && byte_before(bytes, at).is_ascii_alphanumeric()
        && (byte_at(bytes, end).is_ascii_alphanumeric() || byte_at(bytes, end) == b'=');
    (has_company || is_sign).then_some((end, c))
}
