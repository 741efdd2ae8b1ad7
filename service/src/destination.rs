//! Where a process may send what a manifest tells it to send: an address and an allow-list in, whether it may be used
//! out. The operator judges addresses by their names when a manifest is applied ([`Destinations::check`]); the process
//! that sends judges the IP addresses that they resolve to when it connects ([`Guard`]), so that a name that changes its
//! address between the two gains nothing.
//!
//! Never admitted, whatever the allow-list says: loopback, link-local (with the metadata services of clouds), unspecified,
//! multicast and reserved addresses, the address of the Kubernetes API, and the names of these. IP addresses are compared
//! as numbers, so their spelling (decimal, octal, hexadecimal, mapped into IPv6) makes no difference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Names that lead to a machine itself, to the Kubernetes API or to the metadata service of a cloud.
const REFUSED_NAMES: [&str; 12] = [
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "kubernetes",
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];
/// The Service of the Kubernetes API.
const KUBERNETES: &str = "kubernetes.default.svc";
/// Variable in which Kubernetes tells each container the address of that Service.
const KUBERNETES_ADDRESS: &str = "KUBERNETES_SERVICE_HOST";

/// Why an address may not be used. No variant holds the address: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none.
    #[error("this is no address that begins with http:// or https://")]
    NotAnAddress,
    /// It holds a user or a password.
    #[error("this address holds a user or a password, which belong in a Secret")]
    Credentials,
    /// It leads to the machine, the Kubernetes API or a metadata service.
    #[error(
        "this address leads to the machine itself, a network's own addresses, the Kubernetes API or a metadata service"
    )]
    Forbidden,
    /// It is sent in clear out of the cluster.
    #[error("this address is outside of the cluster, and what is sent to it would not be encrypted")]
    Plain,
    /// It is not on the organisation's list.
    #[error("the organisation does not allow this host for this namespace")]
    NotAllowed,
}

/// A host name, or names that end alike: `api.example.com`, `*.example.com` (of any depth), `*` (any). The word
/// `{namespace}` stands for the namespace of the tenant that is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        // A name may end with the root's dot; `*.` is no name.
        let text =
            text.strip_suffix('.').filter(|name| !name.ends_with(['*', '.'])).unwrap_or(&text).to_owned();
        let plain = text.replace("{namespace}", "namespace");
        let rest = plain.strip_prefix("*.").unwrap_or(if plain == "*" { "any" } else { &plain });
        let known = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':')
        };
        if rest.is_empty()
            || rest.starts_with('.')
            || rest.ends_with('.')
            || rest.contains("..")
            || !rest.bytes().all(known)
        {
            return Err(format!(
                "`{text}` is no pattern of hosts: write a name, `*.` and the end of names, or `*`"
            ));
        }
        Ok(Self(text))
    }

    /// Whether a host is one of those meant.
    #[must_use]
    pub fn admits(&self, host: &str, namespace: &str) -> bool {
        let pattern = self.0.replace("{namespace}", namespace);
        match pattern.strip_prefix('*') {
            Some("") => true,
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => host == pattern,
        }
    }
}

/// Which addresses manifests may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// Hosts that are allowed.
    pub hosts: Vec<HostPattern>,
    /// Whether everything runs on one machine, whose loopback addresses are then allowed, unencrypted.
    pub local: bool,
    /// IP addresses that are refused beside those that always are.
    pub refused: Vec<IpAddr>,
}

impl Default for Destinations {
    /// The Services of the tenant's own namespace.
    fn default() -> Self {
        Self { hosts: vec![HostPattern("*.{namespace}.svc".to_owned())], local: false, refused: Vec::new() }
    }
}

/// An address that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The host, in lower case; a Service as `<name>.<namespace>.svc`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The namespace of a Service of this cluster.
    pub namespace: Option<String>,
    /// The IP address, where the address names one.
    pub ip: Option<IpAddr>,
}

impl Destinations {
    /// Judges an address that a manifest in `namespace` names.
    ///
    /// # Errors
    /// Why it may not be used.
    pub fn check(&self, address: &str, namespace: &str) -> Result<Destination, Refusal> {
        let url = Url::parse(address).map_err(|_| Refusal::NotAnAddress)?;
        let destination = destination(&url, namespace)?;
        let Destination { host, ip, namespace: service, .. } = &destination;
        let guard = Guard { plain: false, local: self.local, refused: self.refused.clone() };
        let here = self.local && (ip.is_some_and(is_loopback) || host == "localhost");
        if here {
            return Ok(destination);
        }
        if is_refused_name(host) || ip.is_some_and(|ip| !guard.admits(ip)) {
            return Err(Refusal::Forbidden);
        }
        if url.scheme() == "http" && service.is_none() {
            return Err(Refusal::Plain);
        }
        if !self.hosts.iter().any(|pattern| pattern.admits(host, namespace)) {
            return Err(Refusal::NotAllowed);
        }
        Ok(destination)
    }
}

