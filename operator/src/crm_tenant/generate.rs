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
use novacrm_crds::SecretKeyReference;
use novacrm_engine_core::record::{CheckpointKey, log};
use rand::distr::Alphanumeric;
use rand::{CryptoRng, Rng};
use rcgen::{ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::crm_tenant::{database, names};
use crate::pki::{self, Certificate, KeyKind, PkiError, Validity, pem_of, signing_key};

/// Life of a certificate.
pub const CERTIFICATE_LIFE: Duration = Duration::days(90);
/// Life of a tenant's certificate authority.
pub const AUTHORITY_LIFE: Duration = Duration::days(5 * 365);
/// Clocks of one cluster differ by less than this.
const SKEW: Duration = Duration::minutes(5);

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
}

/// Makes what is absent and renews what is due. The answer holds the Secrets to write, each in full; those that
/// are as they should be are not in it.
///
/// # Errors
/// When something was lost that must not be made anew.
pub fn generate(
    namespace: &str,
    admin: &SecretKeyReference,
    existing: &Secrets,
    server: &database::Server,
    now: OffsetDateTime,
    rng: &mut impl CryptoRng,
) -> Result<Secrets, GenerateError> {
    let mut made = Secrets::new();
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
    made.insert(
        names::ENGINE_KEYS.to_owned(),
        engine_keys(namespace, existing.get(names::ENGINE_KEYS), rng)?,
    );
    let api_keys = ["cursor.key", "idempotency.key", "token.key"];
    made.insert(names::API_KEYS.to_owned(), random_keys(&api_keys, existing.get(names::API_KEYS), rng));
    let mut password = existing.get(&admin.name).cloned().unwrap_or_default();
    password.entry(admin.key.clone()).or_insert_with(|| random_password(20, rng));
    made.insert(admin.name.clone(), password);
    let passwords = database::Passwords::keep_or_make(existing.get(names::DATABASE), rng);
    made.insert(names::DATABASE.to_owned(), database::urls(namespace, server, &passwords));
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
    namespace: &str,
    existing: Option<&Content>,
    rng: &mut impl CryptoRng,
) -> Result<Content, GenerateError> {
    const SIGNING: &str = "audit-signing.key";
    const PUBLIC: &str = "audit-public.key";
    let mut content = random_keys(&["fingerprint.key", "commitment.key", "reply.key"], existing, rng);
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
    let log = CheckpointKey::new(&log::origin(namespace), signing).map_err(|_| PkiError::Encoding)?;
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

    fn server() -> database::Server {
        database::Server { host: "127.0.0.1".to_owned(), port: 5432 }
    }

    fn run(existing: &Secrets, now: OffsetDateTime, seed: u64) -> Result<Secrets, GenerateError> {
        generate("acme", &admin(), existing, &server(), now, &mut StdRng::seed_from_u64(seed))
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
        let other = generate("other", &admin(), &Secrets::new(), &server(), NOW, &mut rng).unwrap();
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
    fn keys_have_the_promised_forms() {
        let made = run(&Secrets::new(), NOW, 1).unwrap();
        for (secret, key) in [
            (names::ENGINE_KEYS, "fingerprint.key"),
            (names::ENGINE_KEYS, "commitment.key"),
            (names::ENGINE_KEYS, "reply.key"),
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
