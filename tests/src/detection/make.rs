//! In: a seed. Out: texts as people write them around a CRM, in eight languages, with what must be found in them
//! and what looks like it and must not be.
//!
//! A layout is a text with slots: `{PERSON}` is filled and must be found, `{-order}` is filled and must not be. All
//! names, streets and sentences are written for this purpose; none of the identifiers belongs to anybody in particular.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::numbers::{self, digits, grouped, pick, spoiled};
use super::transform::{TRANSFORMS, Transform};
use super::{Labelled, Record};

/// Names and places of a language.
struct Language {
    code: &'static str,
    first: &'static [&'static str],
    last: &'static [&'static str],
    streets: &'static [&'static str],
    towns: &'static [(&'static str, &'static str)],
    layouts: &'static [&'static str],
}

/// Texts with personal data and with what only looks like it.
#[must_use]
pub fn personal_data(seed: u64, count: usize) -> Vec<Record> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .filter_map(|number| {
            // Three texts in five are French, as in the product's first market.
            let language = match rng.random_range(0..10) {
                0..=5 => LANGUAGES.first(),
                _ => LANGUAGES.get(1..).and_then(|others| others.choose(&mut rng)),
            }?;
            let shared = COMMON.len();
            let layout = match rng.random_range(0..language.layouts.len() + shared) {
                place if place < shared => COMMON.get(place),
                place => language.layouts.get(place - shared),
            }?;
            Some(Filler::new(&mut rng, language).fill(format!("text/{number}"), layout))
        })
        .collect()
}

/// One value a text, behind every disguise.
#[must_use]
pub fn disguised(seed: u64, each: usize) -> Vec<Record> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut records = Vec::new();
    let slots = ["EMAIL", "PHONE", "CARD", "IBAN", "NIR_FR", "SIRET_FR", "VAT_FR", "SECRET"];
    let carriers = [
        "Voici ce que le client a saisi : {}, à traiter.",
        "Note: {} (see ticket)",
        "valeur={}\nsuite",
        "{}",
    ];
    let Some(french) = LANGUAGES.first() else { return records };
    for transform in TRANSFORMS {
        for kind in slots {
            for number in 0..each {
                let (value, label) = Filler::new(&mut rng, french).value(kind);
                let Some(told) = Transform::apply(*transform, &value, &mut rng) else { continue };
                let carrier = pick(&mut rng, &carriers);
                let Some((before, after)) = carrier.split_once("{}") else { continue };
                // A telephone number and a SIRET without separators are told from other numbers by their context.
                let lead = match kind {
                    "PHONE" => "tél. ",
                    "SIRET_FR" => "SIRET ",
                    "NIR_FR" => "sécurité sociale ",
                    "SECRET" => "token = ",
                    _ => "",
                };
                let start = before.chars().count() + lead.chars().count();
                records.push(Record {
                    id: format!("disguised/{}/{kind}/{number}", transform.name()),
                    text: format!("{before}{lead}{told}{after}"),
                    spans: vec![Labelled { start, end: start + told.chars().count(), kind: label }],
                    not: Vec::new(),
                    transform: Some(transform.name().to_owned()),
                    negative: false,
                });
            }
        }
    }
    records
}

/// Harmless words behind the same disguises: nothing is to be found.
#[must_use]
pub fn harmless(seed: u64, count: usize) -> Vec<Record> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .filter_map(|number| {
            let transform = TRANSFORMS.choose(&mut rng)?;
            let told = Transform::apply(*transform, pick(&mut rng, HARMLESS), &mut rng)?;
            let around = pick(&mut rng, &["Texte : {} et la suite.", "{}", "log: {}\nok", "see {} for more"]);
            Some(Record {
                id: format!("harmless/{}/{number}", transform.name()),
                text: around.replace("{}", &told),
                spans: Vec::new(),
                not: Vec::new(),
                transform: Some(transform.name().to_owned()),
                negative: true,
            })
        })
        .collect()
}

