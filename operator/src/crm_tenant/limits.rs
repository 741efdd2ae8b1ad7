//! What the organisation lets tenants ask for: the operator's settings in, every excess of a spec out. Pure.
//!
//! Whoever may write a `CrmTenant` need not be trusted with more than its namespace: what leads out of it (addresses that
//! texts are sent to, images, host names, sizes) is allowed by the platform team here, once for all tenants.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use novacrm_crds::CrmTenantSpec;
use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_crds::crm_tenant::Workload;
use novacrm_service::destination::{Destinations, HostPattern, Refusal};

use crate::problem;

/// What tenants may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Where texts may be sent: addresses of recognisers.
    pub destinations: Destinations,
    /// Names of images that tenants may choose, each with everything that begins with it and ends at a `/`, `:` or `@`.
    pub images: Vec<String>,
    /// Host names that tenants may be reached under.
    pub hostnames: Vec<HostPattern>,
    /// Most pods of a part.
    pub max_replicas: i32,
    /// Most servers of a PostgreSQL cluster.
    pub max_instances: i32,
    /// Most processor time of a pod, in cores.
    pub max_cpu: Size,
    /// Most memory of a pod, in bytes.
    pub max_memory: Size,
    /// Largest volume, in bytes.
    pub max_storage: Size,
}

impl Default for Limits {
    fn default() -> Self {
        let gibibytes = |count: i128| Size(count * 1024 * 1024 * 1024 * 1000);
        Self {
            destinations: Destinations::default(),
            images: Vec::new(),
            hostnames: HostPattern::new("*").into_iter().collect(),
            max_replicas: 10,
            max_instances: 5,
            max_cpu: Size(8000),
            max_memory: gibibytes(16),
            max_storage: gibibytes(1024),
        }
    }
}

/// What tenants may ask for where the platform team decided nothing.
#[must_use]
pub fn defaults() -> &'static Limits {
    static DEFAULTS: LazyLock<Limits> = LazyLock::new(Limits::default);
    &DEFAULTS
}

/// A quantity of Kubernetes, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(i128);

impl std::str::FromStr for Size {
    type Err = String;

    /// Reads a quantity as the Kubernetes API does: a number, and `m`, `k`, `M`, `G`, `T`, `P`, `E` or `Ki`, `Mi`, `Gi`,
    /// `Ti`, `Pi`, `Ei`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no quantity, such as 500m, 2 or 16Gi");
        let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let exponent = |base: i128, power: u32| base.checked_pow(power);
        let factor = match unit {
            "m" => Some(1),
            "" => Some(1000),
            "k" => exponent(1000, 2),
            "M" => exponent(1000, 3),
            "G" => exponent(1000, 4),
            "T" => exponent(1000, 5),
            "P" => exponent(1000, 6),
            "E" => exponent(1000, 7),
            "Ki" => exponent(1024, 1).map(|factor| factor * 1000),
            "Mi" => exponent(1024, 2).map(|factor| factor * 1000),
            "Gi" => exponent(1024, 3).map(|factor| factor * 1000),
            "Ti" => exponent(1024, 4).map(|factor| factor * 1000),
            "Pi" => exponent(1024, 5).map(|factor| factor * 1000),
            "Ei" => exponent(1024, 6).map(|factor| factor * 1000),
            _ => None,
        };
        let factor = factor.ok_or_else(wrong)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') || whole.len() > 18 || part.len() > 9 {
            return Err(wrong());
        }
        let digits = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<i128>() };
        let whole = digits(whole).map_err(|_| wrong())?;
        let places = u32::try_from(part.len()).map_err(|_| wrong())?;
        let divisor = 10_i128.checked_pow(places).ok_or_else(wrong)?;
        let part = digits(part).map_err(|_| wrong())?;
        // A part of the smallest unit counts as a whole one.
        let part = part.checked_mul(factor).ok_or_else(wrong)?;
        let part = part / divisor + i128::from(part % divisor != 0);
        whole.checked_mul(factor).and_then(|whole| whole.checked_add(part)).map(Self).ok_or_else(wrong)
    }
}