fn destination(url: &Url, namespace: &str) -> Result<Destination, Refusal> {
    let port = match url.scheme() {
        "http" | "https" => url.port_or_known_default().ok_or(Refusal::NotAnAddress)?,
        _ => return Err(Refusal::NotAnAddress),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Credentials);
    }
    // Decimal, octal and hexadecimal IPv4 addresses are written in the usual way by the parser.
    let host = url.host_str().ok_or(Refusal::NotAnAddress)?.to_ascii_lowercase();
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        let ip = canonical(ip);
        return Ok(Destination { host: ip.to_string(), port, namespace: None, ip: Some(ip) });
    }
    let host = host.trim_end_matches('.');
    if host.is_empty() {
        return Err(Refusal::NotAnAddress);
    }
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    // A name of one word is looked up in the pod's own namespace.
    let host = match host.contains('.') || is_refused_name(host) {
        true => host.to_owned(),
        false => format!("{host}.{namespace}.svc"),
    };
    let mut words = host.rsplit('.');
    let service = match (words.next(), words.next(), words.next(), words.next()) {
        (Some("svc"), Some(namespace), Some(_), None) => Some(namespace.to_owned()),
        _ => None,
    };
    Ok(Destination { host, port, namespace: service, ip: None })
}

fn is_refused_name(host: &str) -> bool {
    REFUSED_NAMES.contains(&host)
        || host.ends_with(".localhost")
        || host == KUBERNETES
        || host == "kubernetes.default"
}

/// What a process connects to: the part of the judgement that needs an IP address. As a resolver of an HTTP client it
/// leaves out what may not be connected to.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Whether nothing is encrypted. Then only private addresses are admitted, since what leaves must not be readable on
    /// the way.
    pub plain: bool,
    /// Whether loopback addresses are admitted.
    pub local: bool,
    /// Addresses that are refused beside those that always are.
    pub refused: Vec<IpAddr>,
}

impl Guard {
    /// The guard of a client that sends to `url`, in a pod or on one machine.
    ///
    /// # Errors
    /// When the address is none or names an IP address that is refused, which no resolver would see.
    pub fn new(url: &Url, local: bool) -> Result<Self, Refusal> {
        let guard = Self { plain: url.scheme() == "http", local, refused: api_server() };
        let Destination { host, ip, .. } = destination(url, "default")?;
        if ip.is_some_and(|ip| !guard.admits(ip)) {
            return Err(Refusal::Forbidden);
        }
        let here = local && (host == "localhost" || host.ends_with(".localhost"));
        if !here && is_refused_name(&host) {
            return Err(Refusal::Forbidden);
        }
        Ok(guard)
    }

    /// Whether an IP address may be connected to.
    #[must_use]
    pub fn admits(&self, ip: IpAddr) -> bool {
        let ip = canonical(ip);
        if is_loopback(ip) {
            return self.local;
        }
        !is_refused(ip)
            && !self.refused.iter().any(|other| canonical(*other) == ip)
            && (!self.plain || is_private(ip))
    }
}

/// The address of the Kubernetes API, where this process runs in a pod.
#[must_use]
pub fn api_server() -> Vec<IpAddr> {
    std::env::var(KUBERNETES_ADDRESS).ok().and_then(|text| text.parse().ok()).into_iter().collect()
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = found.filter(|address| guard.admits(address.ip())).collect();
            if admitted.is_empty() {
                return Err(Refusal::Forbidden.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291, 2.5.5.2), compatible (2.5.5.1), translated (RFC
/// 6052) or tunnelled (RFC 3056).
fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(w, x, y, z))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0, 0, 0, 0, 0, 0) if g != 0 => v4(g, h),
        (0x2002, ..) => v4(b, c),
        _ => ip,
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    canonical(ip).is_loopback()
}

