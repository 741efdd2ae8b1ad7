//! In: a long word of letters and digits. Out: the address of a cryptocurrency that it is.

use std::ops::Range;

use sha2::{Digest, Sha256};
use sha3::Keccak256;

use super::{Form, Scan, Structure};

const BASE_58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH_32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Versions of addresses: Bitcoin (and its test network), Litecoin, Dogecoin, Dash, Tron. Source: the `chainparams`
/// of each reference implementation.
const VERSIONS: [u8; 12] = [0, 5, 111, 196, 48, 50, 30, 22, 76, 16, 65, 58];
/// Longest address that is read (BIP 173 allows 90 symbols; 62 are those of a witness program of 32 bytes, and `ltc1`
/// is one longer).
const LENGTHS: std::ops::RangeInclusive<usize> = 26..=63;

impl Scan<'_> {
    /// Notes the word when it is an address.
    pub(super) fn crypto(&mut self, range: Range<usize>) {
        if !LENGTHS.contains(&range.len()) {
            return;
        }
        let word = self.bytes.get(range.clone()).unwrap_or_default();
        let form = match word {
            [b'0', b'x' | b'X', digits @ ..] => ethereum(digits),
            [b'b', b'c', b'1', ..] | [b't', b'b', b'1', ..] | [b'l', b't', b'c', b'1', ..] => {
                is_bech32(word).then_some(Form::Telling)
            }
            [b'B', b'C', b'1', ..] => is_bech32(&word.to_ascii_lowercase()).then_some(Form::Telling),
            [
                b'1' | b'3' | b'2' | b'm' | b'n' | b'L' | b'M' | b'D' | b'A' | b'X' | b'7' | b'T' | b'9',
                ..,
            ] if word.len() <= 35 => is_base58check(word).then_some(Form::Telling),
            _ => None,
        };
        if let Some(form) = form {
            let value = self.slice(&range).to_owned();
            self.found(Structure::Crypto, range, form, value);
        }
    }
}

/// EIP-55: the case of a letter is a bit of the Keccak-256 of the address; one case throughout carries no checksum.
fn ethereum(digits: &[u8]) -> Option<Form> {
    if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let is_repeated = digits.iter().all(|digit| Some(digit) == digits.first());
    let has_upper = digits.iter().any(u8::is_ascii_uppercase);
    let has_lower = digits.iter().any(u8::is_ascii_lowercase);
    if !has_upper || !has_lower {
        return (!is_repeated).then_some(Form::Weak);
    }
    let hash = Keccak256::digest(digits.to_ascii_lowercase());
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .iter()
        .zip(nibbles)
        .all(|(digit, nibble)| digit.is_ascii_digit() || digit.is_ascii_uppercase() == (nibble >= 8))
        .then_some(Form::Telling)
}

/// Base58Check: 25 bytes, the last four of which start the double SHA-256 of the others.
fn is_base58check(word: &[u8]) -> bool {
    let mut number = [0_u8; 25];
    for symbol in word {
        let Some(mut carry) = BASE_58.iter().position(|known| known == symbol) else { return false };
        for byte in number.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let Some((body, key)) = number.split_at_checked(21) else { return false };
    VERSIONS.iter().any(|version| body.first() == Some(version))
        && Sha256::digest(Sha256::digest(body)).starts_with(key)
}

/// Bech32 and Bech32m (BIP 173, BIP 350), in lower case.
fn is_bech32(word: &[u8]) -> bool {
    let Some(one) = word.iter().rposition(|symbol| *symbol == b'1') else { return false };
    let (Some(prefix), Some(data)) = (word.get(..one), word.get(one + 1..)) else { return false };
    let values = prefix
        .iter()
        .map(|symbol| Some(u32::from(symbol >> 5)))
        .chain([Some(0)])
        .chain(prefix.iter().map(|symbol| Some(u32::from(symbol & 31))))
        .chain(data.iter().map(|symbol| {
            BECH_32.iter().position(|known| known == symbol).and_then(|value| u32::try_from(value).ok())
        }));
    let rest = values.into_iter().try_fold(1_u32, |rest, value| {
        let top = rest >> 25;
        let mut rest = (rest & 0x1ff_ffff) << 5 ^ value?;
        for (bit, generator) in
            [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3_u32].into_iter().enumerate()
        {
            if top >> bit & 1 == 1 {
                rest ^= generator;
            }
        }
        Some(rest)
    });
    data.len() >= 6 && matches!(rest, Some(1 | 0x2bc8_30a3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_addresses_of_the_proposals_pass() {
        // EIP-55, BIP 173, BIP 350; Base58Check: the address of the genesis block.
        assert_eq!(ethereum(b"5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), Some(Form::Telling));
        assert_eq!(ethereum(b"fB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"), Some(Form::Telling));
        assert_eq!(ethereum(b"5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"), Some(Form::Weak));
        assert_eq!(ethereum(b"5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), None);
        assert!(is_bech32(b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert!(is_bech32(b"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"));
        assert!(is_base58check(b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"));
        assert!(!is_base58check(b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"));
    }

    proptest! {
        #[test]
        fn one_other_symbol_is_refused(at in 3..42_usize, other in 0..32_usize) {
            let mut word = *b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
            prop_assume!(word[at] != BECH_32[other]);
            word[at] = BECH_32[other];
            prop_assert!(!is_bech32(&word));
        }
    }
}
