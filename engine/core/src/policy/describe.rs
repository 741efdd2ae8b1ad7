//! A rule's condition in, a sentence in French and English for people who do not read YAML out.

use novacrm_crds::Bilingual;
use novacrm_crds::compliance_policy::{FindingMatch, Leaf, UseCaseMatch, When};

use super::words::{both, list, name_of_class, name_of_detector, name_of_field, name_of_value};

/// «Quand le texte contient … et que …; ou quand …»
pub(crate) fn condition(when: &When) -> Bilingual {
    let groups: Vec<Bilingual> = when.any.iter().map(|group| all(&group.all)).collect();
    let join = |parts: Vec<&str>, between: &str| {
        let mut sentence = parts.join(between);
        sentence.push('.');
        sentence
    };
    Bilingual {
        fr: format!("Quand {}", join(groups.iter().map(|g| g.fr.as_str()).collect(), " ; ou quand ")),
        en: format!("When {}", join(groups.iter().map(|g| g.en.as_str()).collect(), "; or when ")),
    }
}

fn all(leaves: &[Leaf]) -> Bilingual {
    let parts: Vec<Bilingual> = leaves.iter().filter_map(leaf).collect();
    Bilingual {
        fr: parts.iter().map(|part| part.fr.as_str()).collect::<Vec<_>>().join(" et que "),
        en: parts.iter().map(|part| part.en.as_str()).collect::<Vec<_>>().join(" and "),
    }
}

fn leaf(leaf: &Leaf) -> Option<Bilingual> {
    if let Some(finding) = &leaf.finding {
        return Some(finding_in_words(finding, leaf.not));
    }
    if let Some(field) = &leaf.field {
        let name = name_of_field(field.name);
        let values: Vec<Bilingual> =
            field.r#in.iter().map(|value| name_of_value(field.name, value)).collect();
        let values = list(&values, true);
        let verb = if leaf.not { both("n’est pas", "is not") } else { both("est", "is") };
        return Some(Bilingual {
            fr: format!("{} {} {}", name.fr, verb.fr, values.fr),
            en: format!("{} {} {}", name.en, verb.en, values.en),
        });
    }
    leaf.use_case.as_ref().map(|use_case| use_case_in_words(use_case, leaf.not))
}

fn finding_in_words(finding: &FindingMatch, not: bool) -> Bilingual {
    let what: Vec<Bilingual> = finding.detectors.iter().map(|id| name_of_detector(id)).collect();
    let what = list(&what, true);
    let certainty = if finding.min_score > 0.0 {
        let percent = finding.min_score * 100.0;
        both(
            &format!(" (certitude d’au moins {percent:.0} %)"),
            &format!(" (at least {percent:.0}% certain)"),
        )
    } else {
        Bilingual::default()
    };
    let (fr, en) = match (not, finding.at_least) {
        (false, 1) => (format!("le texte contient : {}", what.fr), format!("the text contains: {}", what.en)),
        (false, n) => (
            format!("le texte contient au moins {n} éléments de ces types : {}", what.fr),
            format!("the text contains at least {n} elements of these types: {}", what.en),
        ),
        (true, 1) => (
            format!("le texte ne contient rien de ces types : {}", what.fr),
            format!("the text contains nothing of these types: {}", what.en),
        ),
        (true, n) => (
            format!("le texte contient moins de {n} éléments de ces types : {}", what.fr),
            format!("the text contains fewer than {n} elements of these types: {}", what.en),
        ),
    };
    Bilingual { fr: fr + &certainty.fr, en: en + &certainty.en }
}

fn use_case_in_words(use_case: &UseCaseMatch, not: bool) -> Bilingual {
    let classes: Vec<Bilingual> = use_case.classes.iter().map(|class| name_of_class(*class)).collect();
    let classes = list(&classes, true);
    let verb = if not { both("n’est pas", "is not") } else { both("est", "is") };
    let mut said = Bilingual {
        fr: format!("l’usage de l’IA {} {}", verb.fr, classes.fr),
        en: format!("the use of AI {} {}", verb.en, classes.en),
    };
    if !use_case.provisions.is_empty() {
        let provisions = use_case.provisions.join(", ");
        said.fr.push_str(&format!(" au titre de : {provisions} (règlement sur l’IA)"));
        said.en.push_str(&format!(" under {provisions} (AI Act)"));
    }
    said
}
