//! Secrets of a tenant: what exists, the time and randomness in; what must be written out. Pure.
//!
//! A key is made when it is absent and never again. Certificates live 90 days and are renewed after two thirds
//! of that. The authority lives five years; after two thirds of that a second one is made, and `ca.crt` everywhere
//! then holds both. In that same pass no certificate is issued by the new authority, so every process trusts it
//! before the first peer shows a certificate of it; the old one stays trusted until it expires.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use hmac::{Hmac, Mac};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use novacrm_crds::SecretKeyReference;
use novacrm_crds::conditions::{REASON_FAILED, REASON_FOREIGN_DATA, REASON_LOST_KEY};
use novacrm_crds::crm_tenant::DatabaseType;
use novacrm_engine_core::record::{CheckpointKey, log};
use rand::distr::Alphanumeric;
use rand::{CryptoRng, Rng};
use rcgen::{ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use sha2::Sha256;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::crm_tenant::database::ADMINISTRATOR;
use crate::crm_tenant::validate::Validated;
use crate::crm_tenant::{Identity, names};
use crate::pki::{self, Certificate, KeyKind, PkiError, Validity, pem_of, signing_key};

/// Life of a certificate.
pub const CERTIFICATE_LIFE: Duration = Duration::days(90);
/// Life of a tenant's certificate authority.
pub const AUTHORITY_LIFE: Duration = Duration::days(5 * 365);
/// Clocks of one cluster differ by less than this.
const SKEW: Duration = Duration::minutes(5);
/// Entry of the engine's keys that says whose they are.
pub(crate) const TENANT_ID: &str = "tenant-id";
/// Key of the engine's fingerprints.
const FINGERPRINT: &str = "fingerprint.key";
/// Label that says who writes an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value on ours.
const OPERATOR: &str = "novacrm-operator";

/// The content of one Secret, by key; wiped from memory when dropped.
pub type Content = BTreeMap<String, Zeroizing<String>>;
/// Secrets by name.
pub type Secrets = BTreeMap<String, Content>;

/// Why a Secret can neither be kept nor made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A key that can only be restored.
    #[error("Secret {secret} has lost its key {key}: restore it from a backup; a new one would break {what}")]
    Lost {
        /// Name of the Secret.
        secret: &'static str,
        /// The key within it.
        key: &'static str,
        /// What depends on it.
        what: &'static str,
    },
    /// A key that is there and cannot be read.
    #[error("key {key} of Secret {secret} cannot be read: restore it from a backup")]
    Unreadable {
        /// Name of the Secret.
        secret: &'static str,
        /// The key within it.
        key: &'static str,
    },
    /// A key or certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Keys of a former tenant.
    #[error(
        "the keys in Secret {secret} belong to the former tenant {former}. To take them over, set spec.adoptTenantId to \
         that id and have the platform team confirm it with the annotation novacrm.io/adopt-tenant-id={former} of the \
         Namespace. Or use another namespace"
    )]
    Foreign {
        /// Name of the Secret.
        secret: &'static str,
        /// The id they are marked with.
        former: String,
    },
    /// A Secret that people made, without the key that is asked for.
    #[error(
        "Secret {secret} was not made by the operator and has no key {key}: add the key, or name another Secret"
    )]
    Absent {
        /// Name of the Secret.
        secret: String,
        /// The key that is missing.
        key: String,
    },
}

impl GenerateError {
    /// The reason for a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Lost { .. } | Self::Unreadable { .. } => REASON_LOST_KEY,
            Self::Foreign { .. } => REASON_FOREIGN_DATA,
            Self::Absent { .. } | Self::Pki(_) => REASON_FAILED,
        }
    }
}

/// What the Secrets of a tenant are made for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Whose they are.
    pub identity: Identity,
    /// The first account's password.
    pub admin: &'a SecretKeyReference,
    /// Whether the operator needs a role of its own on the tenant's database server (CloudNativePG).
    pub database_administrator: bool,
}