/// Documents of about `size` bytes: texts of all kinds, one after the other.
#[must_use]
pub fn documents(seed: u64, count: usize, size: usize) -> Vec<String> {
    let mut texts = personal_data(seed, count * size / 90).into_iter();
    (0..count)
        .map(|_| {
            let mut document = String::with_capacity(size + 256);
            while document.len() < size {
                let Some(record) = texts.next() else { break };
                document.push_str(&record.text);
                document.push('\n');
                document.push_str(PROSE);
                document.push('\n');
            }
            document
        })
        .collect()
}

fn is_slot(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c))
}

/// A stretch of prose without anything to find, as most of a real document is.
const PROSE: &str = "La réunion a confirmé le calendrier : les équipes livrent le module en deux étapes, puis la \
    formation commence. Le client demande un récapitulatif des options, avec les délais et les garanties. We agreed \
    to review the proposal next week and to keep the current pricing until the end of the quarter.";

/// Fills the slots of one text; a person is the same wherever the text names one.
struct Filler<'r> {
    rng: &'r mut StdRng,
    language: &'static Language,
    first: &'static str,
    last: &'static str,
}

impl<'r> Filler<'r> {
    fn new(rng: &'r mut StdRng, language: &'static Language) -> Self {
        let first = pick(rng, language.first);
        let last = pick(rng, language.last);
        Self { rng, language, first, last }
    }

    fn fill(mut self, id: String, layout: &str) -> Record {
        let mut record = Record {
            id,
            text: String::new(),
            spans: Vec::new(),
            not: Vec::new(),
            transform: None,
            negative: false,
        };
        let mut rest = layout;
        while let Some((before, after)) = rest.split_once('{') {
            record.text.push_str(before);
            // Any other brace belongs to the text.
            let Some((slot, after)) = after.split_once('}').filter(|(slot, _)| is_slot(slot)) else {
                record.text.push('{');
                rest = after;
                continue;
            };
            rest = after;
            let start = record.text.chars().count();
            let (kind, list) = match slot.strip_prefix('-') {
                Some(kind) => (kind, &mut record.not),
                None => (slot, &mut record.spans),
            };
            let (value, label) = if slot.starts_with('-') {
                (self.look_alike(kind), kind.to_owned())
            } else {
                self.value(kind)
            };
            record.text.push_str(&value);
            // Words that belong to the layout and to nothing that is found.
            if !label.is_empty() {
                list.push(Labelled { start, end: start + value.chars().count(), kind: label });
            }
        }
        record.text.push_str(rest);
        record
    }

