//! Scans texts that are made to cost much, each at a size and at twice that size: `hostile BYTES` scans all of them,
//! `hostile BYTES NAME` one, `hostile names` lists them. A profiler that counts per call of `measured` (callgrind's
//! `--zero-before` and `--dump-after`) tells whether the cost grows with the length or faster.

use std::error::Error;
use std::io::Write;

use novacrm_engine_core::FingerprintKey;
use novacrm_engine_core::detectors::{DetectorSet, catalogue};
use novacrm_engine_core::text::Readings;

/// What is repeated until the text is long enough.
const UNITS: &[&str] = &[
    // Digits and what joins them.
    "1",
    "0",
    "1 ",
    "12-",
    "1.",
    "123 456 ",
    "00",
    "4111 ",
    "1/",
    "2A",
    "1_",
    "１",
    "٣",
    // Starts of structures.
    "@",
    "a@",
    "a@b.",
    "@a.",
    "+",
    "+33 ",
    "+1(",
    "(0)",
    ":",
    "::",
    "a:",
    "0:0:",
    "fe80::",
    "://",
    "a://b:c@",
    "a://",
    "FR76",
    "FR7",
    "GB82 WEST ",
    "AA-123-",
    "AA",
    "A1",
    "A-",
    "X1234567",
    // Secrets.
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----QUJD",
    "AKIA",
    "AKIAAKIA",
    "ghp_",
    "eyJ",
    "eyJhbGciOiJub25lIn0.",
    "xoxb-",
    "sk-",
    "sk_live_",
    "glpat-",
    "SG.",
    "AIza",
    "password=",
    "token: '",
    "secret = \"",
    "apikey",
    "key=key=",
    "mot de passe : ",
    "le mot de passe est ",
    "Authorization: Bearer ",
    // Layers of encoding.
    "%",
    "%25",
    "%41",
    "%E9",
    "&",
    "&#49;",
    "&#x31;",
    "&amp;",
    "&#",
    "\\u0031",
    "\\u",
    "\\x31",
    "=41",
    "=\n",
    "=",
    "QUFB",
    "UVVGQg==",
    "4142",
    "0x41",
    "[at]",
    "[dot] ",
    " dot ",
    "zéro ",
    "un deux ",
    "a b ",
    "1 2 3 ",
    "\u{200b}",
    "1\u{200b}",
    "\u{ad}",
    "e\u{301}",
    "\u{301}",
    "\u{202e}",
    "а",
    "аb",
    "\u{fb03}",
    "ﷺ",
    // Structured documents.
    "{",
    "[",
    "{\"a\":",
    "[1,",
    "\"",
    "\"a\":\"",
    "a,",
    "a;b\n",
    "\t",
    ",,",
    "\n",
    "a: b\n",
    "- a\n",
    "<",
    "<a ",
    "<a b=\"",
    "</a>",
    "<!--",
    "|",
    "| a ",
    "# ",
    "```",
    "key=value ",
    "From: a\n",
    "--b\n",
    "Content-Type: multipart/mixed\n",
    // Structures.
    "{",
    "[",
    "{\"a\":",
    "{'a': '",
    "[[1],",
    "{\"a\": [\"b\", ",
    "id;tel\n1;0612345678\n",
    "\n\nid;\"tel",
    "\n\na,",
    "| a |\n|---|\n",
    "<td>0612345678",
    "<a b=c ",
    "<a b='<",
    "<label>tel",
    "a: {\"b\": ",
    "Content-Type: multipart/mixed; boundary=a\n\n--a\n",
    "--a\nTo: ",
    // Words.
    "M. ",
    "Mme Dupont ",
    "Jean ",
    "Jean-",
    "Jean Dupont, ",
    "JEAN ",
    "rue ",
    "12 rue ",
    "12, rue de la ",
    "75001 ",
    "de la ",
    "né le ",
    "né le 1",
    "ignore ",
    "ignore all previous ",
    "![a](http://a?",
    "http://a?b=",
    "a",
    "A",
    "Aa",
    "ab ",
    "l'",
    "-",
    "pas ",
    "cancer ",
    "syndicat ",
    // Starts of values, and whole ones, close together.
    "eyJhbGciOi.",
    "+3",
    "+33 6 12 34 56 78 ",
    "FR76 ",
    "F R 7 6 ",
    "a://b:",
    "tel 0",
    "tel (",
    "telegram:",
    "aws_secret_access_key = ",
    "0612345678 ",
    "4111111111111111 ",
    "a.b@c.fr ",
    "xoxb-a-",
    "https://hooks.slack.com/",
    "1.1.1.1 ",
    "1::1 ",
    "1 2 3 4 5 6 7 8 9 ",
    "AB-12-",
    "A1 ",
    "né le 12/",
    "né ",
    "iban bic ",
    "SIREN 732829320 ",
    "48.8566, ",
    "00:1b:",
    "00-1b-",
    "tel;nom\n1;2\n",
    "tel;1;2;",
    "tel;\n",
    "(0",
    "+49 ",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa ",
];

fn text(unit: &str, size: usize) -> String {
    unit.repeat(size / unit.len() + 1)
}

#[inline(never)]
fn measured(set: &DetectorSet, key: &FingerprintKey, text: &str) -> usize {
    set.scan(&Readings::new(text), key).len()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let size = arguments.next().unwrap_or_default();
    let only = arguments.next();
    let mut out = std::io::stdout().lock();
    if size == "names" {
        for unit in UNITS {
            writeln!(out, "{unit:?}")?;
        }
        return Ok(());
    }
    let size: usize = size.parse()?;
    let set = DetectorSet::compile(catalogue().iter().map(|entry| &*entry.id), &[])?;
    let key = FingerprintKey::new([0; 32]);
    // What is made on first use is no part of the cost of a text.
    let _ = set.scan(&Readings::new("a@b.fr FR76 +33 1 AKIA %41 QUJD Jean 12 rue"), &key);
    for unit in UNITS.iter().filter(|unit| only.as_ref().is_none_or(|only| *only == format!("{unit:?}"))) {
        for size in [size, 2 * size] {
            let text = text(unit, size);
            let found = measured(&set, &key, &text);
            writeln!(out, "{unit:?} {size} {found}")?;
        }
    }
    Ok(())
}
