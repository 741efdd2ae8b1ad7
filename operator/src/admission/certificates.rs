//! The webhook's authority and certificate, the time and randomness in; what must be written, or when to look
//! again, out. No clock and no IO.
//!
//! The authority that signs next stands first in `ca.crt`, the former ones follow until they expire. A new
//! authority signs nothing before the API servers have trusted it for [`Lives::settle`]; a certificate is renewed
//! when two thirds of its life are over, so a replica that learns of it late still serves a valid one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use rand::CryptoRng;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::pki::{self, Certificate, KeyKind, PkiError, Validity};

/// Key of the authorities, newest first (PEM).
pub(super) const CA: &str = "ca.crt";
/// Key of the newest authority's key (PKCS #8 PEM).
const CA_KEY: &str = "ca.key";
/// Key of the certificate that is served (PEM).
pub(super) const CERTIFICATE: &str = "tls.crt";
/// Key of its key (PKCS #8 PEM).
pub(super) const KEY: &str = "tls.key";

/// Clocks of one cluster differ by less than this.
const SKEW: Duration = Duration::minutes(5);

/// What the Secret holds.
pub(super) type Content = BTreeMap<String, Zeroizing<String>>;

/// How long things live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// An authority.
    pub authority: Duration,
    /// A certificate; a third of it must be much longer than [`Lives::settle`].
    pub certificate: Duration,
    /// How long the API servers must have trusted an authority before it signs what they see.
    pub settle: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            authority: Duration::days(5 * 365),
            certificate: Duration::days(90),
            settle: Duration::minutes(1),
        }
    }
}