    /// A value and its type.
    fn value(&mut self, slot: &str) -> (String, String) {
        let rng = &mut *self.rng;
        let value = match slot {
            "PERSON" => format!("{} {}", self.first, self.last),
            "PERSON:caps" => format!("{} {}", self.first, self.last.to_uppercase()),
            "PERSON:last-first" => format!("{} {}", self.last.to_uppercase(), self.first),
            "PERSON:last" => self.last.to_owned(),
            "other" => {
                let (first, last) = (pick(rng, self.language.first), pick(rng, self.language.last));
                return (format!("{first} {last}"), "PERSON".to_owned());
            }
            "first" => return (self.first.to_owned(), String::new()),
            "EMAIL" => {
                let host = pick(
                    rng,
                    &["exemple.fr", "mail.example.com", "example.org", "societe-exemple.eu", "example.net"],
                );
                let (first, last) = (plain(self.first), plain(self.last));
                match rng.random_range(0..4) {
                    0 => format!("{first}.{last}@{host}"),
                    1 => format!("{}{last}@{host}", first.get(..1).unwrap_or("x")),
                    2 => format!("{last}{}@{host}", rng.random_range(1..99)),
                    _ => format!("{first}_{last}+crm@{host}"),
                }
            }
            "PHONE" => numbers::phone(rng, self.language.code),
            "ADDRESS" => self.address(),
            "CARD" => {
                let number = numbers::card(rng);
                let lengths: &[usize] = if number.len() == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
                grouped(&number, lengths, pick(rng, &["", " ", " ", "-"]))
            }
            "IBAN" => {
                let number = numbers::iban(rng);
                grouped(&number, &[4, 4, 4, 4, 4, 4, 4], pick(rng, &["", " "]))
            }
            "NIR_FR" => grouped(&numbers::nir(rng), &[1, 2, 2, 2, 3, 3, 2], pick(rng, &["", " "])),
            "SIREN_FR" => grouped(&numbers::siren(rng), &[3, 3, 3], pick(rng, &["", " "])),
            "SIRET_FR" => grouped(&numbers::siret(rng), &[3, 3, 3, 5], pick(rng, &["", " "])),
            "VAT_FR" => {
                let number = numbers::vat_fr(rng);
                grouped(&number, &[2, 2, 9], pick(rng, &["", " "]))
            }
            "PLATE_FR" => numbers::plate_fr(rng),
            "IP" => numbers::ip(rng),
            "DATE_OF_BIRTH" => numbers::date(rng, self.language.code, 1940..2006),
            "DE_TAX_ID" => grouped(&numbers::de_tax_id(rng), &[2, 3, 3, 3], pick(rng, &["", " "])),
            "ES_NIF" => numbers::es_nif(rng),
            "ES_NIE" => numbers::es_nie(rng),
            "IT_FISCAL_CODE" => numbers::it_fiscal_code(rng),
            "NL_BSN" => numbers::nl_bsn(rng),
            "PT_NIF" => grouped(&numbers::pt_nif(rng), &[3, 3, 3], pick(rng, &["", " "])),
            "PL_PESEL" => numbers::pl_pesel(rng),
            "UK_NINO" => {
                let number = numbers::uk_nino(rng);
                if rng.random_bool(0.5) { number } else { grouped(&number, &[2, 2, 2, 2, 1], " ") }
            }
            "UK_NHS" => grouped(&numbers::uk_nhs(rng), &[3, 3, 4], pick(rng, &["", " ", "-"])),
            _ => {
                let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
                let alphabet: Vec<char> = alphabet.chars().collect();
                let kind = rng.random_range(0..4);
                let mut random =
                    |count: usize| (0..count).filter_map(|_| alphabet.choose(rng)).collect::<String>();
                // Formats that vendors document without a checksum, so that random characters make one.
                let parts = [
                    format!("AK{}", "IA"),
                    format!("xox{}-", "b"),
                    format!("sk_li{}_", "ve"),
                    format!("glp{}-", "at"),
                ];
                let [aws, slack, stripe, gitlab] = parts;
                match kind {
                    0 => {
                        format!("{aws}{}", random(16).to_uppercase().replace(['0', '1', '8', '9'], "7"))
                    }
                    1 => format!("{slack}2740128193-2740128194-{}", random(24)),
                    2 => format!("{stripe}{}", random(24)),
                    _ => format!("{gitlab}{}", random(20)),
                }
            }
        };
        let kind = match slot {
            "SECRET" => "SECRET",
            other => other.split(':').next().unwrap_or(other),
        };
        (value, kind.to_owned())
    }

    fn address(&mut self) -> String {
        let rng = &mut *self.rng;
        let street = pick(rng, self.language.streets);
        let (postcode, town) = self.language.towns.choose(rng).copied().unwrap_or(("75011", "Paris"));
        let number = rng.random_range(1..240);
        let extra = pick(rng, &["", "", "", " bis", " ter"]);
        match self.language.code {
            "fr" => match rng.random_range(0..4) {
                0 => format!("{number}{extra} {street}\n{postcode} {}", town.to_uppercase()),
                1 => format!("{number}{extra}, {street} {postcode} {town}"),
                _ => format!("{number}{extra} {street}, {postcode} {town}"),
            },
            "en" => format!("{number} {street}, {town} {postcode}"),
            _ => format!("{street} {number}, {postcode} {town}"),
        }
    }

