//! In: where context words stand. Out: whether one stands near a value, and how near.
//!
//! A word counts when it ends at most 64 bytes before the value, or starts at most 24 behind it in the same clause.
//! In the head of a [table](super::table) it speaks for its column and nothing else. As a name in the structure of the
//! text (a key of JSON, the head of a column of HTML) it speaks for its values, however far behind they stand.
//! It does not count when it announces something else: another value stands between it and this one, or a nearer
//! word says what this one is (a [label](LABELS): an order, an article, a version).

use std::ops::Range;

use super::table::Table;
use super::{byte_at, byte_before};
use crate::text::Readings;

/// How far before a value a context word counts, in bytes.
const BEFORE: usize = 64;
/// How far behind it, in bytes.
const BEHIND: usize = 24;
/// Longest context word that is looked for, in bytes.
const MAX_WORD: usize = 64;
/// How far before a value a label says what it is, in bytes.
const LABEL: usize = 24;
/// How near the name of a column is to what stands in it.
const COLUMN: usize = 4;
/// Digits that are another value rather than the number of a house or of a list.
const VALUE: usize = 6;

/// What joins the last two of a list.
const AND: [&str; 14] = ["et", "ou", "and", "or", "und", "oder", "y", "o", "e", "en", "of", "i", "lub", "og"];

/// Names that leave it to the name above to say what a value is.
const GENERAL: [&[u8]; 8] = [b"value", b"valeur", b"number", b"numero", b"content", b"text", b"val", b"wert"];

/// Words for numbers that are nobody's: when one stands nearer to a value than its context word, it counts instead.
pub(super) const LABELS: &[&str] = &[
    // fr
    "commande",
    "commandes",
    "réf",
    "ref",
    "référence",
    "reference",
    "références",
    "lot",
    "colis",
    "suivi",
    "facture",
    "devis",
    "ticket",
    "bon de livraison",
    "avoir n",
    "quantité",
    "quantités",
    "quantite",
    "montant",
    "prix",
    "horodatage",
    "article",
    "code article",
    "produit",
    "stock",
    "dossier",
    "unités",
    "code-barres",
    "gencod",
    "numéro de série",
    "expédition",
    "transaction",
    "bordereau",
    "incident",
    "mandat",
    "pièce",
    // en
    "order",
    "orders",
    "order_id",
    "orderid",
    "order id",
    "order number",
    "invoice",
    "tracking",
    "parcel",
    "shipment",
    "sku",
    "ean",
    "ean13",
    "gtin",
    "upc",
    "isbn",
    "issn",
    "quantity",
    "qty",
    "amount",
    "price",
    "timestamp",
    "epoch",
    "ts",
    "version",
    "build",
    "commit",
    "trace",
    "trace_id",
    "item",
    "product",
    "batch",
    "serial",
    "serial number",
    "part number",
    "case",
    "issue",
    "job",
    "request_id",
    "uuid",
    "checksum",
    "offset",
    "pid",
    "size",
    "sequence",
    "contract",
    "customer id",
    "customer number",
    "account id",
    "policy number",
    "user_id",
    "userid",
    "customer_id",
    "order no",
    // de
    "bestellung",
    "bestellnummer",
    "bestell-nr",
    "auftrag",
    "auftragsnummer",
    "rechnung",
    "rechnungsnummer",
    "rechnungs-nr",
    "sendung",
    "sendungsnummer",
    "artikel",
    "artikelnummer",
    "artikel-nr",
    "menge",
    "betrag",
    "zeitstempel",
    "vorgang",
    "vorgangsnummer",
    "aktenzeichen",
    "charge",
    "seriennummer",
    "referenz",
    // es
    "pedido",
    "factura",
    "referencia",
    "envío",
    "envio",
    "seguimiento",
    "artículo",
    "articulo",
    "cantidad",
    "importe",
    "lote",
    "albarán",
    "albaran",
    "número de serie",
    "expediente",
    "contrato",
    "número de cliente",
    // it
    "ordine",
    "fattura",
    "riferimento",
    "spedizione",
    "articolo",
    "quantità",
    "importo",
    "lotto",
    "numero di serie",
    "pratica",
    "tracciamento",
    // nl
    "bestelling",
    "bestelnummer",
    "factuur",
    "factuurnummer",
    "referentie",
    "zending",
    "aantal",
    "bedrag",
    "ordernummer",
    "partij",
    "serienummer",
    // pt
    "encomenda",
    "fatura",
    "referência",
    "referencia",
    "artigo",
    "quantidade",
    "montante",
    "número de série",
    "processo",
    // pl
    "zamówienie",
    "zamówienia",
    "zamowienie",
    "faktura",
    "faktury",
    "przesyłka",
    "przesyłki",
    "ilość",
    "kwota",
    "partia",
    "artykuł",
    "numer seryjny",
    "sygnatura",
];

