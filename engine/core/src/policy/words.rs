//! Names of the product's own things in; the words people use for them, in French and English, out.

use novacrm_crds::Bilingual;
use novacrm_crds::compliance_policy::{RequestField, UseCaseClass};
use time::OffsetDateTime;

use crate::detectors;

/// A thing that can be counted, in both languages.
struct Noun {
    kind: &'static str,
    fr: [&'static str; 2],
    en: [&'static str; 2],
}

/// Types of findings. Others, such as those of a policy’s own detectors, are named by their type.
const NOUNS: &[Noun] = &[
    Noun {
        kind: "EMAIL",
        fr: ["adresse e-mail", "adresses e-mail"],
        en: ["e-mail address", "e-mail addresses"],
    },
    Noun {
        kind: "PHONE",
        fr: ["numéro de téléphone", "numéros de téléphone"],
        en: ["phone number", "phone numbers"],
    },
    Noun {
        kind: "PERSON",
        fr: ["nom de personne", "noms de personnes"],
        en: ["name of a person", "names of persons"],
    },
    Noun {
        kind: "ADDRESS",
        fr: ["adresse postale", "adresses postales"],
        en: ["postal address", "postal addresses"],
    },
    Noun { kind: "IBAN", fr: ["IBAN", "IBAN"], en: ["IBAN", "IBANs"] },
    Noun {
        kind: "CARD",
        fr: ["numéro de carte bancaire", "numéros de carte bancaire"],
        en: ["payment card number", "payment card numbers"],
    },
    Noun {
        kind: "NIR_FR",
        fr: ["numéro de sécurité sociale (NIR)", "numéros de sécurité sociale (NIR)"],
        en: ["French social security number (NIR)", "French social security numbers (NIR)"],
    },
    Noun { kind: "SIREN_FR", fr: ["numéro SIREN", "numéros SIREN"], en: ["SIREN number", "SIREN numbers"] },
    Noun { kind: "SIRET_FR", fr: ["numéro SIRET", "numéros SIRET"], en: ["SIRET number", "SIRET numbers"] },
    Noun {
        kind: "VAT_FR",
        fr: ["numéro de TVA", "numéros de TVA"],
        en: ["French VAT number", "French VAT numbers"],
    },
    Noun { kind: "IP", fr: ["adresse IP", "adresses IP"], en: ["IP address", "IP addresses"] },
    Noun {
        kind: "SECRET_AWS_ACCESS_KEY",
        fr: ["identifiant de clé AWS", "identifiants de clé AWS"],
        en: ["AWS access key id", "AWS access key ids"],
    },
    Noun {
        kind: "SECRET_AWS_SECRET_KEY",
        fr: ["clé secrète AWS", "clés secrètes AWS"],
        en: ["AWS secret key", "AWS secret keys"],
    },
    Noun {
        kind: "SECRET_URL_PASSWORD",
        fr: ["mot de passe dans une adresse de connexion", "mots de passe dans une adresse de connexion"],
        en: ["password in a connection address", "passwords in a connection address"],
    },
    Noun {
        kind: "SECRET_JWT",
        fr: ["jeton de session (JWT)", "jetons de session (JWT)"],
        en: ["session token (JWT)", "session tokens (JWT)"],
    },
    Noun {
        kind: "SECRET_PRIVATE_KEY",
        fr: ["clé privée", "clés privées"],
        en: ["private key", "private keys"],
    },
    Noun {
        kind: "SECRET_ANTHROPIC_KEY",
        fr: ["clé d’accès Anthropic", "clés d’accès Anthropic"],
        en: ["Anthropic access key", "Anthropic access keys"],
    },
    Noun {
        kind: "SECRET_OPENAI_KEY",
        fr: ["clé d’accès OpenAI", "clés d’accès OpenAI"],
        en: ["OpenAI access key", "OpenAI access keys"],
    },
    Noun {
        kind: "SECRET_SENDGRID_KEY",
        fr: ["clé d’accès SendGrid", "clés d’accès SendGrid"],
        en: ["SendGrid access key", "SendGrid access keys"],
    },
    Noun {
        kind: "SECRET_STRIPE_KEY",
        fr: ["clé d’accès Stripe", "clés d’accès Stripe"],
        en: ["Stripe access key", "Stripe access keys"],
    },
    Noun {
        kind: "SECRET_GOOGLE_API_KEY",
        fr: ["clé d’accès Google", "clés d’accès Google"],
        en: ["Google API key", "Google API keys"],
    },
    Noun {
        kind: "SECRET_GOOGLE_OAUTH_SECRET",
        fr: ["secret OAuth Google", "secrets OAuth Google"],
        en: ["Google OAuth secret", "Google OAuth secrets"],
    },
    Noun {
        kind: "SECRET_SLACK_WEBHOOK",
        fr: ["adresse de webhook Slack", "adresses de webhook Slack"],
        en: ["Slack webhook address", "Slack webhook addresses"],
    },
    Noun {
        kind: "SECRET_DIGITALOCEAN_TOKEN",
        fr: ["jeton d’accès DigitalOcean", "jetons d’accès DigitalOcean"],
        en: ["DigitalOcean access token", "DigitalOcean access tokens"],
    },
    Noun {
        kind: "SECRET_GITHUB_TOKEN",
        fr: ["jeton d’accès GitHub", "jetons d’accès GitHub"],
        en: ["GitHub access token", "GitHub access tokens"],
    },
    Noun {
        kind: "SECRET_GITLAB_TOKEN",
        fr: ["jeton d’accès GitLab", "jetons d’accès GitLab"],
        en: ["GitLab access token", "GitLab access tokens"],
    },
    Noun {
        kind: "SECRET_HUGGINGFACE_TOKEN",
        fr: ["jeton d’accès Hugging Face", "jetons d’accès Hugging Face"],
        en: ["Hugging Face access token", "Hugging Face access tokens"],
    },
    Noun {
        kind: "SECRET_NPM_TOKEN",
        fr: ["jeton d’accès npm", "jetons d’accès npm"],
        en: ["npm access token", "npm access tokens"],
    },
    Noun {
        kind: "SECRET_PYPI_TOKEN",
        fr: ["jeton d’accès PyPI", "jetons d’accès PyPI"],
        en: ["PyPI access token", "PyPI access tokens"],
    },
    Noun {
        kind: "SECRET_SLACK_TOKEN",
        fr: ["jeton d’accès Slack", "jetons d’accès Slack"],
        en: ["Slack access token", "Slack access tokens"],
    },
    Noun {
        kind: "SECRET_TELEGRAM_TOKEN",
        fr: ["jeton d’accès Telegram", "jetons d’accès Telegram"],
        en: ["Telegram access token", "Telegram access tokens"],
    },
    Noun {
        kind: "SECRET_GITHUB_FINE_GRAINED_TOKEN",
        fr: ["jeton d’accès GitHub", "jetons d’accès GitHub"],
        en: ["GitHub access token", "GitHub access tokens"],
    },
    Noun {
        kind: "SPECIAL_HEALTH",
        fr: ["donnée de santé", "données de santé"],
        en: ["piece of health data", "pieces of health data"],
    },
    Noun {
        kind: "SPECIAL_RELIGION",
        fr: ["mention de religion ou de conviction", "mentions de religion ou de conviction"],
        en: ["mention of religion or belief", "mentions of religion or belief"],
    },
    Noun {
        kind: "SPECIAL_UNION",
        fr: ["mention d’appartenance syndicale", "mentions d’appartenance syndicale"],
        en: ["mention of union membership", "mentions of union membership"],
    },
    Noun {
        kind: "SPECIAL_POLITICS",
        fr: ["mention d’opinion politique", "mentions d’opinion politique"],
        en: ["mention of political opinion", "mentions of political opinion"],
    },
    Noun {
        kind: "SPECIAL_ETHNICITY",
        fr: ["mention d’origine ethnique", "mentions d’origine ethnique"],
        en: ["mention of ethnic origin", "mentions of ethnic origin"],
    },
    Noun {
        kind: "SPECIAL_SEXUALITY",
        fr: ["mention de vie ou d’orientation sexuelle", "mentions de vie ou d’orientation sexuelle"],
        en: ["mention of sex life or orientation", "mentions of sex life or orientation"],
    },
    Noun {
        kind: "SPECIAL_BIOMETRIC",
        fr: ["donnée biométrique ou génétique", "données biométriques ou génétiques"],
        en: ["piece of biometric or genetic data", "pieces of biometric or genetic data"],
    },
    Noun {
        kind: "SPECIAL_OFFENCE",
        fr: ["mention d’infraction ou de condamnation", "mentions d’infraction ou de condamnation"],
        en: ["mention of an offence or conviction", "mentions of offences or convictions"],
    },
    Noun {
        kind: "PROMPT_INJECTION",
        fr: ["instruction qui veut en remplacer d’autres", "instructions qui veulent en remplacer d’autres"],
        en: ["instruction that wants to replace others", "instructions that want to replace others"],
    },
    Noun {
        kind: "PROMPT_JAILBREAK",
        fr: ["tentative de lever les limites du modèle", "tentatives de lever les limites du modèle"],
        en: ["attempt to lift the model’s limits", "attempts to lift the model’s limits"],
    },
    Noun {
        kind: "PROMPT_EXFILTRATION",
        fr: ["demande d’envoi de données à l’extérieur", "demandes d’envoi de données à l’extérieur"],
        en: ["demand to send data out", "demands to send data out"],
    },
    Noun {
        kind: "PROMPT_EXFILTRATION_LINK",
        fr: ["lien qui emporte des données", "liens qui emportent des données"],
        en: ["link that carries data away", "links that carry data away"],
    },
    Noun {
        kind: "PROMPT_PROBING",
        fr: ["tentative de lire les consignes du modèle", "tentatives de lire les consignes du modèle"],
        en: ["attempt to read the model’s instructions", "attempts to read the model’s instructions"],
    },
    Noun {
        kind: "PROMPT_HIDDEN_TEXT",
        fr: ["texte caché", "textes cachés"],
        en: ["hidden text", "hidden texts"],
    },
    Noun {
        kind: "TONE_NEGATIVE",
        fr: ["mot de mécontentement", "mots de mécontentement"],
        en: ["word of discontent", "words of discontent"],
    },
    Noun {
        kind: "TONE_POSITIVE",
        fr: ["mot de satisfaction", "mots de satisfaction"],
        en: ["word of satisfaction", "words of satisfaction"],
    },
    Noun {
        kind: "TONE_TOXIC",
        fr: ["insulte ou menace", "insultes ou menaces"],
        en: ["insult or threat", "insults or threats"],
    },
];

/// So many findings of a type, such as `2 adresses e-mail`.
pub(crate) fn counted(kind: &str, count: usize) -> Bilingual {
    let name = name_of_kind(kind, count);
    Bilingual { fr: format!("{count} {}", name.fr), en: format!("{count} {}", name.en) }
}

/// A type of finding in words. French takes the singular below 2, English for 1 alone.
fn name_of_kind(kind: &str, count: usize) -> Bilingual {
    let plural_fr = usize::from(count > 1);
    let plural_en = usize::from(count != 1);
    if let Some(noun) = NOUNS.iter().find(|noun| noun.kind == kind) {
        let form =
            |forms: [&str; 2], plural: usize| forms.get(plural).copied().unwrap_or_default().to_owned();
        return Bilingual { fr: form(noun.fr, plural_fr), en: form(noun.en, plural_en) };
    }
    match kind.strip_prefix("SECRET_") {
        Some(which) => {
            let which = which.replace('_', " ").to_lowercase();
            Bilingual {
                fr: format!("secret{} d’accès ({which})", if plural_fr == 1 { "s" } else { "" }),
                en: format!("access secret{} ({which})", if plural_en == 1 { "s" } else { "" }),
            }
        }
        None => Bilingual {
            fr: format!("élément{} de type {kind}", if plural_fr == 1 { "s" } else { "" }),
            en: format!("element{} of type {kind}", if plural_en == 1 { "s" } else { "" }),
        },
    }
}

/// A detector or a family of them in words.
pub(crate) fn name_of_detector(id: &str) -> Bilingual {
    match id {
        "pii.*" => return both("donnée personnelle", "personal data"),
        "secret.*" => return both("secret d’accès", "access secret"),
        "special.*" => {
            return both("donnée d’une catégorie particulière", "data of a special category");
        }
        "prompt.*" => return both("tentative de détourner le modèle", "attempt to subvert the model"),
        "tone.*" => return both("mot qui donne le ton", "word that sets the tone"),
        "custom.*" => return both("élément propre à la politique", "element of the policy’s own"),
        _ => {}
    }
    match detectors::catalogue().get(id) {
        Some(entry) => name_of_kind(&entry.kind, 1),
        None => both(id, id),
    }
}

/// A legal class in words, after «l’usage est …».
pub(crate) fn name_of_class(class: UseCaseClass) -> Bilingual {
    match class {
        UseCaseClass::Unregistered => both("non déclaré au registre", "not registered"),
        UseCaseClass::Minimal => both("à risque minimal", "of minimal risk"),
        UseCaseClass::Limited => both("soumis à transparence", "subject to transparency duties"),
        UseCaseClass::HighRisk => both("à haut risque", "high-risk"),
        UseCaseClass::Prohibited => both("interdit", "prohibited"),
    }
}

/// A field of the request in words.
pub(crate) fn name_of_field(field: RequestField) -> Bilingual {
    match field {
        RequestField::Surface => both("le canal", "the channel"),
        RequestField::UseCase => both("l’usage", "the use"),
        RequestField::Purpose => both("la finalité", "the purpose"),
        RequestField::Role => both("le rôle", "the role"),
        RequestField::Locale => both("la langue", "the language"),
    }
}

/// A value of a field in words.
pub(crate) fn name_of_value(field: RequestField, value: &str) -> Bilingual {
    match (field, value) {
        (RequestField::Surface, "prompt.input") => both("« question à un modèle »", "“question to a model”"),
        (RequestField::Surface, "prompt.output") => both("« réponse d’un modèle »", "“answer of a model”"),
        (RequestField::Surface, "crm.note") => both("« note du CRM »", "“CRM note”"),
        (RequestField::Locale, "fr") => both("français", "French"),
        (RequestField::Locale, "en") => both("anglais", "English"),
        _ => Bilingual { fr: format!("« {value} »"), en: format!("“{value}”") },
    }
}

/// A moment to the minute: «30/06/2027 à 22:00 UTC», “30 June 2027 at 22:00 UTC”.
pub(crate) fn moment(at: OffsetDateTime) -> Bilingual {
    let at = at.to_utc();
    let (day, month, year) = (at.day(), at.month(), at.year());
    let time = format!("{:02}:{:02} UTC", at.hour(), at.minute());
    Bilingual {
        fr: format!("{day:02}/{:02}/{year} à {time}", u8::from(month)),
        en: format!("{day} {month} {year} at {time}"),
    }
}

/// The same text once per language.
pub(crate) fn both(fr: &str, en: &str) -> Bilingual {
    Bilingual { fr: fr.to_owned(), en: en.to_owned() }
}

/// «a, b et c», “a, b and c”; with `or`, «a, b ou c», “a, b or c”.
pub(crate) fn list(parts: &[Bilingual], or: bool) -> Bilingual {
    let join = |parts: Vec<&str>, last: &str| match parts.split_last() {
        None => String::new(),
        Some((only, [])) => (*only).to_owned(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    };
    Bilingual {
        fr: join(parts.iter().map(|part| part.fr.as_str()).collect(), if or { "ou" } else { "et" }),
        en: join(parts.iter().map(|part| part.en.as_str()).collect(), if or { "or" } else { "and" }),
    }
}
