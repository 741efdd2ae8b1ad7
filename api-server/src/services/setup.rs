//! What a new CRM begins with: its first account, and fictitious records where they are asked for.

use novacrm_api_domain::contact::{Contact, ContactInput};
use novacrm_api_domain::interaction::{Direction, Interaction, InteractionInput, Kind};
use novacrm_api_domain::organisation::{Organisation, OrganisationInput};
use novacrm_api_domain::permission::Visibility;
use novacrm_api_domain::record::Meta;
use novacrm_api_domain::user::{Locale, Role, User, UserInput};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::ServiceError;
use super::list::{ListQuery, Listed};
use super::passwords::Passwords;
use super::ports::{Accounts, Records};
use super::users::{self, UserFilter};

/// The tables that are filled.
pub trait Tables: Accounts + Records<Organisation> + Records<Contact> + Records<Interaction> {}
impl<T: Accounts + Records<Organisation> + Records<Contact> + Records<Interaction>> Tables for T {}

/// The first account, as it is asked for.
pub struct FirstAccount<'a> {
    /// Address it logs in with.
    pub email: &'a str,
    /// What its holder is called.
    pub display_name: &'a str,
    /// Its first password.
    pub password: &'a str,
    /// Language of its holder.
    pub locale: Locale,
    /// Its holder must choose a password at the first log-in. Only where they chose the first one may it stay.
    pub password_must_change: bool,
    /// What the tenant is called; no password may be made of it alone.
    pub tenant_name: &'a str,
}

/// Makes the first account, of role `direction`. `false`: there is an account already.
///
/// # Errors
/// When the fields are not valid, the password is too easy to guess, or the database is away.
pub async fn first_account(
    tables: &dyn Accounts,
    now: OffsetDateTime,
    first: &FirstAccount<'_>,
) -> Result<bool, ServiceError> {
    if find_user(tables, UserFilter::default()).await?.is_some() {
        return Ok(false);
    }
    let input = UserInput {
        email: first.email.to_owned(),
        display_name: first.display_name.to_owned(),
        role: Role::Direction,
        locale: first.locale,
        active: true,
    };
    let passwords = Passwords::new()?;
    let mut account = users::account(&passwords, now, input, first.password, None, first.tenant_name).await?;
    account.password_must_change = first.password_must_change;
    tables.insert(&account, None).await?;
    Ok(true)
}

async fn find_user(tables: &dyn Accounts, filter: UserFilter) -> Result<Option<User>, ServiceError> {
    let query = first(&filter, User::DEFAULT_SORT);
    Ok(tables.list(&query).await?.records.into_iter().next())
}

fn first<F>(filter: &F, sort: super::list::Sort) -> ListQuery<'_, F> {
    ListQuery { filter, visible: Visibility::All.into(), sort, after: None, limit: 1, count: false }
}

/// Names that no company has, and the reserved top-level domain for examples (RFC 2606).
const ORGANISATIONS: &[(&str, &str)] = &[
    ("Ateliers Brumevent", "brumevent.example"),
    ("Banque Solidor", "solidor.example"),
    ("Clinique des Trois Sources", "trois-sources.example"),
    ("Coopérative Laitière du Val Doré", "valdore.example"),
    ("Éditions Mirabelle & Fils", "mirabelle.example"),
    ("Forges de Hauteclaire", "hauteclaire.example"),
    ("Garance Cosmétiques", "garance.example"),
    ("Institut Sémaphore", "semaphore.example"),
    ("Logistique Transvallée", "transvallee.example"),
    ("Mutuelle Clairbois", "clairbois.example"),
    ("Novalys Énergie", "novalys.example"),
    ("Vignobles de Pierrelune", "pierrelune.example"),
];