impl<'a> Wanted<'a> {
    /// What a tenant needs.
    #[must_use]
    pub fn of(tenant: &'a Validated) -> Self {
        Self {
            identity: tenant.identity(),
            admin: &tenant.spec().auth.bootstrap_admin.password_secret_ref,
            database_administrator: tenant.spec().database.r#type == DatabaseType::CloudNativePg,
        }
    }
}

/// What a reconcile writes: Secrets that are absent or due, in full. One with a `resourceVersion` replaces the one that
/// was read; one without is created, and a conflict means that another writer was first: read again. Nothing is ever
/// applied, so no value is in a `managedFields` entry or an annotation.
///
/// `existing` are all Secrets of the tenant's namespace that the tenant uses ([`crate::crm_tenant::build::secret_names`]).
/// To be called in every reconcile, and at least daily: certificates are renewed 30 days before they expire.
///
/// # Errors
/// When something was lost that must not be made anew, or belongs to another tenant.
pub fn plan(
    tenant: &Validated,
    existing: &[Secret],
    now: OffsetDateTime,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Secret>, GenerateError> {
    let wanted = Wanted::of(tenant);
    let find = |name: &str| existing.iter().find(|secret| secret.metadata.name.as_deref() == Some(name));
    let admin = wanted.admin;
    if let Some(secret) = find(&admin.name)
        && !is_ours(secret)
        && !secret.data.as_ref().is_some_and(|data| data.contains_key(&admin.key))
    {
        return Err(GenerateError::Absent { secret: admin.name.clone(), key: admin.key.clone() });
    }
    let contents: Secrets =
        existing.iter().filter_map(|secret| Some((secret.metadata.name.clone()?, content(secret)))).collect();
    let made = generate(&wanted, &contents, now, rng)?;
    Ok(made.into_iter().map(|(name, content)| write(tenant, &name, content, find(&name))).collect())
}

/// What a Secret holds; what is no text is left out.
#[must_use]
pub fn content(secret: &Secret) -> Content {
    let data = secret.data.iter().flatten();
    data.filter_map(|(key, value)| {
        Some((key.clone(), Zeroizing::new(std::str::from_utf8(&value.0).ok()?.to_owned())))
    })
    .collect()
}

/// The Secret that holds `content`: in place of the one that was read, or a new one. Certificates go with the tenant;
/// keys, passwords and addresses outlive it.
#[must_use]
pub fn write(tenant: &Validated, name: &str, content: Content, existing: Option<&Secret>) -> Secret {
    let data =
        content.iter().map(|(key, value)| (key.clone(), ByteString(value.as_bytes().to_vec()))).collect();
    if let Some(existing) = existing {
        return Secret { data: Some(data), ..existing.clone() };
    }
    let certificate = [names::CA, names::ENGINE_TLS, names::API_TLS, names::OPERATOR_TLS].contains(&name);
    let type_ = match name {
        names::DATABASE_ADMINISTRATOR => "kubernetes.io/basic-auth",
        names::ENGINE_TLS | names::API_TLS | names::OPERATOR_TLS => "kubernetes.io/tls",
        _ => "Opaque",
    };
    let labels = [
        ("app.kubernetes.io/name", name),
        ("app.kubernetes.io/part-of", "novacrm"),
        (MANAGED_BY, OPERATOR),
        ("novacrm.io/tenant", tenant.namespace()),
    ];
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(tenant.namespace().to_owned()),
            // A label's value is at most 63 characters; the name of a person's Secret may be longer.
            labels: Some(
                labels
                    .iter()
                    .filter(|(_, value)| value.len() <= 63)
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            owner_references: tenant
                .tenant()
                .controller_owner_ref(&())
                .filter(|_| certificate)
                .map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(type_.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

pub(crate) fn is_ours(secret: &Secret) -> bool {
    let label = secret.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    label.is_some_and(|value| value == OPERATOR)
}

/// Digests of Secrets' values, by Secret and key.
pub type Digests = BTreeMap<String, BTreeMap<String, String>>;

/// Digests by which `build` sees that a value changed, and nothing else: they are keyed with a key of the tenant, so
/// that nobody who reads a pod can try out which password is behind one. Empty until the tenant has its keys.
#[must_use]
pub fn digests(secrets: &Secrets) -> Digests {
    let Some(key) = secrets.get(names::ENGINE_KEYS).and_then(|keys| keys.get(FINGERPRINT)) else {
        return Digests::new();
    };
    let digest = |name: &str, entry: &str, value: &str| {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
        for part in ["novacrm.io/secret-digest", name, entry, value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some((entry.to_owned(), hex::encode(mac.finalize().into_bytes())))
    };
    secrets
        .iter()
        .map(|(name, content)| {
            let digests = content.iter().filter_map(|(entry, value)| digest(name, entry, value));
            (name.clone(), digests.collect())
        })
        .collect()
}

/// Makes what is absent and renews what is due. The answer holds the Secrets to write, each in full; those that
/// are as they should be are not in it. The Secret of database addresses is not among them: see
/// [`crate::crm_tenant::database::prepare`].
///
/// # Errors
/// When something was lost that must not be made anew, or belongs to another tenant.
pub fn generate(
    wanted: &Wanted<'_>,
    existing: &Secrets,
    now: OffsetDateTime,
    rng: &mut impl CryptoRng,
) -> Result<Secrets, GenerateError> {
    let Wanted { identity, admin, database_administrator } = wanted;
    let namespace = identity.namespace.as_str();
    let mut made = Secrets::new();
    made.insert(names::ENGINE_KEYS.to_owned(), engine_keys(identity, existing.get(names::ENGINE_KEYS), rng)?);
    let authority = authority(namespace, existing.get(names::CA), now, rng)?;
    for (secret, service, identity) in [
        (names::ENGINE_TLS, Some(names::ENGINE), "engine"),
        (names::API_TLS, Some(names::API), "api"),
        (names::OPERATOR_TLS, None, "operator"),
    ] {
        let subject = Subject { namespace, service, identity };
        made.insert(
            secret.to_owned(),
            certificate(&subject, existing.get(secret), &authority, existing.get(names::CA), now, rng)?,
        );
    }
    made.insert(names::CA.to_owned(), authority.content);
    let api_keys = ["cursor.key", "idempotency.key", "token.key"];
    made.insert(names::API_KEYS.to_owned(), random_keys(&api_keys, existing.get(names::API_KEYS), rng));
    let mut password = existing.get(&admin.name).cloned().unwrap_or_default();
    password.entry(admin.key.clone()).or_insert_with(|| random_password(20, rng));
    made.insert(admin.name.clone(), password);
    if *database_administrator {
        let mut login = existing.get(names::DATABASE_ADMINISTRATOR).cloned().unwrap_or_default();
        login.entry("username".to_owned()).or_insert_with(|| Zeroizing::new(ADMINISTRATOR.to_owned()));
        login.entry("password".to_owned()).or_insert_with(|| random_password(32, rng));
        made.insert(names::DATABASE_ADMINISTRATOR.to_owned(), login);
    }
    made.retain(|name, content| existing.get(name) != Some(content));
    Ok(made)
}

/// A password that people can type: letters and digits.
pub(crate) fn random_password(length: usize, rng: &mut impl CryptoRng) -> Zeroizing<String> {
    Zeroizing::new(rng.sample_iter(Alphanumeric).take(length).map(char::from).collect())
}

fn random_keys(keys: &[&str], existing: Option<&Content>, rng: &mut impl CryptoRng) -> Content {
    let mut content = existing.cloned().unwrap_or_default();
    for key in keys {
        content.entry((*key).to_owned()).or_insert_with(|| {
            let mut bytes = Zeroizing::new([0_u8; 32]);
            rng.fill_bytes(bytes.as_mut_slice());
            Zeroizing::new(STANDARD.encode(bytes.as_slice()))
        });
    }
    content
}

fn engine_keys(
    identity: &Identity,
    existing: Option<&Content>,
    rng: &mut impl CryptoRng,
) -> Result<Content, GenerateError> {
    const SIGNING: &str = "audit-signing.key";
    const PUBLIC: &str = "audit-public.key";
    let former = existing.and_then(|content| content.get(TENANT_ID)).map(|id| id.as_str());
    if let Some(former) = former
        && former != identity.id
        && Some(former) != identity.adopt.as_deref()
    {
        return Err(GenerateError::Foreign { secret: names::ENGINE_KEYS, former: former.to_owned() });
    }
    let mut content =
        random_keys(&[FINGERPRINT, "commitment.key", "reply.key", "tokenization.key"], existing, rng);
    content.insert(TENANT_ID.to_owned(), Zeroizing::new(identity.id.clone()));
    let signing = match content.get(SIGNING) {
        Some(pem) => SigningKey::from_pkcs8_pem(pem)
            .map_err(|_| GenerateError::Unreadable { secret: names::ENGINE_KEYS, key: SIGNING })?,
        None if content.contains_key(PUBLIC) => {
            let what = "the proof of everything in the audit log";
            return Err(GenerateError::Lost { secret: names::ENGINE_KEYS, key: SIGNING, what });
        }
        None => {
            let signing = signing_key(rng);
            content.insert(SIGNING.to_owned(), pem_of(&signing)?);
            signing
        }
    };
    let log =
        CheckpointKey::new(&log::origin(&identity.namespace), signing).map_err(|_| PkiError::Encoding)?;
    content.insert(PUBLIC.to_owned(), Zeroizing::new(log.verifier_line() + "\n"));
    Ok(content)
}

struct Authority {
    content: Content,
    issuer: Issuer<'static, KeyPair>,
    /// Made in this pass, beside an older one: nothing is issued by it yet.
    rotated: bool,
}

fn authority(
    namespace: &str,
    existing: Option<&Content>,
    now: OffsetDateTime,
    rng: &mut impl CryptoRng,
) -> Result<Authority, GenerateError> {
    let key = |content: &Content| content.get("ca.key").cloned();
    let certificates = existing.and_then(|content| content.get("ca.crt"));
    if let (Some(content), Some(certificates)) = (existing, certificates)
        && let Some(pem) = key(content)
        && let Some(newest) = Certificate::first(certificates)
        && !newest.is_due(now)
    {
        let key = KeyPair::from_pem(&pem)
            .map_err(|_| GenerateError::Unreadable { secret: names::CA, key: "ca.key" })?;
        let issuer = Issuer::from_ca_cert_pem(certificates, key)
            .map_err(|_| GenerateError::Unreadable { secret: names::CA, key: "ca.crt" })?;
        return Ok(Authority { content: content.clone(), issuer, rotated: false });
    }
    let validity = Validity { not_before: now - SKEW, not_after: now + AUTHORITY_LIFE };
    let (made, issuer) = pki::authority(&format!("novacrm {namespace}"), KeyKind::Ed25519, validity, rng)?;
    let still_trusted = certificates.map(|pem| Certificate::unexpired(pem, now)).unwrap_or_default();
    let rotated = !still_trusted.is_empty();
    let content = Content::from([
        ("ca.crt".to_owned(), Zeroizing::new(format!("{}{still_trusted}", made.certificate))),
        ("ca.key".to_owned(), made.key),
    ]);
    Ok(Authority { content, issuer, rotated })
}

struct Subject<'a> {
    namespace: &'a str,
    service: Option<&'a str>,
    identity: &'a str,
}

fn certificate(
    subject: &Subject<'_>,
    existing: Option<&Content>,
    authority: &Authority,
    former_authority: Option<&Content>,
    now: OffsetDateTime,
    rng: &mut impl CryptoRng,
) -> Result<Content, GenerateError> {
    let trusted = authority.content.get("ca.crt").cloned().unwrap_or_default();
    if let Some(content) = existing
        && content.contains_key("tls.key")
        && let Some(own) = content.get("tls.crt").and_then(|pem| Certificate::first(pem))
        && Certificate::all(&trusted).iter().any(|authority| authority.subject == own.issuer)
        && (!own.is_due(now) || (authority.rotated && now < own.validity.not_after))
    {
        let mut content = content.clone();
        content.insert("ca.crt".to_owned(), trusted);
        return Ok(content);
    }
    let uri = format!("spiffe://{}.novacrm/{}", subject.namespace, subject.identity);
    let mut alternatives = vec![SanType::URI(uri.try_into().map_err(PkiError::from)?)];
    if let Some(service) = subject.service {
        let namespace = subject.namespace;
        for name in [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
            "localhost".to_owned(),
        ] {
            alternatives.push(SanType::DnsName(name.try_into().map_err(PkiError::from)?));
        }
        alternatives.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    let subject = pki::Subject {
        name: &format!("novacrm {}", subject.identity),
        alternatives,
        roles: &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    let validity = Validity { not_before: now - SKEW, not_after: now + CERTIFICATE_LIFE };
    // In the pass that made a new authority the old one still issues, as long as its key is at hand.
    let former = former_authority.filter(|_| authority.rotated).and_then(|content| {
        let key = KeyPair::from_pem(content.get("ca.key")?).ok()?;
        Issuer::from_ca_cert_pem(content.get("ca.crt")?, key).ok()
    });
    let issuer = former.as_ref().unwrap_or(&authority.issuer);
    let made = pki::issue(subject, KeyKind::Ed25519, validity, issuer, rng)?;
    Ok(Content::from([
        ("ca.crt".to_owned(), trusted),
        ("tls.crt".to_owned(), Zeroizing::new(made.certificate)),
        ("tls.key".to_owned(), made.key),
    ]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rustls::RootCertStore;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::server::WebPkiClientVerifier;
    use time::macros::datetime;
    use x509_parser::pem::Pem;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn admin() -> SecretKeyReference {
        SecretKeyReference { name: "acme-admin".to_owned(), key: "password".to_owned() }
    }

    fn run_as(
        id: &str,
        adopt: Option<&str>,
        existing: &Secrets,
        now: OffsetDateTime,
        seed: u64,
    ) -> Result<Secrets, GenerateError> {
        let identity =
            Identity { namespace: "acme".to_owned(), id: id.to_owned(), adopt: adopt.map(str::to_owned) };
        let wanted = Wanted { identity, admin: &admin(), database_administrator: true };
        generate(&wanted, existing, now, &mut StdRng::seed_from_u64(seed))
    }

    fn run(existing: &Secrets, now: OffsetDateTime, seed: u64) -> Result<Secrets, GenerateError> {
        run_as("1", None, existing, now, seed)
    }

    fn merged(existing: &Secrets, made: Secrets) -> Secrets {
        let mut all = existing.clone();
        all.extend(made);
        all
    }

    /// Verifies both roles of a certificate with the verifiers that rustls uses.
    fn verify(
        trusted: &str,
        certificate: &str,
        name: &str,
        now: OffsetDateTime,
    ) -> Result<(), rustls::Error> {
        use rustls::client::danger::ServerCertVerifier as _;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(trusted.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let roots = Arc::new(roots);
        let leaf = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            now.unix_timestamp().try_into().unwrap(),
        ));
        let client =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build().unwrap();
        client.verify_client_cert(&leaf, &[], now)?;
        let server =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots, provider).build().unwrap();
        server.verify_server_cert(&leaf, &[], &ServerName::try_from(name.to_owned()).unwrap(), &[], now)?;
        Ok(())
    }

    #[test]
    fn the_chain_verifies_for_service_loopback_and_both_roles() {
        let made = run(&Secrets::new(), NOW, 1).unwrap();
        let tls = &made[names::ENGINE_TLS];
        for name in ["novacrm-engine.acme.svc", "localhost", "127.0.0.1"] {
            verify(&tls["ca.crt"], &tls["tls.crt"], name, NOW).unwrap();
        }
        assert!(verify(&tls["ca.crt"], &tls["tls.crt"], "novacrm-engine.other.svc", NOW).is_err());
        let uri = |secret: &str| {
            let pem = Pem::iter_from_buffer(made[secret]["tls.crt"].as_bytes()).next().unwrap().unwrap();
            let certificate = pem.parse_x509().unwrap();
            let names = certificate.subject_alternative_name().unwrap().unwrap();
            names.value.general_names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert!(uri(names::ENGINE_TLS).contains("spiffe://acme.novacrm/engine"));
        assert!(uri(names::API_TLS).contains("spiffe://acme.novacrm/api"));
        assert!(uri(names::OPERATOR_TLS).contains("spiffe://acme.novacrm/operator"));
    }

    #[test]
    fn another_tenants_authority_is_not_trusted() {
        let acme = run(&Secrets::new(), NOW, 1).unwrap();
        let mut rng = StdRng::seed_from_u64(2);
        let identity = Identity { namespace: "other".to_owned(), id: "2".to_owned(), adopt: None };
        let wanted = Wanted { identity, admin: &admin(), database_administrator: false };
        let other = generate(&wanted, &Secrets::new(), NOW, &mut rng).unwrap();
        let trusted = &acme[names::CA]["ca.crt"];
        assert!(verify(trusted, &other[names::API_TLS]["tls.crt"], "localhost", NOW).is_err());
    }

    #[test]
    fn what_exists_is_never_made_again() {
        let first = run(&Secrets::new(), NOW, 1).unwrap();
        assert_eq!(first.len(), 8);
        let second = run(&first, NOW + Duration::days(59), 2).unwrap();
        assert_eq!(second.keys().collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn equal_randomness_and_time_make_equal_secrets() {
        assert_eq!(run(&Secrets::new(), NOW, 7).unwrap(), run(&Secrets::new(), NOW, 7).unwrap());
    }

    #[test]
    fn certificates_are_renewed_after_two_thirds_of_their_life() {
        let first = run(&Secrets::new(), NOW, 1).unwrap();
        let later = NOW + Duration::days(61);
        let renewed = run(&first, later, 2).unwrap();
        let names: Vec<&str> = renewed.keys().map(String::as_str).collect();
        assert_eq!(names, [names::API_TLS, names::ENGINE_TLS, names::OPERATOR_TLS]);
        let tls = &renewed[names::ENGINE_TLS];
        verify(&first[names::CA]["ca.crt"], &tls["tls.crt"], "localhost", later).unwrap();
    }

    #[test]
    fn a_new_authority_is_trusted_everywhere_before_it_issues() {
        let first = run(&Secrets::new(), NOW, 1).unwrap();
        let later = NOW + AUTHORITY_LIFE * 2 / 3 + Duration::days(1);
        let rotated = merged(&first, run(&first, later, 2).unwrap());
        let tls = &rotated[names::ENGINE_TLS];
        // Issued by the old authority, so a peer that has not reread its files yet accepts it.
        verify(&first[names::CA]["ca.crt"], &tls["tls.crt"], "localhost", later).unwrap();
        assert_eq!(Certificate::all(&tls["ca.crt"]).len(), 2);

        let much_later = later + Duration::days(61);
        let reissued = merged(&rotated, run(&rotated, much_later, 3).unwrap());
        let tls = &reissued[names::ENGINE_TLS];
        assert!(verify(&first[names::CA]["ca.crt"], &tls["tls.crt"], "localhost", much_later).is_err());
        verify(&rotated[names::CA]["ca.crt"], &tls["tls.crt"], "localhost", much_later).unwrap();
    }

    #[test]
    fn a_lost_signing_key_is_an_error_and_not_a_new_key() {
        let mut first = run(&Secrets::new(), NOW, 1).unwrap();
        first.get_mut(names::ENGINE_KEYS).unwrap().remove("audit-signing.key");
        let error = run(&first, NOW, 2).unwrap_err();
        assert!(matches!(error, GenerateError::Lost { key: "audit-signing.key", .. }), "{error}");
    }

    #[test]
    fn a_tenant_from_before_there_were_tokens_gets_their_key_and_keeps_the_others() {
        let mut first = run(&Secrets::new(), NOW, 1).unwrap();
        let made = first.get_mut(names::ENGINE_KEYS).unwrap().remove("tokenization.key").unwrap();
        let later = run(&first, NOW, 2).unwrap();
        assert_eq!(later.keys().collect::<Vec<_>>(), [names::ENGINE_KEYS]);
        let keys = &later[names::ENGINE_KEYS];
        assert_ne!(keys["tokenization.key"], made);
        assert_eq!(keys.len(), first[names::ENGINE_KEYS].len() + 1);
        assert!(first[names::ENGINE_KEYS].iter().all(|(name, value)| &keys[name] == value));
    }

    #[test]
    fn keys_of_a_former_tenant_are_taken_over_only_by_its_id() {
        let first = run(&Secrets::new(), NOW, 1).unwrap();
        for adopt in [None, Some("3")] {
            let error = run_as("2", adopt, &first, NOW, 2).unwrap_err();
            assert!(matches!(&error, GenerateError::Foreign { former, .. } if former == "1"), "{error}");
        }
        let adopted = run_as("2", Some("1"), &first, NOW, 2).unwrap();
        assert_eq!(adopted.keys().collect::<Vec<_>>(), [names::ENGINE_KEYS]);
        let keys = &adopted[names::ENGINE_KEYS];
        assert_eq!(keys["audit-signing.key"], first[names::ENGINE_KEYS]["audit-signing.key"]);
        assert_eq!(keys[TENANT_ID].as_str(), "2");
        // From then on they are its own.
        assert!(run_as("2", None, &merged(&first, adopted), NOW, 3).unwrap().is_empty());
    }

    #[test]
    fn digests_change_with_a_value_and_show_none() {
        let first = run(&Secrets::new(), NOW, 1).unwrap();
        let mut changed = first.clone();
        changed.get_mut(names::API_KEYS).unwrap().insert("token.key".into(), Zeroizing::new("x".into()));
        let (before, after) = (digests(&first), digests(&changed));
        assert_ne!(before[names::API_KEYS]["token.key"], after[names::API_KEYS]["token.key"]);
        assert_eq!(before[names::API_KEYS]["cursor.key"], after[names::API_KEYS]["cursor.key"]);
        // Another tenant's digest of the same value is another.
        let other = run(&Secrets::new(), NOW, 2).unwrap();
        let mut same = other.clone();
        same.insert("s".into(), Content::from([("k".into(), Zeroizing::new("x".into()))]));
        let mut mine = first.clone();
        mine.insert("s".into(), same["s"].clone());
        assert_ne!(digests(&same)["s"], digests(&mine)["s"]);
        assert!(digests(&Secrets::new()).is_empty());
    }

    #[test]
    fn keys_have_the_promised_forms() {
        let made = run(&Secrets::new(), NOW, 1).unwrap();
        for (secret, key) in [
            (names::ENGINE_KEYS, "fingerprint.key"),
            (names::ENGINE_KEYS, "commitment.key"),
            (names::ENGINE_KEYS, "reply.key"),
            (names::ENGINE_KEYS, "tokenization.key"),
            (names::API_KEYS, "token.key"),
            (names::API_KEYS, "cursor.key"),
            (names::API_KEYS, "idempotency.key"),
        ] {
            assert_eq!(STANDARD.decode(made[secret][key].as_bytes()).unwrap().len(), 32, "{key}");
        }
        let line = made[names::ENGINE_KEYS]["audit-public.key"].trim_end().to_owned();
        let parts: Vec<&str> = line.splitn(3, '+').collect();
        assert_eq!(parts[0], "novacrm.io/acme/audit");
        assert_eq!(parts[1].len(), 8);
        assert_eq!(STANDARD.decode(parts[2]).unwrap().len(), 33);
        SigningKey::from_pkcs8_pem(&made[names::ENGINE_KEYS]["audit-signing.key"]).unwrap();
    }
}
