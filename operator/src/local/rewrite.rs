//! A pod as it was built and this machine's places in, a process out. Pure.
//!
//! What a cluster gives a container, this machine gives in other words: a volume is a folder, `mountPath` in a
//! value becomes that folder; a port that all interfaces listen on becomes a port of the loopback interface; the
//! address of a Service becomes the address of the process behind it; a key of a Secret is read from its file. What
//! names objects of the Kubernetes API is left out, since there is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::crm_tenant::build::{BUNDLE_CONFIG_MAP, BUNDLE_CONFIG_MAP_PREVIOUS};
use crate::crm_tenant::generate::Secrets;

/// Variables that only mean something where there is a Kubernetes API.
const CLUSTER_ONLY: [&str; 2] = [BUNDLE_CONFIG_MAP, BUNDLE_CONFIG_MAP_PREVIOUS];

/// This machine's places for one tenant.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Folder with one folder per Secret.
    pub secrets_dir: PathBuf,
    /// Folder with one folder per ConfigMap.
    pub config_maps_dir: PathBuf,
    /// The values of the tenant's Secrets.
    pub secrets: Secrets,
    /// Folder of our programs; an image's name is a program's name.
    pub programs_dir: PathBuf,
    /// Local port per (pod, container port).
    pub ports: BTreeMap<(String, u16), u16>,
    /// Local address per address within the cluster, as in `novacrm-engine.acme.svc:8443`.
    pub peers: BTreeMap<String, String>,
    /// Folders of an image that are elsewhere here. A variable that names one without a place here is left out.
    pub image_folders: BTreeMap<String, Option<PathBuf>>,
}

/// A process, ready to be started. Its environment holds secrets, so it has no `Debug` of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Port and path that say whether it is ready.
    pub readiness: Option<(u16, String)>,
}

/// Why a pod cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// A pod of ours has one container.
    #[error("{pod} has {count} containers, and this machine runs pods of one")]
    Containers {
        /// The pod.
        pod: String,
        /// How many it has.
        count: usize,
    },
    /// The image's name is no program's name.
    #[error("{pod} has no image")]
    NoImage {
        /// The pod.
        pod: String,
    },
    /// A value that is not known here.
    #[error("{pod} needs {what} for {variable}, which does not exist")]
    Missing {
        /// The pod.
        pod: String,
        /// The environment variable.
        variable: String,
        /// Where its value comes from.
        what: String,
    },
    /// A kind of volume, or a source of a value, that this machine has no place for.
    #[error("{pod} uses {what}, which has no place on this machine")]
    Unsupported {
        /// The pod.
        pod: String,
        /// What it uses.
        what: String,
    },
}

/// Rewrites the pod named `pod` for this machine.
///
/// # Errors
/// When the pod uses something that has no place here.
pub fn process(pod: &str, spec: &PodSpec, site: &Site) -> Result<Process, RewriteError> {
    let [container] = spec.containers.as_slice() else {
        return Err(RewriteError::Containers { pod: pod.to_owned(), count: spec.containers.len() });
    };
    let folders = folders(pod, spec, container, site)?;
    let program = container
        .image
        .as_deref()
        .and_then(program_of)
        .ok_or_else(|| RewriteError::NoImage { pod: pod.to_owned() })?;
    let mut env = BTreeMap::new();
    let here = |variable: &&EnvVar| !CLUSTER_ONLY.contains(&variable.name.as_str());
    for variable in container.env.iter().flatten().filter(here) {
        if let Some(value) = value_of(pod, variable, site)? {
            let value =
                if variable.value_from.is_some() { Some(value) } else { local(pod, &value, &folders, site) };
            if let Some(value) = value {
                env.insert(variable.name.clone(), value);
            }
        }
    }
    let arguments = container
        .args
        .iter()
        .flatten()
        .map(|argument| local(pod, argument, &folders, site).unwrap_or_default())
        .collect();
    let readiness =
        container.readiness_probe.as_ref().and_then(|probe| probe.http_get.as_ref()).and_then(|get| {
            let port = match &get.port {
                IntOrString::Int(port) => u16::try_from(*port).ok()?,
                IntOrString::String(name) => container
                    .ports
                    .iter()
                    .flatten()
                    .find(|port| port.name.as_deref() == Some(name))
                    .and_then(|port| u16::try_from(port.container_port).ok())?,
            };
            let local = site.ports.get(&(pod.to_owned(), port))?;
            Some((*local, get.path.clone().unwrap_or_else(|| "/".to_owned())))
        });
    Ok(Process { program: site.programs_dir.join(program), arguments, env, readiness })
}

