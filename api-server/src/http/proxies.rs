//! The client's address behind proxies: the peer and `X-Forwarded-For` in, the address that is counted out.
//!
//! Each proxy appends the address it was called from, so the list is read from its end, and only as far as proxies wrote
//! it that are trusted: what stands before that is the client's own word.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Proxies one behind the other, at most.
const MOST_HOPS: usize = 16;

/// Networks of proxies whose word on the client's address is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    /// Whether the log has warned about a proxy that is not trusted.
    warned: Arc<AtomicBool>,
}

/// A network that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {position}: expected an address or a network such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct NetworkError {
    /// Which one, from 1.
    pub position: usize,
}

impl FromStr for TrustedProxies {
    type Err = NetworkError;

    /// Reads addresses and networks between commas; none in an empty text.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let entries = text.split(',').map(str::trim).enumerate();
        let networks = entries.filter(|(_, entry)| !entry.is_empty()).map(|(index, entry)| {
            let address = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse::<IpNet>().or_else(|_| address()).map_err(|_| NetworkError { position: index + 1 })
        });
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, warned: Arc::default() })
    }
}

impl TrustedProxies {
    /// The address of the client. Without a trusted proxy it is the peer's. An entry that is no address ends the
    /// reading: the proxy that passed it on is then the client.
    #[must_use]
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.map(|peer| peer.to_canonical());
        if !peer.is_some_and(|peer| self.trusts(peer)) {
            self.warn(headers);
            return peer;
        }
        let mut client = peer;
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        for entry in entries.take(MOST_HOPS) {
            let Some(address) = address(entry.trim()) else { break };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Warns once about a proxy that is not configured as trusted: all its clients count as one source.
    fn warn(&self, headers: &HeaderMap) {
        if self.networks.is_empty()
            && headers.contains_key(FORWARDED_FOR)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "a request came with X-Forwarded-For and no proxy is trusted, so log-ins through a proxy are limited as \
                 one source; set NOVACRM_TRUSTED_PROXIES to the networks of the proxies"
            );
        }
    }
}

/// An address, also with a port behind it, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse();
    let with_port = |_| text.parse::<SocketAddr>().map(|address| address.ip());
    bare().or_else(with_port).ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (FORWARDED_FOR.parse().unwrap(), HeaderValue::from_str(line).unwrap()))
            .collect()
    }

    fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let trusted: TrustedProxies = trusted.parse().unwrap();
        trusted.client(Some(peer.parse().unwrap()), &headers(lines)).unwrap().to_string()
    }

    #[test]
    fn the_list_is_read_from_its_end_through_trusted_proxies_alone() {
        let trusted = "10.0.0.0/8, 2001:db8:f::/48,192.0.2.1";
        for (peer, lines, expected) in [
            ("203.0.113.9", vec!["198.51.100.1"], "203.0.113.9"),
            ("10.1.2.3", vec![], "10.1.2.3"),
            ("10.1.2.3", vec!["198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", vec!["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", vec!["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", vec!["6.6.6.6, 198.51.100.1, 10.9.9.9", "192.0.2.1"], "198.51.100.1"),
            ("10.1.2.3", vec!["10.9.9.9, 10.8.8.8"], "10.9.9.9"),
            ("10.1.2.3", vec!["6.6.6.6, unknown"], "10.1.2.3"),
            ("10.1.2.3", vec!["6.6.6.6, , 10.9.9.9"], "10.9.9.9"),
            ("10.1.2.3", vec!["198.51.100.1:4711"], "198.51.100.1"),
            ("10.1.2.3", vec!["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.1.2.3", vec!["[2001:db8::1]"], "2001:db8::1"),
            ("10.1.2.3", vec!["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.2.3", vec!["2001:db8:f::1", "::ffff:10.1.1.1"], "2001:db8:f::1"),
        ] {
            assert_eq!(client(trusted, peer, &lines), expected, "{peer} {lines:?}");
        }
        assert_eq!(client("", "10.1.2.3", &["198.51.100.1"]), "10.1.2.3", "nobody is trusted by default");
        let refused = "10.0.0.0/8,10.0.0.0/33".parse::<TrustedProxies>().unwrap_err();
        assert_eq!(refused, NetworkError { position: 2 });
    }

    fn foreign() -> impl Strategy<Value = IpAddr> {
        any::<[u8; 4]>().prop_map(|[_, b, c, d]| IpAddr::from([198, b, c, d]))
    }

    proptest! {
        #[test]
        fn what_a_client_sends_never_changes_who_it_is(
            sent in "[ -~]{0,80}",
            own in foreign(),
            hops in proptest::collection::vec(any::<[u8; 3]>(), 0..6),
        ) {
            // The first trusted proxy appends the client's address to what the client sent.
            let mut list = if sent.is_empty() { own.to_string() } else { format!("{sent}, {own}") };
            for [b, c, d] in &hops {
                list.push_str(&format!(",10.{b}.{c}.{d}"));
            }
            let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
            let found = trusted.client(Some(IpAddr::from([10, 0, 0, 1])), &headers(&[&list]));
            prop_assert_eq!(found, Some(own));
        }

        #[test]
        fn any_header_gives_an_address(bytes in proptest::collection::vec(any::<u8>(), 0..200), peer in any::<[u8; 16]>()) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(FORWARDED_FOR, value);
            }
            let everybody: TrustedProxies = "0.0.0.0/0,::/0".parse().unwrap();
            prop_assert!(everybody.client(Some(IpAddr::from(peer)), &headers).is_some());
        }
    }
}
