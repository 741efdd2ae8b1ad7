//! In: digits and characters. Out: whether a checksum holds, how random a value looks. Pure arithmetic.

/// The Luhn formula (ISO/IEC 7812-1, annex B) over ASCII digits.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit.wrapping_sub(b'0'));
            match (place % 2, value) {
                (0, value) => value,
                (_, value) if value > 4 => 2 * value - 9,
                (_, value) => 2 * value,
            }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// Sum of ASCII digits.
pub(super) fn digit_sum(digits: &[u8]) -> u32 {
    digits.iter().map(|digit| u32::from(digit.wrapping_sub(b'0'))).sum()
}

/// Remainder of a number in ASCII digits.
pub(super) fn remainder(digits: &[u8], modulus: u64) -> u64 {
    digits.iter().fold(0, |rest, digit| (rest * 10 + u64::from(digit.wrapping_sub(b'0'))) % modulus)
}

/// Whether the check digits of an IBAN hold (ISO 13616-1, ISO/IEC 7064 MOD 97-10). `iban` is upper case letters
/// and digits, without separators.
pub(super) fn iban(iban: &[u8]) -> bool {
    let Some((head, tail)) = iban.split_at_checked(4) else { return false };
    let rest = tail.iter().chain(head).fold(0_u64, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u64::from(byte - b'0')) % 97,
        _ => (rest * 100 + u64::from(byte.wrapping_sub(b'A')) + 10) % 97,
    });
    rest == 1
}

/// CRC-32 (ISO-HDLC, as in zlib), bit by bit: it runs over a few dozen bytes.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
        crc
    })
}

/// A number in base 62 (digits, upper case, lower case).
pub(super) fn base62(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

/// Shannon entropy of the bytes, in bits per byte.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|p| -p * p.log2())
        .sum()
}

/// Whether a secret is one that documentation shows: it says so, or repeats one character.
pub(super) fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    if ["example", "placeholder", "changeme", "your_", "your-", "dummy"]
        .iter()
        .any(|word| lower.contains(word))
    {
        return true;
    }
    // A long run that makes up a good part; zero bytes in base64 make shorter ones. Or most of the alphabet.
    let (mut run, mut longest, mut climb) = (0, 0, 0);
    let mut last = 0;
    for byte in lower.bytes() {
        run = if byte == last { run + 1 } else { 1 };
        longest = longest.max(run);
        climb = if byte.is_ascii_lowercase() && byte == last.wrapping_add(1) { climb + 1 } else { 1 };
        if climb >= 20 {
            return true;
        }
        last = byte;
    }
    longest >= 6 && longest * 4 >= lower.len()
}

/// Whether a byte is part of a word: an ASCII letter, digit or underscore.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_accepts_the_number_of_the_standard_and_no_neighbour() {
        assert!(luhn(b"79927398713"));
        assert!(!luhn(b"79927398714"));
        assert!(!luhn(b""));
    }

    #[test]
    fn iban_accepts_the_example_of_the_registry_and_no_neighbour() {
        assert!(iban(b"GB82WEST12345698765432"));
        assert!(!iban(b"GB82WEST12345698765433"));
        assert!(!iban(b"GB"));
    }

    #[test]
    fn crc32_has_the_check_value_of_its_catalogue() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn base62_counts_digits_upper_lower() {
        assert_eq!(base62(b"00Za"), Some(35 * 62 + 36));
        assert_eq!(base62(b"-"), None);
    }

    #[test]
    fn entropy_counts_bits_per_character() {
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
    }
}