/// `registry.example/team/novacrm-engine:1.0@sha256:…` → `novacrm-engine`.
fn program_of(image: &str) -> Option<&str> {
    let name = image.split('@').next()?.rsplit('/').next()?.split(':').next()?;
    (!name.is_empty() && name != "." && name != "..").then_some(name)
}

/// Mount paths and the folders they are here, longest path first.
fn folders(
    pod: &str,
    spec: &PodSpec,
    container: &Container,
    site: &Site,
) -> Result<Vec<(String, PathBuf)>, RewriteError> {
    let mut folders = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
        let secret =
            volume.and_then(|volume| volume.secret.as_ref()).and_then(|secret| secret.secret_name.as_ref());
        let config_map = volume.and_then(|volume| volume.config_map.as_ref()).map(|source| &source.name);
        let folder = match (secret, config_map) {
            (Some(name), _) => site.secrets_dir.join(name),
            (None, Some(name)) => site.config_maps_dir.join(name),
            (None, None) => {
                let what = format!("volume {}", mount.name);
                return Err(RewriteError::Unsupported { pod: pod.to_owned(), what });
            }
        };
        let source = volume.and_then(|volume| volume.secret.as_ref());
        let needed = source.filter(|source| source.optional != Some(true));
        for item in needed.into_iter().flat_map(|source| source.items.iter().flatten()) {
            let name = source.and_then(|source| source.secret_name.clone()).unwrap_or_default();
            if site.secrets.get(&name).is_none_or(|secret| !secret.contains_key(&item.key)) {
                return Err(RewriteError::Missing {
                    pod: pod.to_owned(),
                    variable: mount.mount_path.clone(),
                    what: format!("key {} of Secret {name}", item.key),
                });
            }
        }
        folders.push((mount.mount_path.clone(), folder));
    }
    folders.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    Ok(folders)
}

fn value_of(pod: &str, variable: &EnvVar, site: &Site) -> Result<Option<String>, RewriteError> {
    let Some(source) = &variable.value_from else { return Ok(variable.value.clone()) };
    let Some(reference) = &source.secret_key_ref else {
        let what = format!("the source of variable {}", variable.name);
        return Err(RewriteError::Unsupported { pod: pod.to_owned(), what });
    };
    let value = site.secrets.get(&reference.name).and_then(|secret| secret.get(&reference.key));
    match value {
        Some(value) => Ok(Some(value.trim_end_matches('\n').to_owned())),
        None if reference.optional == Some(true) => Ok(None),
        None => Err(RewriteError::Missing {
            pod: pod.to_owned(),
            variable: variable.name.clone(),
            what: format!("key {} of Secret {}", reference.key, reference.name),
        }),
    }
}

