//! Tokens: signed access tokens of ten minutes, random refresh tokens, the CSRF token of a session, and the device
//! cookie, by which a browser that logged in to an account before is known.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use novacrm_api_domain::user::Role;
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ServiceError;
use super::keys::Key;

/// How long an access token holds.
pub const ACCESS_LIFETIME: Duration = Duration::minutes(10);
/// How long a session lasts at most, however often it is refreshed.
pub const SESSION_LIFETIME: Duration = Duration::days(7);

/// How long a device is known after a log-in.
pub const DEVICE_LIFETIME: Duration = Duration::days(180);

const AUDIENCE: &str = "novacrm-api";

/// Who asks: what a valid access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: Uuid,
    /// Their role.
    pub role: Role,
    /// Their session.
    pub session: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: i64,
    iat: i64,
    sub: Uuid,
    sid: Uuid,
    role: Role,
}

/// A keyed hash of the address of an account: names it in logs and limits without telling who it is. It cannot be
/// computed, nor compared with another tenant's, without the tenant's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccountHash([u8; 16]);

impl AccountHash {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Display for AccountHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AccountHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes of a device cookie before its signature: an identifier and the second it was made in.
const DEVICE_BYTES: usize = 24;

/// Makes and checks tokens.
pub struct Tokens {
    encode: EncodingKey,
    decode: DecodingKey,
    header: Header,
    validation: Validation,
    issuer: String,
    csrf: Key,
    account: Key,
    device: Key,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    /// Tokens of a tenant. The issuer names the tenant, so that no token holds at another one, whatever its key.
    ///
    /// # Errors
    /// Never in practice.
    pub fn new(key: &Key, tenant: &str) -> Result<Self, ServiceError> {
        let derive = |label: &[u8]| -> Result<[u8; 32], ServiceError> {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes())
                .map_err(|_| ServiceError::Internal("a key of the wrong length"))?;
            mac.update(label);
            Ok(mac.finalize().into_bytes().into())
        };
        let signing = Zeroizing::new(derive(b"access")?);
        let issuer = format!("novacrm.io/{tenant}");
        let mut header = Header::new(Algorithm::HS256);
        // Names the key without telling of it: a new key has another name.
        header.kid = Some(hex::encode(derive(b"kid")?.get(..8).unwrap_or_default()));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below against our own clock.
        validation.validate_exp = false;
        Ok(Self {
            encode: EncodingKey::from_secret(signing.as_slice()),
            decode: DecodingKey::from_secret(signing.as_slice()),
            header,
            validation,
            issuer,
            csrf: Key::new(derive(b"csrf")?),
            account: Key::new(derive(b"account")?),
            device: Key::new(derive(b"device")?),
        })
    }

    /// Makes an access token.
    ///
    /// # Errors
    /// Never in practice.
    pub fn access(&self, caller: &Caller, now: OffsetDateTime) -> Result<String, ServiceError> {
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            exp: (now + ACCESS_LIFETIME).unix_timestamp(),
            iat: now.unix_timestamp(),
            sub: caller.user,
            sid: caller.session,
            role: caller.role,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.encode)
            .map_err(|_| ServiceError::Internal("a token cannot be written"))
    }

    /// Checks an access token: algorithm, key, signature, issuer, audience, expiry.
    ///
    /// # Errors
    /// When any of these does not hold.
    pub fn check(&self, token: &str, now: OffsetDateTime) -> Result<Caller, ServiceError> {
        let refused = |_| ServiceError::Unauthenticated;
        let data = jsonwebtoken::decode::<Claims>(token, &self.decode, &self.validation).map_err(refused)?;
        if data.header.kid != self.header.kid || data.claims.exp <= now.unix_timestamp() {
            return Err(ServiceError::Unauthenticated);
        }
        Ok(Caller { user: data.claims.sub, role: data.claims.role, session: data.claims.sid })
    }

    /// The CSRF token of a session: derived, so that it need not be stored.
    ///
    /// # Errors
    /// Never in practice.
    pub fn csrf(&self, session: Uuid) -> Result<String, ServiceError> {
        Ok(URL_SAFE_NO_PAD.encode(self.csrf_mac(session)?.finalize().into_bytes()))
    }

    /// Whether a CSRF token belongs to the session; in constant time.
    #[must_use]
    pub fn csrf_matches(&self, session: Uuid, token: &str) -> bool {
        let Ok(mac) = self.csrf_mac(session) else { return false };
        URL_SAFE_NO_PAD.decode(token).is_ok_and(|token| mac.verify_slice(&token).is_ok())
    }

    fn csrf_mac(&self, session: Uuid) -> Result<Hmac<Sha256>, ServiceError> {
        let mut mac = mac(&self.csrf)?;
        mac.update(session.as_bytes());
        Ok(mac)
    }

    /// The keyed hash of an account's address, as `EmailAddress::key` writes it.
    ///
    /// # Errors
    /// Never in practice.
    pub fn account(&self, email_key: &str) -> Result<AccountHash, ServiceError> {
        let mut mac = mac(&self.account)?;
        mac.update(email_key.as_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let mut hash = [0; 16];
        hash.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Ok(AccountHash(hash))
    }

    /// A new device cookie for an account that was logged in to.
    ///
    /// # Errors
    /// Never in practice.
    pub fn new_device(&self, account: AccountHash, now: OffsetDateTime) -> Result<String, ServiceError> {
        let mut bytes = Uuid::new_v4().as_bytes().to_vec();
        bytes.extend(now.unix_timestamp().to_be_bytes());
        let signature = self.device_mac(account, &bytes)?.finalize().into_bytes();
        bytes.extend(signature);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The device that a cookie names, when it was made for this account and is not too old. The signature is compared
    /// in constant time.
    #[must_use]
    pub fn device(&self, account: AccountHash, cookie: &str, now: OffsetDateTime) -> Option<Uuid> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (named, signature) = bytes.split_at_checked(DEVICE_BYTES)?;
        self.device_mac(account, named).ok()?.verify_slice(signature).ok()?;
        let (id, made) = named.split_at_checked(16)?;
        let made = i64::from_be_bytes(made.try_into().ok()?);
        let age = now.unix_timestamp().saturating_sub(made);
        (age < DEVICE_LIFETIME.whole_seconds()).then(|| Uuid::from_slice(id).ok())?
    }

    fn device_mac(&self, account: AccountHash, named: &[u8]) -> Result<Hmac<Sha256>, ServiceError> {
        let mut mac = mac(&self.device)?;
        mac.update(account.bytes());
        mac.update(named);
        Ok(mac)
    }
}