impl Limits {
    /// Every excess of a spec in `namespace`.
    #[must_use]
    pub fn check(&self, spec: &CrmTenantSpec, namespace: &str) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        problems.extend(self.check_recogniser(spec, namespace));
        problems.extend(self.check_image(spec));
        for (index, host) in spec.hostnames.iter().enumerate() {
            if !self.hostnames.iter().any(|pattern| pattern.admits(host, namespace)) {
                problems.push(problem(
                    &format!("spec.hostnames[{index}]"),
                    "the organisation does not allow this host name for this namespace",
                    "Use a host name that it allows, or have the platform team add it to `tenants.limits.hostnames` of \
                     the chart novacrm-operator.",
                ));
            }
        }
        for (path, part) in [("spec.api", &spec.api), ("spec.engine", &spec.engine)] {
            self.check_workload(path, part, &mut problems);
        }
        if let Some(cluster) = &spec.database.cloud_native_pg {
            let path = "spec.database.cloudNativePg";
            problems.extend(at_most(
                &format!("{path}.instances"),
                cluster.instances,
                self.max_instances,
                "maxInstances",
            ));
            problems.extend(self.check_storage(&format!("{path}.storage.size"), &cluster.storage.size));
        }
        let dump = spec.final_dump.as_ref().and_then(|dump| dump.storage.as_ref());
        problems.extend(
            dump.and_then(|storage| self.check_storage("spec.finalDump.storage.size", &storage.size)),
        );
        problems
    }

    fn check_recogniser(&self, spec: &CrmTenantSpec, namespace: &str) -> Option<PolicyProblem> {
        let refusal = self.destinations.check(&spec.recogniser.as_ref()?.url, namespace).err()?;
        let hint = match refusal {
            Refusal::NotAnAddress | Refusal::Credentials => {
                "Use one with its path, such as `http://presidio:3000/analyze`; a token goes into `keySecretRef`."
            }
            Refusal::Forbidden => "Name a service that may read texts.",
            Refusal::Plain => {
                "Use https, or a Service of this cluster, written `<name>.<namespace>.svc`, which http may reach."
            }
            Refusal::NotAllowed => {
                "Use a Service of this namespace, or have the platform team add the host to \
                 `tenants.limits.recogniserHosts` of the chart novacrm-operator."
            }
        };
        Some(problem("spec.recogniser.url", &refusal.to_string(), hint))
    }

    fn check_image(&self, spec: &CrmTenantSpec) -> Option<PolicyProblem> {
        let image = spec.database.cloud_native_pg.as_ref()?.image_name.as_ref()?;
        let allowed = self.images.iter().any(|allowed| {
            let allowed = allowed.trim_end_matches(['/', ':', '@']);
            let rest = image.strip_prefix(allowed);
            !allowed.is_empty()
                && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']))
        });
        let sound = image.bytes().all(|byte| byte.is_ascii_graphic()) && !image.contains("..");
        (!allowed || !sound).then(|| {
            problem(
                "spec.database.cloudNativePg.imageName",
                "the organisation does not allow this image",
                "Leave it out for CloudNativePG's default, or have the platform team add its repository to \
                 `tenants.limits.images` of the chart novacrm-operator.",
            )
        })
    }

    fn check_workload(&self, path: &str, part: &Workload, problems: &mut Vec<PolicyProblem>) {
        let setting = "maxReplicas";
        match &part.autoscaling {
            None => problems.extend(at_most(
                &format!("{path}.replicas"),
                part.replicas,
                self.max_replicas,
                setting,
            )),
            Some(scaling) => {
                let path = format!("{path}.autoscaling.maxReplicas");
                problems.extend(at_most(&path, scaling.max_replicas, self.max_replicas, setting));
            }
        }
        let Some(ResourceRequirements { requests, limits, claims }) = &part.resources else { return };
        if claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
            let hint = "Remove it: the operator's pods claim no devices.";
            problems.push(problem(&format!("{path}.resources.claims"), "claims are not allowed", hint));
        }
        for (kind, quantities) in [("requests", requests), ("limits", limits)] {
            for (name, Quantity(quantity)) in quantities.iter().flatten() {
                let path = format!("{path}.resources.{kind}.{name}");
                let (most, setting) = match name.as_str() {
                    "cpu" => (self.max_cpu, "maxCpu"),
                    "memory" => (self.max_memory, "maxMemory"),
                    "ephemeral-storage" => (self.max_storage, "maxStorage"),
                    _ => {
                        let hint = "Use cpu, memory and ephemeral-storage.";
                        problems.push(problem(&path, "this resource is not allowed", hint));
                        continue;
                    }
                };
                problems.extend(within(&path, quantity, most, setting));
            }
        }
    }

    fn check_storage(&self, path: &str, size: &str) -> Option<PolicyProblem> {
        within(path, size, self.max_storage, "maxStorage")
    }
}