    fn look_alike(&mut self, kind: &str) -> String {
        let rng = &mut *self.rng;
        match kind {
            "order" => match rng.random_range(0..3) {
                0 => format!("CMD-{}-{}", rng.random_range(2020..2027), digits(rng, 6)),
                1 => format!("BL{}", digits(rng, 9)),
                _ => format!("PO/{}/{}", digits(rng, 4), digits(rng, 5)),
            },
            "amount" => {
                let whole = format!("{} {:03}", rng.random_range(1..999), rng.random_range(0..1000));
                match rng.random_range(0..3) {
                    0 => format!("{whole},{} €", digits(rng, 2)),
                    1 => format!("{whole} EUR"),
                    _ => format!("€{}", digits(rng, 5)),
                }
            }
            "date" => numbers::date(rng, self.language.code, 2024..2028),
            "uuid" => {
                let hex = hex(rng, 32);
                grouped(&hex, &[8, 4, 4, 4, 12], "-")
            }
            "sha" => hex(rng, 40),
            "epoch" => format!("17{}", digits(rng, 8)),
            "ean" => {
                let body = format!("3{}", digits(rng, 11));
                let sum: u32 = body
                    .chars()
                    .filter_map(|c| c.to_digit(10))
                    .enumerate()
                    .map(|(place, digit)| if place % 2 == 0 { digit } else { digit * 3 })
                    .sum();
                format!("{body}{}", (10 - sum % 10) % 10)
            }
            "tracking" => format!("{}{}FR", pick(rng, &["XY", "LD", "RK"]), digits(rng, 9)),
            "version" => {
                format!("v{}.{}.{}", rng.random_range(1..9), rng.random_range(0..30), rng.random_range(0..40))
            }
            "nir" => spoiled(&numbers::nir(rng)),
            "iban" => grouped(&spoiled(&numbers::iban(rng)), &[4, 4, 4, 4, 4, 4, 4], " "),
            "card" => grouped(&spoiled(&numbers::card(rng)), &[4, 4, 4, 4], " "),
            "siret" => grouped(&spoiled(&numbers::siret(rng)), &[3, 3, 3, 5], " "),
            "quantity" => format!("{} pièces", rng.random_range(2..5000)),
            _ => digits(rng, 7),
        }
    }
}

fn hex(rng: &mut impl Rng, count: usize) -> String {
    (0..count).map(|_| format!("{:x}", rng.random_range(0..16))).collect()
}

