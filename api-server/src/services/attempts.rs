//! How many attempts to log in may fail: budgets per device, per account and source, per source, per account and in
//! total. An attempt in, leave to check its password or a refusal out.
//!
//! The model is OWASP's device cookie protocol ("Slow Down Online Guessing Attacks with Device Cookies"), extended by
//! sources, so that nobody can lock somebody else out of an account:
//!
//! - Only failures count. An attempt is charged before its password is checked, so that parallel attempts cannot pass
//!   together, and what was charged is given back when the password was right.
//! - A browser that logged in to the account before shows a device cookie and has a budget of its own. Nobody else can
//!   use that budget up.
//! - Every other attempt is charged to the pair of account and source, and to the source. Failures of one source
//!   therefore never refuse another source.
//! - The budgets of an account and of all attempts together refuse only sources that failed in the last quarter of an
//!   hour. While an attack from many sources lasts, each of them has one attempt in that time, and a source that did
//!   not fail still gets in.
//!
//! A source is an IPv4 address or an IPv6 network of 64 bits, which is what one customer of a provider has at least
//! (RFC 6177). Networks of 48 bits have a budget too, since those are easy to come by.
//!
//! Memory is bounded: at most [`ENTRIES`] budgets are kept, those used last. A budget that was dropped is full again.
//! Keys are keyed hashes, so no address of a person or machine stays in memory.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

/// Budgets that are kept at most; some 100 bytes each.
pub const ENTRIES: usize = 32_768;

/// How many failures are allowed at once, and how many seconds it takes until one more is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit {
    burst: f64,
    seconds: f64,
}

/// Failures of a device that logged in before. When they are used up it counts as any other.
const DEVICE: Limit = Limit { burst: 10.0, seconds: 60.0 };
/// Failures at one account from one source.
const PAIR: Limit = Limit { burst: 5.0, seconds: 12.0 };
/// Failures at one account from one IPv6 network of 48 bits.
const WIDE_PAIR: Limit = Limit { burst: 20.0, seconds: 3.0 };
/// Failures from one source, at whatever account.
const SOURCE: Limit = Limit { burst: 30.0, seconds: 2.0 };
/// Failures from one IPv6 network of 48 bits.
const WIDE_SOURCE: Limit = Limit { burst: 120.0, seconds: 0.5 };
/// Failures at one account from everywhere before sources that failed lately are refused.
const ACCOUNT: Limit = Limit { burst: 100.0, seconds: 6.0 };
/// Failures at all accounts before sources that failed lately are refused.
const TOTAL: Limit = Limit { burst: 600.0, seconds: 0.1 };
/// One failure of a source is remembered for so long.
const LATELY: Limit = Limit { burst: 1.0, seconds: 900.0 };
/// Wrong current passwords when a session changes its password.
const CHANGE: Limit = Limit { burst: 5.0, seconds: 60.0 };

/// Where a request comes from, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    near: IpAddr,
    wide: Option<IpAddr>,
}

impl Source {
    /// The source of an address: the address itself for IPv4 (also where it is mapped into IPv6), its networks of 64
    /// and 48 bits for IPv6. Requests without an address are one source.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> Self {
        let masked = |address: Ipv6Addr, bits: u32| {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> bits)))
        };
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => Self { near: masked(address, 64), wide: Some(masked(address, 48)) },
            Some(address) => Self { near: address, wide: None },
            None => Self { near: IpAddr::V6(Ipv6Addr::UNSPECIFIED), wide: None },
        }
    }

    /// The widest network that is counted as one.
    fn widest(&self) -> IpAddr {
        self.wide.unwrap_or(self.near)
    }
}

/// Which budget refused an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// That of the account and the source.
    Pair,
    /// That of the source.
    Source,
    /// That of the account, and the source failed lately.
    Account,
    /// That of all attempts, and the source failed lately.
    Total,
    /// That of a session which changes its password.
    Change,
}

/// An attempt that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which budget is used up.
    pub by: Exhausted,
    /// Seconds until another attempt makes sense; at least one.
    pub retry_after: u32,
}

/// What an attempt was charged; see [`Attempts::give_back`].
#[derive(Debug, Default)]
#[must_use = "a right password gives back what was charged"]
pub struct Charge {
    budgets: Vec<(Budget, Limit, f64)>,
    of_device: bool,
}

impl Charge {
    /// It was charged to the budget of a known device.
    #[must_use]
    pub fn is_of_device(&self) -> bool {
        self.of_device
    }
}