impl Lives {
    fn validity(self, life: Duration, now: OffsetDateTime) -> Validity {
        // A life of seconds, as in tests, would be over before it began.
        Validity { not_before: now - SKEW.min(self.certificate / 10), not_after: now + life }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Write this.
    Write(Content),
    /// Nothing, until then.
    Wait(OffsetDateTime),
}

/// Decides what is to be done. `trusted`: the API servers have trusted the newest authority for long enough.
///
/// What is absent, expired or damaged is made anew: nothing but this webhook depends on it.
pub(super) fn step(
    existing: &Content,
    (namespace, service): (&str, &str),
    lives: Lives,
    trusted: bool,
    now: OffsetDateTime,
    rng: &mut impl CryptoRng,
) -> Result<Step, PkiError> {
    let text = |key: &str| existing.get(key).map_or("", |value| value.as_str());
    let newest = Certificate::first(text(CA)).filter(|newest| now < newest.validity.not_after);
    let issuer = pki::issuer(text(CA), text(CA_KEY));
    let served = served(existing, now)
        .filter(|served| dns_names(namespace, service).iter().all(|name| served.dns_names.contains(name)));

    let mut content = existing.clone();
    let (issuer, issuer_ends) = match (newest, issuer) {
        (Some(newest), Some(issuer)) if !newest.is_due(now) => match served {
            Some(served) if !served.is_due(now) => {
                return Ok(Step::Wait(served.due_at().min(newest.due_at())));
            }
            Some(served) if served.issuer != newest.subject && !trusted => {
                return Ok(Step::Wait(now + lives.settle));
            }
            _ => (issuer, newest.validity.not_after),
        },
        _ => {
            let name = format!("{service}.{namespace}.svc");
            let validity = lives.validity(lives.authority, now);
            let (made, issuer) = pki::authority(&name, KeyKind::P256, validity, rng)?;
            let former = Certificate::unexpired(text(CA), now);
            content.insert(CA.to_owned(), Zeroizing::new(format!("{}{former}", made.certificate)));
            content.insert(CA_KEY.to_owned(), made.key);
            // What is served goes on until the new authority is trusted.
            if served.is_some() {
                return Ok(Step::Write(content));
            }
            (issuer, validity.not_after)
        }
    };
    let mut alternatives = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    for name in dns_names(namespace, service) {
        alternatives.push(SanType::DnsName(name.try_into()?));
    }
    let subject = pki::Subject { name: service, alternatives, roles: &[ExtendedKeyUsagePurpose::ServerAuth] };
    let mut validity = lives.validity(lives.certificate, now);
    validity.not_after = validity.not_after.min(issuer_ends);
    let made = pki::issue(subject, KeyKind::P256, validity, &issuer, rng)?;
    content.insert(CERTIFICATE.to_owned(), Zeroizing::new(made.certificate));
    content.insert(KEY.to_owned(), made.key);
    Ok(Step::Write(content))
}

/// The names by which API servers call the Service, and that of a test on this machine.
fn dns_names(namespace: &str, service: &str) -> [String; 3] {
    [
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        "localhost".to_owned(),
    ]
}

/// The certificate that replicas serve, if it is of use: valid, with its key, of an authority that is trusted.
pub(super) fn served(content: &Content, now: OffsetDateTime) -> Option<Certificate> {
    let served = Certificate::first(content.get(CERTIFICATE)?)?;
    let authorities = Certificate::all(content.get(CA)?);
    let issued = authorities.iter().any(|authority| authority.subject == served.issuer);
    let own = pki::is_key_of(&served, content.get(KEY)?);
    (issued && own && now < served.validity.not_after).then_some(served)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const NAMES: (&str, &str) = ("novacrm-system", "novacrm-webhook");

    fn run(existing: &Content, trusted: bool, now: OffsetDateTime) -> Step {
        // Other times, other numbers: authorities are told apart by them.
        let mut rng = StdRng::seed_from_u64(now.unix_timestamp().unsigned_abs());
        step(existing, NAMES, Lives::default(), trusted, now, &mut rng).unwrap()
    }

    fn written(existing: &Content, trusted: bool, now: OffsetDateTime) -> Content {
        match run(existing, trusted, now) {
            Step::Write(content) => content,
            Step::Wait(until) => panic!("waits until {until}"),
        }
    }

    fn first() -> Content {
        written(&Content::new(), false, NOW)
    }

    #[test]
    fn the_first_step_makes_an_authority_and_a_certificate_for_the_service() {
        let content = first();
        let served = served(&content, NOW).unwrap();
        assert!(served.dns_names.contains(&"novacrm-webhook.novacrm-system.svc".to_owned()));
        assert_eq!(Certificate::all(&content[CA]).len(), 1);
        novacrm_service::tls::install_provider();
        novacrm_service::tls::ServerCertificate::new(&content[CERTIFICATE], &content[KEY]).unwrap();
    }

    #[test]
    fn nothing_is_written_before_two_thirds_of_the_life_are_over() {
        let content = first();
        let Step::Wait(until) = run(&content, true, NOW + Duration::days(59)) else { panic!("writes") };
        assert!(until > NOW + Duration::days(59) && until < NOW + Duration::days(61), "{until}");
    }

    #[test]
    fn a_certificate_is_renewed_by_the_same_authority() {
        let content = first();
        let renewed = written(&content, true, NOW + Duration::days(61));
        assert_eq!(renewed[CA], content[CA]);
        assert_ne!(renewed[CERTIFICATE], content[CERTIFICATE]);
        assert!(served(&renewed, NOW + Duration::days(62)).is_some());
    }

    #[test]
    fn a_new_authority_is_added_before_it_signs_and_signs_only_when_trusted() {
        let mut content = first();
        let mut now = NOW;
        // Renewals of the certificate, until the authority is due.
        let due = Certificate::first(&content[CA]).unwrap().due_at();
        while now + Duration::days(61) < due {
            now += Duration::days(61);
            content = written(&content, true, now);
        }
        let added = written(&content, true, due);
        assert_eq!(Certificate::all(&added[CA]).len(), 2);
        assert_eq!(added[CERTIFICATE], content[CERTIFICATE]);
        // The certificate is due, and its issuer's successor not trusted yet.
        let later = now + Duration::days(61);
        assert_eq!(run(&added, false, later), Step::Wait(later + Lives::default().settle));
        let signed = written(&added, true, later);
        let newest = Certificate::first(&signed[CA]).unwrap();
        assert_eq!(served(&signed, later).unwrap().issuer, newest.subject);
        // The former authority stays trusted until it expires.
        assert_eq!(Certificate::all(&signed[CA]).len(), 2);
    }

    #[test]
    fn what_is_lost_expired_or_damaged_is_made_anew() {
        let whole = first();
        for key in [CA, CA_KEY, CERTIFICATE, KEY] {
            for damaged in [None, Some("-----BEGIN NOTHING-----")] {
                let mut content = whole.clone();
                content.remove(key);
                if let Some(damaged) = damaged {
                    content.insert(key.to_owned(), Zeroizing::new(damaged.to_owned()));
                }
                let healed = written(&content, false, NOW);
                assert!(served(&healed, NOW).is_some(), "{key}");
                assert!(matches!(run(&healed, true, NOW), Step::Wait(_)), "{key}");
            }
        }
        let years_later = NOW + Duration::days(10 * 365);
        let healed = written(&whole, false, years_later);
        assert!(served(&healed, years_later).is_some());
        assert_eq!(Certificate::all(&healed[CA]).len(), 1);
    }

    #[test]
    fn a_key_of_another_certificate_counts_as_damage() {
        let mut content = first();
        let other = written(&Content::new(), false, NOW);
        content.insert(KEY.to_owned(), other[KEY].clone());
        assert!(served(&content, NOW).is_none());
        assert!(served(&written(&content, false, NOW), NOW).is_some());
    }

    #[test]
    fn another_name_of_the_service_makes_another_certificate() {
        let mut rng = StdRng::seed_from_u64(1);
        let names = ("elsewhere", "novacrm-webhook");
        let Step::Write(content) = step(&first(), names, Lives::default(), true, NOW, &mut rng).unwrap()
        else {
            panic!("waits")
        };
        assert!(
            served(&content, NOW).unwrap().dns_names.contains(&"novacrm-webhook.elsewhere.svc".to_owned())
        );
    }
}