fn at_most(path: &str, wanted: i32, most: i32, setting: &str) -> Option<PolicyProblem> {
    (wanted > most)
        .then(|| problem(path, &format!("the organisation allows at most {most}"), &raise(setting)))
}

fn within(path: &str, quantity: &str, most: Size, setting: &str) -> Option<PolicyProblem> {
    match quantity.parse::<Size>() {
        Err(_) => Some(problem(path, "this is no quantity", "Write one such as 500m, 2 or 16Gi.")),
        Ok(size) => {
            (size > most).then(|| problem(path, "this is more than the organisation allows", &raise(setting)))
        }
    }
}

fn raise(setting: &str) -> String {
    format!(
        "Ask for less, or have the platform team raise `tenants.limits.{setting}` of the chart novacrm-operator."
    )
}

/// Whether two host names, of which each may begin with `*.`, have a name in common.
#[must_use]
pub fn overlap(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}

/// Whether a host name, which may begin with `*.`, stands for every name that another stands for.
#[must_use]
pub fn covers(wide: &str, narrow: &str) -> bool {
    let end = wide.strip_prefix('*');
    wide == narrow || end.is_some_and(|end| narrow.trim_start_matches('*').ends_with(end))
}

/// Whether a name is one of those in a list of names and patterns with `*`, separated by commas or blanks.
#[must_use]
pub fn is_listed(list: &str, name: &str) -> bool {
    let words = list.split([',', ' ', '\n']).filter(|word| !word.is_empty());
    words.into_iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches(rest, name),
        (Some((b'*', rest)), Some((_, shorter))) => matches(rest, name) || matches(pattern, shorter),
        (Some((wanted, pattern)), Some((found, name))) => wanted == found && matches(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_what_they_stand_for() {
        let size = |text: &str| text.parse::<Size>().unwrap();
        for (one, other) in
            [("1", "1000m"), ("1Ki", "1024"), ("0.5Gi", "512Mi"), ("1.5", "1500m"), ("1k", "1000")]
        {
            assert_eq!(size(one), size(other), "{one} {other}");
        }
        assert!(size("16Gi") > size("17G") && size("1Ti") > size("1023Gi") && size("0.0001") > size("0"));
        for wrong in ["", "Gi", "1e30", "-1", "1.2.3", "1 Gi", "0x10", "99999999999999999999999999999"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_names_overlap_where_one_request_could_reach_either() {
        for (one, other) in [("a.x", "a.x"), ("*.x", "a.x"), ("a.b.x", "*.x"), ("*.x", "*.b.x")] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (wide, narrow) in [("*.x", "a.x"), ("*.x", "*.b.x"), ("a.x", "a.x")] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        assert!(!covers("a.x", "*.x") && !covers("*.b.x", "*.x") && !covers("*.x", "x"));
        for (one, other) in [("a.x", "b.x"), ("*.x", "x"), ("*.x", "ax"), ("*.a.x", "*.b.x")] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} {other}");
        }
    }

    #[test]
    fn a_list_names_namespaces_and_patterns() {
        for name in ["acme", "team-a", "team-", "x-prod"] {
            assert!(is_listed("acme, team-*\n*-prod", name), "{name}");
        }
        for name in ["acme2", "my-team-a", "prod", ""] {
            assert!(!is_listed("acme, team-*\n*-prod", name), "{name}");
        }
        assert!(!is_listed("", "acme") && is_listed("*", "acme"));
    }
}