/// A value in this machine's words; `None` when it names a folder of the image that has no place here.
fn local(pod: &str, value: &str, folders: &[(String, PathBuf)], site: &Site) -> Option<String> {
    if let Some(place) = site.image_folders.get(value) {
        return place.as_ref().map(|place| place.display().to_string());
    }
    for (mount, folder) in folders {
        if let Some(rest) = value.strip_prefix(mount.as_str()) {
            if rest.is_empty() {
                return Some(folder.display().to_string());
            }
            if let Some(rest) = rest.strip_prefix('/') {
                return Some(folder.join(Path::new(rest)).display().to_string());
            }
        }
    }
    if let Some(port) = value.strip_prefix("0.0.0.0:").and_then(|port| port.parse().ok())
        && let Some(local) = site.ports.get(&(pod.to_owned(), port))
    {
        return Some(format!("127.0.0.1:{local}"));
    }
    if let Some((scheme, rest)) = value.split_once("://") {
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if let Some(address) = site.peers.get(authority) {
            return Some(format!("{scheme}://{address}{path}"));
        }
    }
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn site() -> Site {
        Site {
            secrets_dir: "/d/secrets/acme".into(),
            config_maps_dir: "/d/configmaps/acme".into(),
            secrets: Secrets::from([(
                "db".to_owned(),
                [("url".to_owned(), Zeroizing::new("postgres://x\n".to_owned()))].into(),
            )]),
            programs_dir: "/bin".into(),
            ports: BTreeMap::from([(("web".to_owned(), 8080), 18080), (("web".to_owned(), 9090), 19090)]),
            peers: BTreeMap::from([("engine.acme.svc:8443".to_owned(), "127.0.0.1:18443".to_owned())]),
            image_folders: BTreeMap::from([("/usr/share/web".to_owned(), None)]),
        }
    }

    fn pod() -> PodSpec {
        serde_yaml::from_str(
            r"
containers:
- name: web
  image: registry.example/team/novacrm-web:1.2.3@sha256:00
  args: [serve, --keys, /etc/keys/a.pem, --near, /etc/keysmith]
  ports: [{containerPort: 8080, name: http}, {containerPort: 9090, name: admin}]
  readinessProbe: {httpGet: {path: /readyz, port: admin}}
  env:
  - {name: LISTEN, value: '0.0.0.0:8080'}
  - {name: OTHER_PORT, value: '0.0.0.0:1'}
  - {name: KEYS, value: /etc/keys}
  - {name: RULES, value: /etc/rules/current}
  - {name: PEER, value: 'https://engine.acme.svc:8443/v1'}
  - {name: STRANGER, value: 'https://example.com/'}
  - {name: STATIC, value: /usr/share/web}
  - {name: NOVACRM_BUNDLE_CONFIG_MAP, value: novacrm-bundle}
  - {name: URL, valueFrom: {secretKeyRef: {name: db, key: url}}}
  volumeMounts:
  - {name: keys, mountPath: /etc/keys}
  - {name: rules, mountPath: /etc/rules}
volumes:
- {name: keys, secret: {secretName: web-keys}}
- {name: rules, configMap: {name: bundle}}
",
        )
        .unwrap()
    }

    #[test]
    fn every_word_of_the_cluster_is_translated() {
        let process = process("web", &pod(), &site()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(process.program, PathBuf::from("/bin/novacrm-web"));
        let keys = "/d/secrets/acme/web-keys";
        assert_eq!(
            process.arguments,
            ["serve", "--keys", &format!("{keys}/a.pem"), "--near", "/etc/keysmith"]
        );
        let expected = [
            ("KEYS", keys),
            ("LISTEN", "127.0.0.1:18080"),
            ("OTHER_PORT", "0.0.0.0:1"),
            ("PEER", "https://127.0.0.1:18443/v1"),
            ("RULES", "/d/configmaps/acme/bundle/current"),
            ("STRANGER", "https://example.com/"),
            ("URL", "postgres://x"),
        ];
        let actual: Vec<(&str, &str)> =
            process.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(actual, expected);
        assert_eq!(process.readiness, Some((19090, "/readyz".to_owned())));
    }

    #[test]
    fn what_has_no_place_here_is_an_error() {
        let mut volumes = pod();
        volumes.volumes = None;
        assert!(matches!(process("web", &volumes, &site()), Err(RewriteError::Unsupported { .. })));
        let mut two = pod();
        two.containers.push(two.containers[0].clone());
        assert!(matches!(process("web", &two, &site()), Err(RewriteError::Containers { count: 2, .. })));
        let missing = Site { secrets: Secrets::new(), ..site() };
        let error = process("web", &pod(), &missing).err().unwrap().to_string();
        assert_eq!(error, "web needs key url of Secret db for URL, which does not exist");
    }
}
