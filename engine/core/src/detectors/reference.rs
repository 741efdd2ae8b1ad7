//! In: the catalogue. Out: the reference of detectors as Markdown, in French and English (`docs/detectors.md`).

use std::fmt::Write;

use super::{Entry, Score, catalogue};

/// What the reference says of a family before its table.
struct Family {
    name: &'static str,
    fr: &'static str,
    en: &'static str,
}

const FAMILIES: [Family; 5] = [
    Family {
        name: "pii",
        fr: "Données personnelles et identifiants d'entreprises, de paiement et d'appareils.",
        en: "Personal data, and identifiers of companies, payments and devices.",
    },
    Family {
        name: "special",
        fr: "Catégories particulières de données (RGPD, article 9) et infractions (article 10), reconnues à des mots et à leur contexte.",
        en: "Special categories of data (GDPR, Article 9) and offences (Article 10), told by words and their context.",
    },
    Family {
        name: "secret",
        fr: "Secrets d'accès : qui les détient peut agir au nom d'autrui.",
        en: "Credentials: who holds one can act as somebody else.",
    },
    Family {
        name: "prompt",
        fr: "Textes écrits pour détourner un modèle. Un indice, jamais la seule défense.",
        en: "Texts written to turn a model against its operator. A hint, never the only defence.",
    },
    Family {
        name: "tone",
        fr: "Tonalité : un signal faible, qu'aucune politique n'emploie sans le demander, et interdit pour juger des salariés (règlement (UE) 2024/1689, article 5(1)(f)).",
        en: "Tone: a weak signal that no policy uses unless it asks, forbidden for judging employees (Regulation (EU) 2024/1689, Article 5(1)(f)).",
    },
];

const HEAD: &str = "<!-- Written by `./task generate` from engine/catalogue/detectors; do not edit. -->

# Détecteurs · Detectors

Chaque ligne est un détecteur intégré : son identifiant, tel que les politiques le nomment, renvoie à la source dont il
est tiré ; son type est celui des constats et des étiquettes qui remplacent les valeurs. Un score dit à quel point la
lecture est probable : sans rien d'autre, dans une forme que d'autres choses partagent (*faible*), près d'un mot qui
l'annonce (*contexte*), ou avec une clé de contrôle facultative juste (*vérifié*). Une politique compte les constats à
partir de son seuil, 0,5 sauf indication contraire.

Each row is a built-in detector: its identifier, as policies name it, leads to the source it is built from; its type is
that of findings and of the labels that replace values. A score says how likely the reading is: with nothing else, in a
form that other things share (*weak*), near a word that announces it (*context*), or with an optional checksum that
holds (*verified*). A policy counts findings from its threshold on, 0.5 unless it says otherwise.
";

/// The reference.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let is_of = |entry: &Entry, family: &Family| {
        entry.id.split_once('.').is_some_and(|(name, _)| name == family.name)
    };
    for family in &FAMILIES {
        let entries: Vec<&Entry> = catalogue().iter().filter(|entry| is_of(entry, family)).collect();
        table(&mut text, &format!("{}.*", family.name), family.fr, family.en, &entries);
    }
    let rest: Vec<&Entry> =
        catalogue().iter().filter(|entry| !FAMILIES.iter().any(|family| is_of(entry, family))).collect();
    if !rest.is_empty() {
        table(&mut text, "…", "Autres détecteurs.", "Other detectors.", &rest);
    }
    text
}

fn table(text: &mut String, name: &str, fr: &str, en: &str, entries: &[&Entry]) {
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n## `{name}` ({})\n\n{fr}\n\n{en}\n\n| Détecteur · Detector | Type | Ce qu'il trouve | What it finds | Score |\n\
         | --- | --- | --- | --- | --- |\n",
        entries.len()
    );
    for entry in entries {
        let Entry { id, kind, version, description, source, score, .. } = entry;
        let _ = writeln!(
            text,
            "| [`{id}`]({} \"{}\") {version} | `{kind}` | {} | {} | {} |",
            source.url.replace(' ', "%20"),
            cell(&source.title.replace('"', "'")),
            cell(&description.fr),
            cell(&description.en),
            scores(score),
        );
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn scores(score: &Score) -> String {
    let mut parts = vec![format!("{}", score.base)];
    if let Some(weak) = score.weak {
        parts.push(format!("weak {weak}"));
    }
    for (name, value) in [("context", score.context), ("verified", score.verified)] {
        if value > 0.0 {
            parts.push(format!("{name} {value}"));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detector_has_one_row_and_every_row_its_columns() {
        let text = reference();
        for entry in catalogue().iter() {
            let start = format!("| [`{}`](", entry.id);
            let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(rows.len(), 1, "{}", entry.id);
            let columns = rows[0].replace("\\|", "").matches('|').count();
            assert_eq!(columns, 6, "{}", rows[0]);
        }
        assert!(!text.contains("Other detectors."), "a family without a description");
    }
}
