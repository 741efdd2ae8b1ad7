//! A folder in; the certificates and keys of one control plane in it out. They live as long as a test run.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

/// First address of the range that Services get theirs from; the API server's own Service has it.
const FIRST_SERVICE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// A client certificate and its key, as PEM.
pub(super) struct ClientCertificate {
    pub certificate: String,
    pub key: String,
}

/// The authority of one control plane.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The cryptography failed.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl Authority {
    /// Makes an authority and writes what the servers need at an address: `ca.crt`, `apiserver.{crt,key}`,
    /// `kubelet.{crt,key}`, the API server's own certificate as a client, `kubelet-client.{crt,key}`, and the key pair
    /// of service account tokens, `service-account.{pub,key}`.
    pub(super) fn write(folder: &Path, address: IpAddr) -> Result<Self, PkiError> {
        let mut params = named("novacrm-test-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let names = [
            SanType::IpAddress(address),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(FIRST_SERVICE_ADDRESS),
            SanType::DnsName("localhost".try_into()?),
            SanType::DnsName("kubernetes.default.svc".try_into()?),
        ];
        for (name, names) in
            [("apiserver", names.as_slice()), ("kubelet", names.get(..2).unwrap_or_default())]
        {
            let mut server = named(name);
            server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            server.subject_alt_names = names.to_vec();
            let key = KeyPair::generate()?;
            let certificate = server.signed_by(&key, &issuer)?;
            write(folder, &format!("{name}.crt"), &certificate.pem())?;
            write(folder, &format!("{name}.key"), &key.serialize_pem())?;
        }
        let tokens = KeyPair::generate()?;

        write(folder, "ca.crt", &issuer.pem())?;
        write(folder, "service-account.pub", &tokens.public_key_pem())?;
        write(folder, "service-account.key", &tokens.serialize_pem())?;
        let authority = Self { issuer };
        let client = authority.client("kube-apiserver", Some("system:masters"))?;
        write(folder, "kubelet-client.crt", &client.certificate)?;
        write(folder, "kubelet-client.key", &client.key)?;
        Ok(authority)
    }

    /// The authority's certificate, as PEM.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a client: its user and group.
    pub(super) fn client(&self, user: &str, group: Option<&str>) -> Result<ClientCertificate, PkiError> {
        let mut params = named(user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ClientCertificate { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Writes a file that only its owner reads.
pub(super) fn write(folder: &Path, name: &str, content: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(folder.join(name))?.write_all(content.as_bytes())
}