/// Addresses that are nobody's to be sent anything by a manifest.
fn is_refused(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // "This network" (RFC 1122), reserved (RFC 1112), protocol assignments (RFC 6890, with Oracle's metadata),
            // and the metadata services of Alibaba and Azure.
            a == 0
                || a >= 240
                || v4.is_link_local()
                || v4.is_multicast()
                || (a == 192 && b == 0 && v4.octets().get(2) == Some(&0))
                || v4 == Ipv4Addr::new(100, 100, 100, 200)
                || v4 == Ipv4Addr::new(168, 63, 129, 16)
        }
        IpAddr::V6(v6) => {
            let [first, ..] = v6.segments();
            // Site-local (RFC 3879) beside link-local, and the metadata services of Amazon and Google.
            v6.is_unspecified()
                || v6.is_multicast()
                || (first & 0xff80) == 0xfe80
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || v6 == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

/// Addresses of private networks (RFC 1918, RFC 6598, RFC 4193), such as those of pods and Services.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && (b & 0xc0) == 64)
        }
        IpAddr::V6(v6) => {
            let [first, ..] = v6.segments();
            (first & 0xfe00) == 0xfc00
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(hosts: &[&str]) -> Destinations {
        let hosts = hosts.iter().map(|host| HostPattern::new(host).unwrap()).collect();
        Destinations { hosts, refused: vec!["10.96.0.1".parse().unwrap()], ..Destinations::default() }
    }

    #[test]
    fn what_is_nobodys_to_send_to_is_refused_in_every_spelling() {
        let everything = destinations(&["*"]);
        for address in [
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://%31%32%37.0.0.1/",
            "https://１２７.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:a9fe:a9fe::1]/",
            "https://0.0.0.0/",
            "https://0/",
            "https://[::]/",
            "https://169.254.169.254/latest/meta-data/",
            "http://169.254.169.254/",
            "https://2852039166/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "https://168.63.129.16/",
            "https://224.0.0.1/",
            "https://[ff02::1]/",
            "https://255.255.255.255/",
            "https://kubernetes/",
            "https://kubernetes.default/api",
            "https://kubernetes.default.svc/",
            "https://kubernetes.default.svc.cluster.local./",
            "https://10.96.0.1/",
            "https://[::ffff:10.96.0.1]/",
            "https://metadata.google.internal/",
            "https://metadata/",
        ] {
            assert_eq!(everything.check(address, "acme"), Err(Refusal::Forbidden), "{address}");
        }
    }

    #[test]
    fn only_services_of_the_own_namespace_are_allowed_by_default() {
        let default = Destinations::default();
        for (address, host) in [
            ("http://presidio:3000/analyze", "presidio.acme.svc"),
            ("http://Presidio.acme.svc:3000/", "presidio.acme.svc"),
            ("https://presidio.acme.svc.cluster.local./", "presidio.acme.svc"),
        ] {
            let destination = default.check(address, "acme").unwrap();
            assert_eq!((destination.host.as_str(), destination.namespace.as_deref()), (host, Some("acme")));
        }
        for (address, refusal) in [
            ("http://presidio.nlp.svc:3000/", Refusal::NotAllowed),
            ("https://presidio.nlp:3000/", Refusal::NotAllowed),
            ("http://presidio.nlp:3000/", Refusal::Plain),
            ("http://evil.example/", Refusal::Plain),
            ("http://evil.acme.svc.evil.example/", Refusal::Plain),
            ("https://evil.example/", Refusal::NotAllowed),
            ("https://evil.acme.svc@evil.example/", Refusal::Credentials),
            ("https://10.1.2.3/", Refusal::NotAllowed),
            ("ftp://presidio/", Refusal::NotAnAddress),
            ("presidio", Refusal::NotAnAddress),
            ("http://:3000", Refusal::NotAnAddress),
        ] {
            assert_eq!(default.check(address, "acme"), Err(refusal), "{address}");
        }
    }

    #[test]
    fn an_organisation_allows_hosts_by_patterns() {
        let some = destinations(&["api.mistral.ai", "*.nlp.svc", "*.{namespace}.example"]);
        for address in ["https://api.mistral.ai/v1", "http://presidio.nlp.svc/", "https://a.b.acme.example/"]
        {
            assert!(some.check(address, "acme").is_ok(), "{address}");
        }
        for address in
            ["https://api.mistral.ai.evil.example/", "https://a.b.other.example/", "https://acme.example/"]
        {
            assert_eq!(some.check(address, "acme"), Err(Refusal::NotAllowed), "{address}");
        }
        for wrong in ["", "*.", "*..", ".", "a..b", "a b", "https://x/", "*.*.x"] {
            assert!(HostPattern::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn loopback_is_allowed_where_everything_runs_on_one_machine() {
        let local = Destinations { local: true, ..Destinations::default() };
        for address in ["http://127.0.0.1:3000/", "http://localhost:3000/", "http://[::1]:3000/"] {
            assert!(local.check(address, "acme").is_ok(), "{address}");
        }
        assert_eq!(local.check("http://169.254.169.254/", "acme"), Err(Refusal::Forbidden));
    }

    #[test]
    fn a_guard_judges_the_address_that_a_name_resolves_to() {
        let of = |url: &str| Guard::new(&Url::parse(url).unwrap(), false).unwrap();
        let (plain, encrypted) = (of("http://presidio/"), of("https://api.example/"));
        let admits = |guard: &Guard, ip: &str| guard.admits(ip.parse().unwrap());
        for ip in ["10.0.0.7", "172.20.1.1", "192.168.3.4", "100.64.0.1", "fd12::1", "::ffff:10.0.0.7"] {
            assert!(admits(&plain, ip) && admits(&encrypted, ip), "{ip}");
        }
        for ip in ["93.184.216.34", "2606:2800::1"] {
            assert!(!admits(&plain, ip) && admits(&encrypted, ip), "{ip}");
        }
        for ip in ["127.0.0.1", "169.254.169.254", "::1", "::ffff:169.254.169.254", "0.0.0.0", "fe80::1"] {
            assert!(!admits(&plain, ip) && !admits(&encrypted, ip), "{ip}");
        }
        assert!(Guard::new(&Url::parse("https://169.254.169.254/").unwrap(), false).is_err());
        assert!(Guard::new(&Url::parse("https://127.0.0.1/").unwrap(), true).is_ok());
    }
}
