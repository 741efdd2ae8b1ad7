//! In: a folded word. Out: what the lists say about it. The layout that `build.rs` writes and the scanner reads: a
//! hash table of words, open addressing, of which only 24 bits of the hash and the flags are kept. A word that is
//! in no list passes for one that is with a chance of about one in four million.

/// It is a first name.
pub(crate) const FIRST: u8 = 1;
/// It is a surname.
pub(crate) const SURNAME: u8 = 2;
/// It is a word of daily use or business.
pub(crate) const WORD: u8 = 4;
/// It is a city or a country.
pub(crate) const CITY: u8 = 8;
/// Two digits of a postcode, a space and the name of a French commune.
pub(crate) const COMMUNE: u8 = 16;

/// Bytes of a slot: flags, then 24 bits of the hash. A slot without flags is empty.
pub(crate) const SLOT: usize = 4;

/// FNV-1a (64 bits), mixed at the end so that the high bits are good as well.
pub(crate) fn hash(word: &[u8]) -> u64 {
    let hash = word.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// First slot of a hash among `slots`.
pub(crate) fn place(hash: u64, slots: usize) -> usize {
    // The high half, scaled; both factors are below 2^32.
    usize::try_from(((hash >> 32) * slots as u64) >> 32).unwrap_or(0)
}

/// What a slot keeps of a word.
pub(crate) fn slot(hash: u64, flags: u8) -> [u8; SLOT] {
    let [first, second, third, ..] = hash.to_le_bytes();
    [flags, first, second, third]
}
