//! Authorities and certificates: whom they name and how long they live in, PEM out. No clock and no IO.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, KeypairBytes};
use rand::CryptoRng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The cryptography failed.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A key could not be written as PEM.
    #[error("a key could not be written as PEM")]
    Encoding,
}

/// Kinds of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Between our own processes; drawn from the generator that is handed in.
    Ed25519,
    /// For the API server, which may be built for FIPS 140 and then knows no Ed25519; drawn from the system.
    P256,
}

impl KeyKind {
    /// A new key, as PKCS #8 PEM.
    fn make(self, rng: &mut impl CryptoRng) -> Result<Zeroizing<String>, PkiError> {
        match self {
            Self::Ed25519 => pem_of(&signing_key(rng)),
            Self::P256 => Ok(Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem())),
        }
    }
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

/// A certificate and its key.
pub(crate) struct Made {
    /// PEM.
    pub(crate) certificate: String,
    /// PKCS #8 PEM.
    pub(crate) key: Zeroizing<String>,
}

/// Makes an authority that may issue certificates and no further authorities. Its name gets a number, so that the
/// authorities of one owner can be told apart.
pub(crate) fn authority(
    name: &str,
    kind: KeyKind,
    validity: Validity,
    rng: &mut impl CryptoRng,
) -> Result<(Made, Issuer<'static, KeyPair>), PkiError> {
    let pem = kind.make(rng)?;
    let key = KeyPair::from_pem(&pem)?;
    let serial = serial(rng);
    let mut params = named(format!("{name} {}", hex::encode(serial)), serial, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?.pem();
    Ok((Made { certificate, key: pem }, Issuer::new(params, key)))
}

/// The issuer of certificates that stands first in `certificates`, if `key` is its own.
pub(crate) fn issuer(certificates: &str, key: &str) -> Option<Issuer<'static, KeyPair>> {
    if !is_key_of(&Certificate::first(certificates)?, key) {
        return None;
    }
    Issuer::from_ca_cert_pem(certificates, KeyPair::from_pem(key).ok()?).ok()
}

/// Whether a key (PKCS #8 PEM) is that of a certificate.
pub(crate) fn is_key_of(certificate: &Certificate, key: &str) -> bool {
    KeyPair::from_pem(key).is_ok_and(|key| key.subject_public_key_info() == certificate.public_key)
}

/// Whom a certificate names, and in which roles.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) alternatives: Vec<SanType>,
    pub(crate) roles: &'a [ExtendedKeyUsagePurpose],
}

/// Makes a certificate with a key of its own.
pub(crate) fn issue(
    subject: Subject<'_>,
    kind: KeyKind,
    validity: Validity,
    issuer: &Issuer<'_, KeyPair>,
    rng: &mut impl CryptoRng,
) -> Result<Made, PkiError> {
    let pem = kind.make(rng)?;
    let key = KeyPair::from_pem(&pem)?;
    let mut params = named(subject.name.to_owned(), serial(rng), validity);
    params.subject_alt_names = subject.alternatives;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = subject.roles.to_vec();
    params.use_authority_key_identifier_extension = true;
    Ok(Made { certificate: params.signed_by(&key, issuer)?.pem(), key: pem })
}

fn named(name: String, serial: [u8; 16], validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params
}

/// A new Ed25519 key.
pub(crate) fn signing_key(rng: &mut impl CryptoRng) -> SigningKey {
    let mut seed = Zeroizing::new([0_u8; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    SigningKey::from_bytes(&seed)
}

/// PKCS #8 PEM of the first form (RFC 8410, section 7), without the public key: OpenSSL 3.0, and with it curl and Python,
/// cannot read the other.
pub(crate) fn pem_of(key: &SigningKey) -> Result<Zeroizing<String>, PkiError> {
    let bare = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    bare.to_pkcs8_pem(LineEnding::LF).map_err(|_| PkiError::Encoding)
}

fn serial(rng: &mut impl CryptoRng) -> [u8; 16] {
    let mut serial = [0_u8; 16];
    rng.fill_bytes(&mut serial);
    // RFC 5280, 4.1.2.2: a positive integer.
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    serial
}

/// What renewal needs to know of a certificate.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    /// SubjectPublicKeyInfo, DER.
    pub(crate) public_key: Vec<u8>,
    /// DNS names among the alternative names.
    pub(crate) dns_names: Vec<String>,
    pub(crate) validity: Validity,
}

impl Certificate {
    /// Every certificate in a PEM text; what is none is passed over.
    pub(crate) fn all(pem: &str) -> Vec<Self> {
        Pem::iter_from_buffer(pem.as_bytes())
            .filter_map(|block| {
                let block = block.ok()?;
                let certificate = block.parse_x509().ok()?;
                let encoded = STANDARD.encode(&block.contents);
                let lines: Vec<&str> =
                    encoded.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
                let names = certificate.subject_alternative_name().ok().flatten();
                let dns_names = names
                    .iter()
                    .flat_map(|names| &names.value.general_names)
                    .filter_map(|name| match name {
                        x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
                        _ => None,
                    })
                    .collect();
                Some(Self {
                    pem: format!(
                        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                        lines.join("\n")
                    ),
                    subject: certificate.subject().as_raw().to_vec(),
                    issuer: certificate.issuer().as_raw().to_vec(),
                    public_key: certificate.public_key().raw.to_vec(),
                    dns_names,
                    validity: Validity {
                        not_before: certificate.validity().not_before.to_datetime(),
                        not_after: certificate.validity().not_after.to_datetime(),
                    },
                })
            })
            .collect()
    }

    /// The first of [`Certificate::all`].
    pub(crate) fn first(pem: &str) -> Option<Self> {
        Self::all(pem).into_iter().next()
    }

    /// The certificates that have not expired, as PEM.
    pub(crate) fn unexpired(pem: &str, now: OffsetDateTime) -> String {
        Self::all(pem)
            .into_iter()
            .filter(|certificate| now < certificate.validity.not_after)
            .map(|certificate| certificate.pem)
            .collect()
    }

    /// When two thirds of its life are over and it should be renewed.
    pub(crate) fn due_at(&self) -> OffsetDateTime {
        let Validity { not_before, not_after } = self.validity;
        not_before + (not_after - not_before) * 2 / 3
    }

    /// Whether it should be renewed.
    pub(crate) fn is_due(&self, now: OffsetDateTime) -> bool {
        now >= self.due_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_every_library_reads_it() {
        let pem = KeyKind::Ed25519.make(&mut rand::rng()).unwrap();
        let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(lines).unwrap();
        // RFC 8410, section 7: version 0, Ed25519, and a key of 32 bytes in two strings.
        assert_eq!(hex::encode(&der[..16]), "302e020100300506032b657004220420");
        assert_eq!(der.len(), 48);
        assert!(KeyPair::from_pem(&pem).is_ok());
    }
}