const FIRST_NAMES: &[&str] = &[
    "Amélie", "Bastien", "Chloé", "Damien", "Éloïse", "Farid", "Gaëlle", "Hugo", "Inès", "Jérôme", "Karima",
    "Loïc", "Manon", "Nadir",
];
const LAST_NAMES: &[&str] = &[
    "Aubépin",
    "Bellerive",
    "Castelnau",
    "Duchemin",
    "Esparre",
    "Fontvieille",
    "Grandpré",
    "Hautbois",
    "Issoire",
    "Jolivet",
    "Kerambrun",
    "Lormont",
    "Montclair",
];
const JOBS: &[&str] = &[
    "Directrice des achats",
    "Responsable informatique",
    "Cheffe de projet",
    "Directeur financier",
    "Déléguée à la protection des données",
];
const SUBJECTS: &[(Kind, Direction, &str, &str)] = &[
    (Kind::Call, Direction::Outbound, "Premier échange", "Besoin exprimé, à rappeler la semaine prochaine."),
    (Kind::Email, Direction::Inbound, "Demande de devis", "Souhaite une offre pour douze postes."),
    (Kind::Meeting, Direction::Outbound, "Démonstration", "Présentation du module de conformité."),
    (Kind::Note, Direction::Internal, "Suivi", "Décision attendue après le comité de direction."),
];
/// Contacts that are made.
const CONTACTS: usize = 40;

/// Fills an empty CRM with fictitious records; all are made before the first is stored. `false`: it is not empty, or has no administrator to own them.
///
/// # Errors
/// When the database is away.
pub async fn demo(tables: &dyn Tables, now: OffsetDateTime) -> Result<bool, ServiceError> {
    let administrators =
        UserFilter { role: Some(Role::Direction), active: Some(true), ..UserFilter::default() };
    let Some(owner) = find_user(tables, administrators).await?.map(|user| user.meta.id) else {
        return Ok(false);
    };
    let filter = <Organisation as Listed>::Filter::default();
    let found: super::list::Page<Organisation> =
        Records::<Organisation>::list(tables, &first(&filter, Organisation::DEFAULT_SORT)).await?;
    if !found.records.is_empty() {
        return Ok(false);
    }
    let (mut organisations, mut contacts, mut interactions) = (Vec::new(), Vec::new(), Vec::new());
    for (name, domain) in ORGANISATIONS {
        let input = OrganisationInput {
            name: (*name).to_owned(),
            domain: Some((*domain).to_owned()),
            ..OrganisationInput::default()
        };
        let meta = Meta::new(Uuid::now_v7(), owner, owner, now);
        organisations.push((Organisation { meta, details: input.validate()? }, *domain));
    }
    let people = FIRST_NAMES.iter().cycle().zip(LAST_NAMES.iter().cycle());
    let places = organisations.iter().cycle().zip(JOBS.iter().cycle());
    for (number, ((first_name, last_name), ((organisation, domain), job))) in
        people.zip(places).take(CONTACTS).enumerate()
    {
        let mailbox = novacrm_api_domain::text::fold(&format!("{first_name}.{last_name}"));
        let input = ContactInput {
            first_name: (*first_name).to_owned(),
            last_name: (*last_name).to_owned(),
            email: Some(format!("{mailbox}@{domain}")),
            // Numbers that the French regulator keeps for works of fiction.
            phone: Some(format!("01 99 00 {:02} {:02}", number % 100, (number * 7) % 100)),
            job_title: Some((*job).to_owned()),
            locale: Locale::Fr,
            organisation_id: Some(organisation.meta.id),
            do_not_contact: number % 13 == 12,
        };
        let meta = Meta::new(Uuid::now_v7(), owner, owner, now);
        let contact = Contact { meta, details: input.validate()?, organisation_name: None };
        for (step, (kind, direction, subject, body)) in SUBJECTS.iter().enumerate().take(number % 4 + 1) {
            let days = i64::try_from(number + 10 * (SUBJECTS.len() - step)).unwrap_or(1);
            let input = InteractionInput {
                contact_id: contact.meta.id,
                kind: *kind,
                direction: *direction,
                occurred_at: now - Duration::days(days),
                subject: (*subject).to_owned(),
                body: Some((*body).to_owned()),
            };
            let meta = Meta::new(Uuid::now_v7(), owner, owner, now);
            interactions.push(Interaction { meta, details: input.validate(now)? });
        }
        contacts.push(contact);
    }
    for (organisation, _) in &organisations {
        Records::insert(tables, organisation, None).await?;
    }
    for contact in &contacts {
        Records::insert(tables, contact, None).await?;
    }
    for interaction in &interactions {
        Records::insert(tables, interaction, None).await?;
    }
    Ok(true)
}
