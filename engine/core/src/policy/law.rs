//! The law catalogue: a reference such as `gdpr 5(1)(c)` in; title, citation, dates and source out.
//!
//! Its entries are data (`engine/catalogue/law/*.yaml`), part of the binary, read by the same reader as policies.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use novacrm_crds::{Bilingual, LawReference};
use serde::Deserialize;

use super::source;

/// The identifier of Regulation (EU) 2024/1689 in the catalogue.
pub const EU_AI_ACT: &str = "eu-ai-act";

/// The files of the catalogue, one law or standard each.
const FILES: [&str; 3] = [
    include_str!("../../../catalogue/law/eu-ai-act.yaml"),
    include_str!("../../../catalogue/law/gdpr.yaml"),
    include_str!("../../../catalogue/law/iso27001-2022.yaml"),
];

/// A law or standard.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Law {
    /// Identifier that references name.
    pub id: String,
    /// What people call it.
    pub name: Bilingual,
    /// Its full title.
    pub title: Bilingual,
    /// Where the text stands.
    pub url: String,
    /// When the entries were last compared with the source (ISO 8601 date).
    pub verified_on: String,
    /// What they were compared with.
    pub verified_against: String,
    /// The provisions that policies may cite.
    pub provisions: Vec<Provision>,
}

/// A provision of a law or standard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provision {
    /// How references name it, such as `5(1)(c)`.
    pub r#ref: String,
    /// The article, annex or control it belongs to.
    pub article: String,
    /// Point within the article, when there is one.
    #[serde(default)]
    pub letter: Option<String>,
    /// Who bears the duty.
    pub role: Role,
    /// What it is about.
    pub title: Bilingual,
    /// How people cite it.
    pub citation: Bilingual,
    /// The day from which it applies (ISO 8601 date).
    pub applies_from: String,
    /// The day from which it was to apply before the law was amended, when that differs.
    #[serde(default)]
    pub previously_from: Option<String>,
    /// Where its text stands, when that is not where the law's stands.
    #[serde(default)]
    pub url: Option<String>,
}

/// Who bears a duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Who decides on purposes and means (GDPR, Article 4(7)).
    Controller,
    /// The controller, and who processes on its behalf (GDPR, Article 4(8)).
    ControllerOrProcessor,
    /// Who places a system on the market (AI Act, Article 3(3)).
    Provider,
    /// Who uses a system under its authority (AI Act, Article 3(4)).
    Deployer,
    /// Both of them.
    ProviderOrDeployer,
    /// Who adopts the standard.
    Organisation,
}

/// A reference resolved, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    /// Identifier of the law.
    pub law: String,
    /// The provision within it.
    pub r#ref: String,
    /// How people cite it.
    pub citation: Bilingual,
    /// What it is about.
    pub title: Bilingual,
    /// Where the text stands.
    pub url: String,
}

// An unreadable catalogue resolves nothing, so it refuses every policy; a test reads every file.
static CATALOGUE: LazyLock<BTreeMap<String, Law>> = LazyLock::new(|| {
    FILES.iter().filter_map(|file| parse(file).ok()).map(|law| (law.id.clone(), law)).collect()
});

fn parse(file: &str) -> Result<Law, String> {
    let (mut documents, problems) = source::read(file);
    let document = documents.pop().ok_or("no document")?;
    if let Some(problem) = problems.first().or(document.problems.first()) {
        return Err(format!("{} (line {:?})", problem.message, problem.line));
    }
    serde_json::from_value(document.value).map_err(|error| error.to_string())
}

/// Every law, by identifier.
pub fn laws() -> impl Iterator<Item = &'static Law> {
    CATALOGUE.values()
}

/// The provision that a reference names.
#[must_use]
pub fn resolve(law: &str, provision: &str) -> Option<(&'static Law, &'static Provision)> {
    let law = CATALOGUE.get(law)?;
    Some((law, law.provisions.iter().find(|entry| entry.r#ref == provision)?))
}

/// A reference, ready to be shown; `None` when the catalogue does not hold it.
#[must_use]
pub fn cite(reference: &LawReference) -> Option<Citation> {
    let (law, provision) = resolve(&reference.law, &reference.r#ref)?;
    Some(Citation {
        law: law.id.clone(),
        r#ref: provision.r#ref.clone(),
        citation: provision.citation.clone(),
        title: provision.title.clone(),
        url: provision.url.as_ref().unwrap_or(&law.url).clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use time::Date;
    use time::macros::format_description;

    use super::*;

    #[test]
    fn every_file_is_read() {
        for file in FILES {
            parse(file).unwrap();
        }
        assert_eq!(CATALOGUE.len(), FILES.len());
    }

    #[test]
    fn every_entry_is_complete_and_unique() {
        let date = |text: &str| Date::parse(text, format_description!("[year]-[month]-[day]")).unwrap();
        for law in laws() {
            assert!(law.url.starts_with("https://"), "{}", law.id);
            assert!(!law.verified_against.is_empty(), "{}", law.id);
            date(&law.verified_on);
            let mut refs = HashSet::new();
            for entry in &law.provisions {
                let place = format!("{} {}", law.id, entry.r#ref);
                assert!(refs.insert(&entry.r#ref), "{place} twice");
                assert!(entry.r#ref.contains(&entry.article), "{place}: article");
                if let Some(letter) = &entry.letter {
                    assert!(entry.r#ref.ends_with(&format!("({letter})")), "{place}: letter");
                }
                for text in [&entry.title, &entry.citation] {
                    assert!(!text.fr.is_empty() && !text.en.is_empty(), "{place}: text");
                }
                let applies = date(&entry.applies_from);
                if let Some(previously) = &entry.previously_from {
                    assert_ne!(date(previously), applies, "{place}: both dates are the same");
                }
            }
        }
    }

    #[test]
    fn the_amendment_of_2026_moved_annex_iii_and_not_article_5() {
        let (_, scoring) = resolve(EU_AI_ACT, "annex-iii:5(b)").unwrap();
        assert_eq!(scoring.applies_from, "2027-12-02");
        assert_eq!(scoring.previously_from.as_deref(), Some("2026-08-02"));
        let (_, emotions) = resolve(EU_AI_ACT, "5(1)(f)").unwrap();
        assert_eq!(emotions.applies_from, "2025-02-02");
        assert_eq!(emotions.previously_from, None);
    }

    #[test]
    fn a_reference_is_cited_in_both_languages() {
        let reference = LawReference { law: "gdpr".to_owned(), r#ref: "5(1)(c)".to_owned() };
        let citation = cite(&reference).unwrap();
        assert_eq!(citation.citation.fr, "RGPD, art. 5(1)(c)");
        assert_eq!(citation.citation.en, "GDPR, Art. 5(1)(c)");
        assert_eq!(cite(&LawReference { law: "gdpr".to_owned(), r#ref: "99(z)".to_owned() }), None);
    }
}