type Key = [u8; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Budget {
    Total,
    Of(Key),
}

/// What was used of a budget, as of a moment.
#[derive(Clone, Copy, Debug)]
struct Used {
    amount: f64,
    at: OffsetDateTime,
}

impl Used {
    /// What is used now. A clock that was put back gives nothing back.
    fn now(&self, limit: Limit, now: OffsetDateTime) -> f64 {
        let elapsed = (now - self.at).as_seconds_f64().max(0.0);
        (self.amount - elapsed / limit.seconds).max(0.0)
    }
}

struct State {
    kept: LruCache<Key, Used>,
    total: Option<Used>,
}

impl State {
    fn used(&mut self, budget: Budget, limit: Limit, now: OffsetDateTime) -> f64 {
        let used = match budget {
            Budget::Total => self.total,
            Budget::Of(key) => self.kept.get(&key).copied(),
        };
        used.map_or(0.0, |used| used.now(limit, now))
    }

    fn put(&mut self, budget: Budget, amount: f64, now: OffsetDateTime) {
        let used = Used { amount, at: now };
        match budget {
            Budget::Total => self.total = Some(used),
            Budget::Of(key) => {
                self.kept.put(key, used);
            }
        }
    }

    /// Seconds until the budget allows one more; `None` when it does now.
    fn wait(&mut self, budget: Budget, limit: Limit, now: OffsetDateTime) -> Option<f64> {
        let over = self.used(budget, limit, now) + 1.0 - limit.burst;
        // A little of one is lost in the arithmetic.
        (over > 1e-6).then_some(over * limit.seconds)
    }

    /// Charges one failure, up to the whole budget.
    fn charge(&mut self, charge: &mut Charge, budget: Budget, limit: Limit, now: OffsetDateTime) {
        let used = self.used(budget, limit, now);
        let after = (used + 1.0).min(limit.burst);
        self.put(budget, after, now);
        charge.budgets.push((budget, limit, after - used));
    }
}

/// The budgets of all who try to log in.
pub struct Attempts {
    state: Mutex<State>,
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempts(…)")
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::with_capacity(NonZeroUsize::new(ENTRIES).unwrap_or(NonZeroUsize::MIN))
    }
}