/// Who a context word speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// The catalogue entry of this index.
    For(usize),
    /// A number that is nobody's.
    Label,
}

/// Context words of a text.
pub(super) struct Contexts<'s> {
    bytes: &'s [u8],
    words: Vec<(Range<usize>, &'s [Speaks])>,
    tables: Vec<Table<'s>>,
    /// The text with its structure; none where the text is part of another.
    structure: Option<&'s Readings<'s>>,
}

impl<'s> Contexts<'s> {
    pub(super) fn new(text: &'s str, structure: Option<&'s Readings<'s>>) -> Self {
        Self { bytes: text.as_bytes(), words: Vec::new(), tables: Vec::new(), structure }
    }

    /// The text.
    pub(super) fn bytes(&self) -> &'s [u8] {
        self.bytes
    }

    pub(super) fn push(&mut self, word: Range<usize>, speaks: &'s [Speaks]) {
        self.words.push((word, speaks));
    }

    pub(super) fn sort(&mut self) {
        self.words.sort_unstable_by_key(|(word, _)| (word.start, word.end));
        self.tables = Table::all(self.bytes, &self.words);
    }

    /// The table whose body holds a place.
    fn table(&self, place: usize) -> Option<&Table<'s>> {
        let next = self.tables.partition_point(|table| table.starts_at() <= place);
        next.checked_sub(1).and_then(|at| self.tables.get(at)).filter(|table| table.holds(place))
    }

    /// Whether a place stands in a table that has a column for an entry. Asked where no word speaks for the entry, so
    /// the place is in another column.
    pub(super) fn has_other_column(&self, entry: usize, place: usize) -> bool {
        self.table(place).is_some_and(|table| table.has_column_of(entry))
    }

    /// Where the cells of the columns start that are named for an entry.
    pub(super) fn cells_of(&self, entry: usize) -> Vec<usize> {
        self.tables.iter().flat_map(|table| table.cells_of(self.bytes, entry)).collect()
    }

    /// Whether a word names a column of a table.
    fn is_name(&self, word: &Range<usize>) -> bool {
        let next = self.tables.partition_point(|table| table.starts_at() <= word.start);
        next.checked_sub(1).and_then(|at| self.tables.get(at)).is_some_and(|table| table.names(word))
    }

    /// The places of the words that speak for an entry, without those that name columns.
    pub(super) fn of(&self, entry: usize) -> impl Iterator<Item = Range<usize>> {
        self.words
            .iter()
            .filter(move |(word, speaks)| speaks.contains(&Speaks::For(entry)) && !self.is_name(word))
            .map(|(word, _)| word.clone())
    }

    /// Whether a word of the entry speaks for a value.
    pub(super) fn near(&self, entry: usize, value: &Range<usize>) -> bool {
        self.distance(entry, value).is_some()
    }

    /// Whether a word of the entry stands near a value, whatever else does.
    pub(super) fn has_own(&self, entry: usize, value: &Range<usize>) -> bool {
        self.around(value).any(|(word, speaks)| {
            let is_near = if word.end <= value.start {
                value.start - word.end <= BEFORE
            } else {
                word.start >= value.end && word.start - value.end <= BEHIND
            };
            is_near && speaks.contains(&Speaks::For(entry))
        })
    }

    /// How many bytes lie between a value and the nearest word that speaks for it as the entry.
    pub(super) fn distance(&self, entry: usize, value: &Range<usize>) -> Option<usize> {
        let table = self.table(value.start);
        if let Some(table) = table
            && table.speaks_at(self.bytes, value.start).any(|speaks| speaks == Speaks::For(entry))
        {
            return Some(COLUMN);
        }
        let mut nearest: Option<usize> = None;
        let mut label = usize::MAX;
        for (word, speaks) in self.around(value) {
            if table.is_some_and(|table| table.names(word)) {
                continue;
            }
            let is_own = speaks.contains(&Speaks::For(entry));
            if word.end <= value.start {
                let distance = value.start - word.end;
                if is_own {
                    if distance <= BEFORE
                        && nearest.is_none_or(|nearest| distance < nearest)
                        && self.reaches(word.end, value.start)
                    {
                        nearest = Some(distance);
                    }
                } else if distance <= LABEL && speaks.contains(&Speaks::Label) {
                    label = label.min(distance);
                }
            } else if is_own && word.start >= value.end {
                let distance = word.start - value.end;
                if nearest.is_none_or(|nearest| distance < nearest) && self.belongs_back(value.end, word) {
                    nearest = Some(distance);
                }
            }
        }
        match nearest {
            Some(nearest) => (nearest <= label).then_some(nearest),
            None => (label == usize::MAX && table.is_none() && self.is_named(entry, value)).then_some(COLUMN),
        }
    }

    /// Whether the structure of the text gives a value a name that speaks for the entry. The nearest name that
    /// says anything decides.
    fn is_named(&self, entry: usize, value: &Range<usize>) -> bool {
        let Some(readings) = self.structure else { return false };
        // Where nothing speaks for the entry, nothing need be read.
        if self.words.is_empty() {
            return false;
        }
        for name in readings.names(value) {
            let first = self.words.partition_point(|(word, _)| word.start < name.start);
            let of_name = self.words.get(first..).unwrap_or_default();
            let mut speaks = of_name
                .iter()
                .take_while(|(word, _)| word.start < name.end)
                .filter(|(word, _)| word.end <= name.end)
                .flat_map(|(_, speaks)| *speaks)
                .peekable();
            if speaks.peek().is_some() {
                return speaks.any(|speaks| *speaks == Speaks::For(entry));
            }
            let of_name = self.bytes.get(name.clone()).unwrap_or_default();
            if !GENERAL.iter().any(|general| of_name.eq_ignore_ascii_case(general)) {
                return false;
            }
        }
        false
    }

    /// Whether the word nearest before a value labels it as a number that is nobody's.
    pub(super) fn is_labelled(&self, value: &Range<usize>) -> bool {
        let table = self.table(value.start);
        if let Some(table) = table
            && table.speaks_at(self.bytes, value.start).any(|speaks| speaks == Speaks::Label)
        {
            return true;
        }
        self.around(value)
            .filter(|(word, _)| !table.is_some_and(|table| table.names(word)))
            .take_while(|(word, _)| word.start < value.start)
            .filter(|(word, _)| word.end <= value.start && value.start - word.end <= LABEL)
            .any(|(word, speaks)| speaks.contains(&Speaks::Label) && self.reaches(word.end, value.start))
    }

    fn around(&self, value: &Range<usize>) -> impl Iterator<Item = &(Range<usize>, &'s [Speaks])> {
        let from = value.start.saturating_sub(BEFORE + MAX_WORD);
        let first = self.words.partition_point(|(word, _)| word.start < from);
        let until = value.end + BEHIND;
        self.words.get(first..).unwrap_or_default().iter().take_while(move |(word, _)| word.start <= until)
    }

    /// Whether a word that ends at `from` still speaks for what starts at `to`: no other value lies between, unless
    /// the two are parts of one list.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let gap = self.bytes.get(from..to).unwrap_or_default();
        if gap.iter().filter(|byte| byte.is_ascii_digit()).count() < VALUE {
            return true;
        }
        let last = gap.iter().rposition(u8::is_ascii_digit).unwrap_or(0);
        let between = gap.get(last + 1..).unwrap_or_default();
        let is_joint = |byte: &u8| byte.is_ascii_whitespace() || b",;/|&+-".contains(byte);
        let first = between.iter().position(|byte| !is_joint(byte)).unwrap_or(between.len());
        let word = between.get(first..).unwrap_or_default().trim_ascii_end();
        word.is_empty() || AND.iter().any(|and| word.eq_ignore_ascii_case(and.as_bytes()))
    }

    /// Whether a word behind a value belongs to it: the same clause, and not the name of the next value.
    fn belongs_back(&self, end: usize, word: &Range<usize>) -> bool {
        let gap = self.bytes.get(end..word.start).unwrap_or_default();
        let is_close = !gap.iter().any(|byte| b",;:=|\n\t\"{}[]<>.0123456789".contains(byte));
        let after = self.bytes.get(word.end..).unwrap_or_default().trim_ascii_start();
        is_close && !matches!(after.first(), Some(b':' | b'=' | b'"' | b'0'..=b'9'))
    }
}

/// Whether a range is a whole word: no letter or digit touches it.
pub(super) fn is_word(bytes: &[u8], range: &Range<usize>) -> bool {
    let touches = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0xc3;
    // A byte of 0x80 to 0xbf before the word ends a character of any kind; the lead byte of most letters of
    // Latin scripts, which is what context words are made of, follows the word.
    !byte_before(bytes, range.start).is_ascii_alphanumeric() && !touches(byte_at(bytes, range.end))
}