/// A name as an e-mail address has it.
fn plain(name: &str) -> String {
    name.chars()
        .filter_map(|c| match c {
            'é' | 'è' | 'ê' | 'ë' | 'É' | 'ę' => Some('e'),
            'à' | 'â' | 'ä' | 'ã' | 'á' | 'ą' => Some('a'),
            'ç' | 'ć' => Some('c'),
            'î' | 'ï' | 'í' => Some('i'),
            'ô' | 'ö' | 'ó' | 'õ' | 'ø' => Some('o'),
            'ü' | 'ú' | 'ù' => Some('u'),
            'ñ' | 'ń' => Some('n'),
            'ł' | 'Ł' => Some('l'),
            'ś' | 'Ś' => Some('s'),
            'ż' | 'ź' | 'Ż' => Some('z'),
            'ß' => Some('s'),
            c if c.is_ascii_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// Layouts that have no language.
const COMMON: &[&str] = &[
    "{\"id\": \"{-uuid}\", \"name\": \"{PERSON}\", \"email\": \"{EMAIL}\", \"phone\": \"{PHONE}\", \"build\": \"{-version}\"}",
    "id;name;email;iban\n{-num};{PERSON};{EMAIL};{IBAN}\n",
    "2026-03-14T08:12:55Z INFO login ip={IP} user={EMAIL} request={-uuid} ms=42",
    "commit {-sha}\nrelease {-version}, ts {-epoch}, ean {-ean}",
    "From: {PERSON} <{EMAIL}>\nSubject: Re: {-order}\nX-Originating-IP: {IP}",
];

const HARMLESS: &[&str] = &[
    "la livraison est prévue jeudi matin",
    "thank you for the quick answer",
    "rapport trimestriel, version finale",
    "Les couleurs disponibles sont le bleu et le vert",
    "please restart the printer before noon",
    "ouvrir la fenêtre puis fermer la porte",
    "chapitre deux : les outils de mesure",
    "nothing to see here, move along",
    "le tarif comprend l'installation et la maintenance",
    "a longer sentence about gardens, bridges and rivers",
];

const LANGUAGES: &[Language] = &[
    Language {
        code: "fr",
        first: &[
            "Élodie",
            "Thibault",
            "Maëlys",
            "Gaspard",
            "Océane",
            "Jean-Baptiste",
            "Fatoumata",
            "Yanis",
            "Solène",
            "Corentin",
            "Bérénice",
            "Rachid",
            "Ludivine",
            "Anne-Laure",
            "Tristan",
            "Aminata",
            "Victor",
            "Capucine",
            "Loïc",
            "Nadège",
        ],
        last: &[
            "Delaunay",
            "Le Goff",
            "Benchekroun",
            "Marchetti",
            "Vasseur",
            "de La Tour",
            "Diallo",
            "Charpentier",
            "Nguyen",
            "Peltier",
            "Ollivier",
            "d'Harcourt",
            "Bourdin",
            "Kaczmarek",
            "Roussel-Petit",
            "Aubert",
            "Mercadal",
            "Zidi",
            "Tessier",
            "Faure",
        ],
        streets: &[
            "rue des Tanneurs",
            "avenue du Maréchal Foch",
            "impasse des Lilas",
            "boulevard Victor Hugo",
            "chemin de la Fontaine",
            "place du Marché",
            "allée des Cerisiers",
            "quai Saint-Vincent",
            "route de Toulouse",
            "cours Gambetta",
        ],
        towns: &[
            ("69001", "Lyon"),
            ("35000", "Rennes"),
            ("31400", "Toulouse"),
            ("59800", "Lille"),
            ("13006", "Marseille"),
            ("67000", "Strasbourg"),
            ("29200", "Brest"),
            ("20000", "Ajaccio"),
            ("87000", "Limoges"),
            ("64100", "Bayonne"),
        ],
        layouts: &[
            "Bonjour, ici {PERSON}. Pouvez-vous me rappeler au {PHONE} avant {-date} ? Mon dossier est le {-order}.",
            "Peux-tu rédiger une relance pour {PERSON}, qui habite {ADDRESS} et dont l'IBAN est {IBAN} ?",
            "Résume cet échange : la cliente, {PERSON}, née le {DATE_OF_BIRTH}, a payé {-amount} avec la carte {CARD}.",
            "Fournisseur : Atelier du Nord, SIRET {SIRET_FR}, TVA intracommunautaire {VAT_FR}, montant {-amount}.",
            "La société au SIREN {SIREN_FR} conteste la facture {-order} du {-date}.",
            "Assurée : {PERSON:caps}\nN° de sécurité sociale : {NIR_FR}\nDate de naissance : {DATE_OF_BIRTH}\nTél. : {PHONE}",
            "Merci de corriger l'adresse de {PERSON} : {ADDRESS}.",
            "Véhicule immatriculé {PLATE_FR}, conducteur {PERSON:last-first}, sinistre {-order}.",
            "Le numéro {-nir} figure au dossier mais ce n'est pas un NIR valable ; lot {-ean}, suivi {-tracking}.",
            "Virement refusé : l'IBAN {-iban} est erroné. Carte {-card} également refusée. SIRET {-siret} inconnu.",
            "Cordialement,\n{PERSON}\nResponsable commercial\n{PHONE}\n{EMAIL}",
            "nom,prenom,telephone,iban\n{PERSON:last},{first},{PHONE},{IBAN}",
            "Compte rendu : M. {PERSON} et Mme {other} valident {-quantity} pour {-amount}, livraison {-date}.",
            "Horodatage {-epoch}, version {-version}, empreinte {-sha}, session {-uuid}.",
            "Ma carte Vitale porte le {NIR_FR} et mon adresse mail est {EMAIL}.",
            "Dr {PERSON} recevra le patient au {ADDRESS} ; joindre le secrétariat au {PHONE}.",
            "Dans le CRM, remplace le contact {PERSON} par {other} et supprime {EMAIL}.",
            "Connexion suspecte depuis {IP} sur le compte {EMAIL}, commande {-order}.",
        ],
    },
    Language {
        code: "en",
        first: &[
            "Oliver", "Imogen", "Callum", "Beatrice", "Desmond", "Harriet", "Rowan", "Tamsin", "Alistair",
            "Priya",
        ],
        last: &[
            "Whitcombe",
            "O'Sullivan",
            "Hargreaves",
            "MacIntyre",
            "Okonkwo",
            "Featherstone",
            "Patel",
            "Blackwood",
            "Ashdown",
            "Pemberton",
        ],
        streets: &["Station Road", "Queen's Avenue", "Mill Lane", "Victoria Street", "Church Close"],
        towns: &[
            ("LS1 4DY", "Leeds"),
            ("BS8 1TH", "Bristol"),
            ("M14 5RL", "Manchester"),
            ("EH3 9LW", "Edinburgh"),
            ("CF10 3AT", "Cardiff"),
        ],
        layouts: &[
            "Hi, this is {PERSON}, please call me on {PHONE} about order {-order}.",
            "Write a follow-up to {PERSON} at {ADDRESS}; the invoice of {-amount} is overdue since {-date}.",
            "Patient {PERSON}, born {DATE_OF_BIRTH}, NHS number {UK_NHS}, next of kin {other}.",
            "National Insurance number: {UK_NINO}. Card used: {CARD}.",
            "Kind regards,\n{PERSON}\nAccount Manager\n{PHONE} | {EMAIL}",
            "Server {IP} returned 500 at {-epoch}, build {-version}, trace {-uuid}.",
        ],
    },
    Language {
        code: "de",
        first: &[
            "Annegret",
            "Torsten",
            "Wiebke",
            "Jörg",
            "Friederike",
            "Lennart",
            "Mareike",
            "Holger",
            "Sabine",
            "Götz",
        ],
        last: &[
            "Brinkmann",
            "Schäfer",
            "von Arnim",
            "Wittenberg",
            "Hoffmeister",
            "Lindemann",
            "Özdemir",
            "Krause",
            "Niemeyer",
            "Vogelsang",
        ],
        streets: &["Lindenstraße", "Goethestraße", "Bahnhofstr.", "Am Mühlbach", "Rosenweg"],
        towns: &[
            ("10827", "Berlin"),
            ("80331", "München"),
            ("50674", "Köln"),
            ("20095", "Hamburg"),
            ("04109", "Leipzig"),
        ],
        layouts: &[
            "Sehr geehrte Frau {PERSON}, Ihre Bestellung {-order} über {-amount} geht an {ADDRESS}.",
            "Herr {PERSON}, geboren am {DATE_OF_BIRTH}, Steuer-ID {DE_TAX_ID}, Telefon {PHONE}.",
            "Bitte überweisen Sie auf {IBAN}. Mit freundlichen Grüßen\n{PERSON}\n{EMAIL}",
            "Kundin {PERSON} bat am {-date} um Rückruf unter {PHONE}.",
        ],
    },
    Language {
        code: "es",
        first: &["Rosario", "Íñigo", "Begoña", "Joaquín", "Remedios", "Álvaro", "Lourdes", "Fermín"],
        last: &[
            "Echeverría",
            "Cifuentes Ruiz",
            "Montoya",
            "de la Fuente",
            "Villanueva",
            "Ibáñez",
            "Peñalver",
            "Quiroga",
        ],
        streets: &[
            "Calle de la Paz",
            "Avenida de Andalucía",
            "Plaza Nueva",
            "Paseo del Prado",
            "Calle San Martín",
        ],
        towns: &[
            ("28014", "Madrid"),
            ("41001", "Sevilla"),
            ("46002", "Valencia"),
            ("50003", "Zaragoza"),
            ("08010", "Barcelona"),
        ],
        layouts: &[
            "El cliente {PERSON}, con NIF {ES_NIF}, vive en {ADDRESS}.",
            "Doña {PERSON}, NIE {ES_NIE}, teléfono {PHONE}, correo {EMAIL}.",
            "Pedido {-order} del {-date}: importe {-amount}, cuenta {IBAN}.",
            "Estimado Sr. {PERSON}: le llamaremos al {PHONE}.",
        ],
    },
    Language {
        code: "it",
        first: &["Ginevra", "Tommaso", "Ludovica", "Emanuele", "Chiara", "Raffaele", "Ornella", "Dario"],
        last: &[
            "Bevilacqua",
            "D'Angelo",
            "Santoro",
            "Della Valle",
            "Pellegrini",
            "Moretti",
            "Carbone",
            "Fumagalli",
        ],
        streets: &[
            "Via Garibaldi",
            "Corso Vittorio Emanuele",
            "Piazza San Marco",
            "Viale Europa",
            "Via dei Mille",
        ],
        towns: &[
            ("20121", "Milano"),
            ("00185", "Roma"),
            ("80132", "Napoli"),
            ("10123", "Torino"),
            ("50122", "Firenze"),
        ],
        layouts: &[
            "Il signor {PERSON}, codice fiscale {IT_FISCAL_CODE}, abita in {ADDRESS}.",
            "Gentile dott.ssa {PERSON}, la richiamo al {PHONE} per l'ordine {-order}.",
            "Cliente: {PERSON}, nato il {DATE_OF_BIRTH}, email {EMAIL}, totale {-amount}.",
        ],
    },
    Language {
        code: "nl",
        first: &["Marijke", "Sjoerd", "Femke", "Joost", "Annelies", "Ruben"],
        last: &["van den Berg", "Hoekstra", "de Boer", "Vermeulen", "Dijkstra", "ter Horst"],
        streets: &["Kerkstraat", "Herengracht", "Dorpsweg", "Julianalaan"],
        towns: &[
            ("1017 BZ", "Amsterdam"),
            ("3511 LX", "Utrecht"),
            ("9712 HM", "Groningen"),
            ("5611 AZ", "Eindhoven"),
        ],
        layouts: &[
            "Mevrouw {PERSON}, BSN {NL_BSN}, woont op {ADDRESS}.",
            "Geachte heer {PERSON}, bel ons op {PHONE} over bestelling {-order} van {-date}.",
            "Klant {PERSON}, geboren op {DATE_OF_BIRTH}, e-mail {EMAIL}.",
        ],
    },
    Language {
        code: "pl",
        first: &["Grażyna", "Zbigniew", "Małgorzata", "Przemysław", "Jadwiga", "Bartosz"],
        last: &["Wiśniewska", "Kowalczyk", "Zieliński", "Dąbrowska", "Mazur", "Wróblewski"],
        streets: &["ul. Mickiewicza", "ul. Polna", "al. Jana Pawła II", "ul. Krótka"],
        towns: &[("31-042", "Kraków"), ("00-950", "Warszawa"), ("80-831", "Gdańsk"), ("50-101", "Wrocław")],
        layouts: &[
            "Pani {PERSON}, PESEL {PL_PESEL}, adres: {ADDRESS}.",
            "Klient {PERSON} prosi o kontakt: {PHONE}, zamówienie {-order} z {-date}.",
            "Szanowny Panie {PERSON}, faktura na {-amount} została wysłana na {EMAIL}.",
        ],
    },
    Language {
        code: "pt",
        first: &["Catarina", "Gonçalo", "Beatriz", "Afonso", "Inês", "Duarte"],
        last: &["Figueiredo", "dos Santos", "Carvalho", "Teixeira", "Magalhães", "Quintela"],
        streets: &["Rua das Flores", "Avenida da Liberdade", "Travessa do Carmo", "Largo do Rato"],
        towns: &[
            ("1250-096", "Lisboa"),
            ("4050-265", "Porto"),
            ("3000-213", "Coimbra"),
            ("8000-076", "Faro"),
        ],
        layouts: &[
            "A cliente {PERSON}, NIF {PT_NIF}, mora na {ADDRESS}.",
            "Sr. {PERSON}, contacte-nos pelo {PHONE} sobre a encomenda {-order} de {-date}.",
            "Titular: {PERSON}, nascido em {DATE_OF_BIRTH}, e-mail {EMAIL}, valor {-amount}.",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_texts() {
        let texts = |seed| personal_data(seed, 50).into_iter().map(|record| record.text).collect::<Vec<_>>();
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
    }

    #[test]
    fn labels_lie_within_their_text_and_do_not_overlap() {
        for record in personal_data(1, 400).into_iter().chain(disguised(2, 1)) {
            let length = record.text.chars().count();
            let mut all: Vec<&Labelled> = record.spans.iter().chain(&record.not).collect();
            all.sort_by_key(|label| label.start);
            assert!(all.iter().all(|label| label.start < label.end && label.end <= length), "{record:?}");
            assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start), "{record:?}");
        }
    }

    #[test]
    fn documents_have_about_the_size_that_is_asked_for() {
        let documents = documents(3, 5, 4096);
        assert_eq!(documents.len(), 5);
        assert!(documents.iter().all(|document| (4096..6000).contains(&document.len())));
    }
}