impl Attempts {
    fn with_capacity(entries: NonZeroUsize) -> Self {
        Self { state: Mutex::new(State { kept: LruCache::new(entries), total: None }) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges an attempt to log in to an account. `account` is a keyed hash of its address, `device` one that logged
    /// in to it before.
    ///
    /// # Errors
    /// When a budget is used up; nothing is charged then.
    pub fn begin(
        &self,
        now: OffsetDateTime,
        account: &[u8],
        source: Source,
        device: Option<Uuid>,
    ) -> Result<Charge, Refused> {
        let key = |kind: &str, account: &[u8], network: Option<IpAddr>| {
            let network = network.map(|network| match network {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            });
            Budget::Of(key(&[kind.as_bytes(), account, network.as_ref().map_or(&[], <[u8; 16]>::as_slice)]))
        };
        let mut charge = Charge::default();
        let mut state = self.state();
        if let Some(device) = device {
            let budget = Budget::Of(self::key(&[b"device", account, device.as_bytes()]));
            if state.wait(budget, DEVICE, now).is_none() {
                state.charge(&mut charge, budget, DEVICE, now);
                charge.of_device = true;
                return Ok(charge);
            }
        }
        let mut own = vec![
            (key("pair", account, Some(source.near)), PAIR, Exhausted::Pair),
            (key("source", &[], Some(source.near)), SOURCE, Exhausted::Source),
        ];
        if let Some(wide) = source.wide {
            own.push((key("wide pair", account, Some(wide)), WIDE_PAIR, Exhausted::Pair));
            own.push((key("wide source", &[], Some(wide)), WIDE_SOURCE, Exhausted::Source));
        }
        let shared = [
            (key("account", account, None), ACCOUNT, Exhausted::Account),
            (Budget::Total, TOTAL, Exhausted::Total),
        ];
        let lately =
            [key("lately", account, Some(source.widest())), key("lately", &[], Some(source.widest()))];
        let refused = |by, seconds: f64| Err(Refused { by, retry_after: (seconds.ceil() as u32).max(1) });
        for (budget, limit, by) in &own {
            if let Some(seconds) = state.wait(*budget, *limit, now) {
                return refused(*by, seconds);
            }
        }
        for ((budget, limit, by), lately) in shared.iter().zip(lately) {
            if let Some(seconds) = state.wait(*budget, *limit, now)
                && state.wait(lately, LATELY, now).is_some()
            {
                return refused(*by, seconds);
            }
        }
        for (budget, limit, _) in own.iter().chain(&shared) {
            state.charge(&mut charge, *budget, *limit, now);
        }
        for budget in lately {
            state.charge(&mut charge, budget, LATELY, now);
        }
        Ok(charge)
    }

    /// Charges an attempt to change the password of the holder of a session.
    ///
    /// # Errors
    /// When too many were wrong.
    pub fn begin_change(&self, now: OffsetDateTime, session: Uuid) -> Result<Charge, Refused> {
        let budget = Budget::Of(key(&[b"change", session.as_bytes()]));
        let (mut charge, mut state) = (Charge::default(), self.state());
        if let Some(seconds) = state.wait(budget, CHANGE, now) {
            return Err(Refused { by: Exhausted::Change, retry_after: (seconds.ceil() as u32).max(1) });
        }
        state.charge(&mut charge, budget, CHANGE, now);
        Ok(charge)
    }

    /// Gives back what an attempt was charged: its password was right, or it was not checked.
    pub fn give_back(&self, now: OffsetDateTime, charge: Charge) {
        let mut state = self.state();
        for (budget, limit, amount) in charge.budgets {
            let used = state.used(budget, limit, now);
            state.put(budget, (used - amount).max(0.0), now);
        }
    }
}

/// A hash of parts, each with its length before it.
fn key(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (mut key, [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]) = ([0; 16], &digest);
    key.copy_from_slice(first);
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::Duration;

    use super::*;

    const T: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn v4(last: u16) -> Source {
        let [high, low] = last.to_be_bytes();
        Source::of(Some(IpAddr::from([198, 51, high, low])))
    }

    /// Fails until it is refused; how often that was.
    fn fail(attempts: &Attempts, at: OffsetDateTime, account: &[u8], source: Source) -> usize {
        let mut count = 0;
        while attempts.begin(at, account, source, None).is_ok() {
            count += 1;
            assert!(count < 10_000);
        }
        count
    }

    #[test]
    fn failures_at_an_account_refuse_the_same_source_alone() {
        let attempts = Attempts::default();
        assert_eq!(fail(&attempts, T, b"a", v4(1)), 5);
        let refused = attempts.begin(T, b"a", v4(1), None).unwrap_err();
        assert_eq!((refused.by, refused.retry_after), (Exhausted::Pair, 12));
        assert!(attempts.begin(T, b"a", v4(2), None).is_ok(), "another source");
        assert!(attempts.begin(T, b"b", v4(1), None).is_ok(), "another account");
        assert!(attempts.begin(T + Duration::seconds(12), b"a", v4(1), None).is_ok(), "later");
    }

    #[test]
    fn a_source_that_tries_many_accounts_is_refused_everywhere() {
        let attempts = Attempts::default();
        let mut tried = 0;
        while attempts.begin(T, format!("{tried}").as_bytes(), v4(1), None).is_ok() {
            tried += 1;
        }
        assert_eq!(tried, 30);
        assert_eq!(attempts.begin(T, b"new", v4(1), None).unwrap_err().by, Exhausted::Source);
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let attempts = Attempts::default();
        for _ in 0..1000 {
            let charge = attempts.begin(T, b"a", v4(1), None).unwrap();
            attempts.give_back(T, charge);
        }
        assert_eq!(fail(&attempts, T, b"a", v4(1)), 5);
    }

    #[test]
    fn many_sources_never_refuse_a_known_device_or_a_source_that_did_not_fail() {
        let attempts = Attempts::default();
        let device = Uuid::from_u128(7);
        for round in 0..3 {
            for source in 0..2000 {
                let _ = attempts.begin(T + Duration::seconds(round), b"a", v4(source), None);
            }
        }
        let later = T + Duration::seconds(3);
        for source in 0..2000 {
            let refused = attempts.begin(later, b"a", v4(source), None).unwrap_err();
            assert!(matches!(refused.by, Exhausted::Account), "{refused:?}");
        }
        assert!(attempts.begin(later, b"a", v4(5000), None).is_ok(), "it did not fail before");
        assert!(attempts.begin(later, b"b", v4(5001), None).is_ok(), "nor at another account");
        assert!(attempts.begin(later, b"a", v4(1), Some(device)).is_ok(), "a known device");
        let used_up = (0..20).filter(|_| attempts.begin(later, b"a", v4(1), Some(device)).is_ok()).count();
        assert_eq!(used_up, 9, "a device has a budget too");
    }

    #[test]
    fn an_ipv6_customer_cannot_multiply_by_changing_addresses() {
        let attempts = Attempts::default();
        let at = |network: u16, host: u64| {
            let address = (0x2001_0db8_0001_u128 << 80) | (u128::from(network) << 64) | u128::from(host);
            Source::of(Some(IpAddr::V6(Ipv6Addr::from_bits(address))))
        };
        let same: usize = (0..50).filter(|host| attempts.begin(T, b"a", at(1, *host), None).is_ok()).count();
        assert_eq!(same, 5, "one network of 64 bits");
        let wide = (2..500).filter(|network| attempts.begin(T, b"a", at(*network, 1), None).is_ok()).count();
        assert_eq!(wide, 15, "one network of 48 bits");
        assert_eq!(
            Source::of(Some("::ffff:192.0.2.1".parse().unwrap())),
            Source::of(Some("192.0.2.1".parse().unwrap()))
        );
    }

    proptest! {
        #[test]
        fn memory_stays_bounded_whatever_is_sent(tries in proptest::collection::vec((any::<u32>(), any::<[u8; 16]>()), 1..200)) {
            let attempts = Attempts::with_capacity(NonZeroUsize::new(16).unwrap());
            for (account, address) in tries {
                let source = Source::of(Some(IpAddr::from(address)));
                let _ = attempts.begin(T, &account.to_be_bytes(), source, Some(Uuid::from_bytes(address)));
            }
            prop_assert!(attempts.state().kept.len() <= 16);
        }
    }
}