fn mac(key: &Key) -> Result<Hmac<Sha256>, ServiceError> {
    Hmac::new_from_slice(key.bytes()).map_err(|_| ServiceError::Internal("a key of the wrong length"))
}

/// A new refresh token: 32 random bytes.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_refresh() -> Result<String, ServiceError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rngs::OsRng
        .try_fill_bytes(bytes.as_mut_slice())
        .map_err(|_| ServiceError::Internal("the system has no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

/// What is stored of a refresh token. It is random, so a plain hash is enough.
#[must_use]
pub fn refresh_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller { user: Uuid::now_v7(), role: Role::Sales, session: Uuid::now_v7() }
    }

    fn tokens(key: u8, tenant: &str) -> Tokens {
        Tokens::new(&Key::new([key; 32]), tenant).unwrap()
    }

    #[test]
    fn a_token_holds_for_ten_minutes_at_its_own_tenant() {
        let (now, caller) = (OffsetDateTime::now_utc(), caller());
        let token = tokens(1, "a").access(&caller, now).unwrap();
        assert_eq!(tokens(1, "a").check(&token, now + Duration::seconds(599)).unwrap(), caller);
        assert!(tokens(1, "a").check(&token, now + Duration::seconds(600)).is_err());
        assert!(tokens(1, "b").check(&token, now).is_err(), "another tenant with the same key");
        assert!(tokens(2, "a").check(&token, now).is_err(), "another key");
    }

    #[test]
    fn no_other_algorithm_is_taken() {
        let (now, tokens) = (OffsetDateTime::now_utc(), tokens(1, "a"));
        let token = tokens.access(&caller(), now).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        for algorithm in ["none", "None", "HS384", "RS256"] {
            let header = format!("{{\"typ\":\"JWT\",\"alg\":\"{algorithm}\"}}");
            let header = URL_SAFE_NO_PAD.encode(header);
            for signature in [parts[2], ""] {
                assert!(tokens.check(&format!("{header}.{}.{signature}", parts[1]), now).is_err());
            }
        }
    }

    #[test]
    fn a_csrf_token_belongs_to_one_session() {
        let tokens = tokens(1, "a");
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        let token = tokens.csrf(mine).unwrap();
        assert!(tokens.csrf_matches(mine, &token));
        assert!(!tokens.csrf_matches(other, &token));
        assert!(!tokens.csrf_matches(mine, ""));
    }

    #[test]
    fn a_device_is_known_for_one_account_of_one_tenant_for_a_time() {
        let (now, tokens) = (OffsetDateTime::now_utc(), tokens(1, "a"));
        let (mine, other) = (tokens.account("a@a.example").unwrap(), tokens.account("b@a.example").unwrap());
        let cookie = tokens.new_device(mine, now).unwrap();
        let device = tokens.device(mine, &cookie, now).unwrap();
        assert_eq!(tokens.device(mine, &cookie, now + DEVICE_LIFETIME - Duration::SECOND), Some(device));
        assert_eq!(tokens.device(mine, &cookie, now + DEVICE_LIFETIME), None);
        assert_eq!(tokens.device(other, &cookie, now), None);
        let elsewhere = super::tests::tokens(2, "a");
        assert_eq!(elsewhere.device(elsewhere.account("a@a.example").unwrap(), &cookie, now), None);
        for place in 0..cookie.len() {
            let mut bytes = cookie.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            // The last character holds bits that are not part of the value.
            if forged != cookie && place + 1 < cookie.len() {
                assert_eq!(tokens.device(mine, &forged, now), None, "{place}");
            }
        }
        for broken in ["", "AAAA", "é", &"A".repeat(5000)] {
            assert_eq!(tokens.device(mine, broken, now), None);
        }
    }
}
