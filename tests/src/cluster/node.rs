//! Images in; a real control plane with a real node out, on which pods run: containerd, kubelet, kube-proxy and CoreDNS
//! as plain processes of root on this machine, on a bridge of their own.
//!
//! One machine holds one node: a second one waits until the first is gone. All that the node makes stands in one folder
//! or bears a name of its own, and a [`Sweeper`] takes it away, whatever becomes of this process.
//!
//! The bridge's network plugin does not enforce NetworkPolicies.

mod machine;
mod sweep;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node as KubernetesNode, Service};
use kube::Api;
use rustix::process::{Signal, geteuid};
use serde_json::json;

use super::control_plane::{ControlPlane, ControlPlaneError, NODE_NAME, flag, io};
use super::processes::Processes;
use super::{Cluster, eventually};
use crate::tools::{go_tool, kubernetes_with_node};

pub use sweep::{SWEEP, Sweeper, sweep};

/// What is known of the node stands here, and nowhere else.
pub const FOLDER: &str = "/var/lib/novacrm-test-node";
/// The bridge that pods hang on.
const BRIDGE: &str = "novacrm0";
/// The machine's address on the bridge: API server, kubelet and name server listen there.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// The pods' addresses.
const POD_ADDRESSES: &str = "10.244.0.0/24";
/// The group of cgroups that all pods are in.
const CGROUP: &str = "novacrm-test-node";
/// Names the folder of images (`*.tar`) that the node knows.
pub const IMAGES: &str = "NOVACRM_TEST_IMAGES";
/// Names the folder of the node, for tests that do to it what happens to machines.
pub const NODE: &str = "NOVACRM_TEST_NODE";
/// A second tag of our images, to upgrade to. No release has this version.
pub const NEXT_VERSION: &str = "99.0.0";
/// How long a node may take to be ready; it takes ten seconds.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A control plane with a node. Both end, with everything they held, when it is dropped.
#[derive(Debug)]
pub struct Node {
    // In this order they end.
    processes: Processes,
    plane: ControlPlane,
    _sweeper: Sweeper,
}

impl Node {
    /// Starts one that knows the images in a folder. Waits for another that runs on this machine.
    ///
    /// # Errors
    /// When this machine cannot be a node, or something does not start; with the last words of what failed.
    pub async fn start(images: &Path) -> Result<Self, ControlPlaneError> {
        if !geteuid().is_root() {
            return Err(ControlPlaneError::Machine("it takes root".to_owned()));
        }
        for (program, package) in [
            ("containerd", "containerd"),
            ("ctr", "containerd"),
            ("runc", "runc"),
            ("nft", "nftables"),
            ("ip", "iproute2"),
            ("/usr/lib/cni/bridge", "containernetworking-plugins"),
        ] {
            machine::needs(program, package)?;
        }
        let (bin, coredns) = (kubernetes_with_node()?, go_tool("coredns")?);
        let sweeper = Sweeper::start()?;
        machine::prepare()?;
        let folder = Path::new(FOLDER);
        let plane = ControlPlane::start_at(IpAddr::V4(ADDRESS), &bin).await?;
        let mut node = Self { processes: Processes::new(folder), plane, _sweeper: sweeper };
        node.write_files()?;
        node.processes.start(
            "containerd",
            &machine::find("containerd"),
            &[flag("--config", &node.path("containerd.toml"))],
            &[],
        )?;
        node.import(images).await?;
        node.start_kubelet(&bin)?;
        node.processes.start(
            "kube-proxy",
            &bin.join("kube-proxy"),
            &[flag("--config", &node.path("kube-proxy.yaml"))],
            &[],
        )?;
        node.processes.start(
            "coredns",
            &coredns,
            &["-conf".into(), node.path("Corefile").into_os_string()],
            &[],
        )?;
        node.await_ready().await?;
        Ok(node)
    }

    /// Its control plane.
    #[must_use]
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Stops the API server without ending it, as a machine that hangs would, or lets it go on.
    pub fn signal_api_server(&self, signal: Signal) {
        self.plane.signal_api_server(signal);
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(FOLDER).join(name)
    }

    fn write_files(&self) -> Result<(), ControlPlaneError> {
        let file = |name: &str, content: String| {
            fs::write(self.path(name), content).map_err(io("cannot write a file of the node"))
        };
        for folder in ["cni", "cni/networks", "pods-logs", "plugins"] {
            fs::create_dir_all(self.path(folder)).map_err(io("cannot make a folder of the node"))?;
        }
        file("containerd.toml", containerd_config())?;
        file("cni/10-novacrm.conflist", network_config())?;
        file("resolv.conf", format!("nameserver {ADDRESS}\n"))?;
        file("kubelet.yaml", self.kubelet_config(free_port()?))?;
        file("kube-proxy.yaml", self.kube_proxy_config(free_port()?, free_port()?))?;
        let kubeconfig = self.plane.path("coredns.kubeconfig");
        file(
            "Corefile",
            format!(
                ".:53 {{\n  bind {ADDRESS}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {}\n  \
                 }}\n}}\n",
                kubeconfig.display()
            ),
        )
    }

    fn start_kubelet(&mut self, bin: &Path) -> Result<(), ControlPlaneError> {
        let arguments = [
            flag("--config", &self.path("kubelet.yaml")),
            flag("--kubeconfig", &self.plane.path("kubelet.kubeconfig")),
            flag("--root-dir", &self.path("kubelet")),
            format!("--hostname-override={NODE_NAME}").into(),
            format!("--node-ip={ADDRESS}").into(),
        ];
        self.processes.start("kubelet", &bin.join("kubelet"), &arguments, &[])
    }

    fn kubelet_config(&self, port: u16) -> String {
        // JSON is YAML.
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS.to_string(),
            "port": port,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "tlsCertFile": self.plane.path("kubelet.crt"),
            "tlsPrivateKeyFile": self.plane.path("kubelet.key"),
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": self.plane.path("ca.crt") },
            },
            "authorization": { "mode": "Webhook" },
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{CGROUP}"),
            "enforceNodeAllocatable": [],
            "failCgroupV1": false,
            "failSwapOn": false,
            "clusterDNS": [ADDRESS.to_string()],
            "clusterDomain": "cluster.local",
            "resolvConf": self.path("resolv.conf"),
            "containerRuntimeEndpoint": format!("unix://{FOLDER}/containerd.sock"),
            "podLogsDir": self.path("pods-logs"),
            "volumePluginDir": self.path("plugins"),
            // No image could be had again.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "50Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
            },
            // To lower it takes a right that root has not everywhere.
            "oomScoreAdj": 0,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
            "maxPods": 110,
        })
        .to_string()
    }

    fn kube_proxy_config(&self, health: u16, metrics: u16) -> String {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": { "kubeconfig": self.plane.path("kube-proxy.kubeconfig") },
            "mode": "nftables",
            // Answers between two pods of a bridge would else go past the machine, which has to translate them.
            "nftables": { "masqueradeAll": true, "minSyncPeriod": "100ms", "syncPeriod": "30s" },
            "clusterCIDR": POD_ADDRESSES,
            "hostnameOverride": NODE_NAME,
            "bindAddress": ADDRESS.to_string(),
            "healthzBindAddress": format!("127.0.0.1:{health}"),
            "metricsBindAddress": format!("127.0.0.1:{metrics}"),
            "nodePortAddresses": ["127.0.0.0/8"],
            "conntrack": {
                "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
            },
            "oomScoreAdj": 0,
        })
        .to_string()
    }

    /// Reads the images in a folder, and gives ours the tag of the next release as well.
    async fn import(&mut self, images: &Path) -> Result<(), ControlPlaneError> {
        let answers = eventually(START_TIMEOUT, || {
            let ended = self.processes.ended();
            async move {
                match ended {
                    Some(ended) => Ok(Err(ended)),
                    None => ctr(&["version"]).map(|_| Ok(())),
                }
            }
        });
        answers.await.map_err(|late| ControlPlaneError::Machine(format!("containerd: {late}")))??;
        let mut found = false;
        for entry in fs::read_dir(images).map_err(io("cannot read the folder of images"))? {
            let path = entry.map_err(io("cannot read the folder of images"))?.path();
            if path.extension() != Some(OsStr::new("tar")) {
                continue;
            }
            found = true;
            ctr(&[OsStr::new("images"), OsStr::new("import"), path.as_os_str()])?;
        }
        if !found {
            let said = format!("{} holds no image: see `scripts/images --help`", images.display());
            return Err(ControlPlaneError::Machine(said));
        }
        for name in ctr(&["images", "list", "--quiet"])?.lines() {
            if let Some((image, _)) = name.rsplit_once(':').filter(|(image, _)| image.contains("/novacrm-")) {
                ctr(&["images", "tag", "--force", name, &format!("{image}:{NEXT_VERSION}")])?;
            }
        }
        Ok(())
    }

    /// Waits until the node takes pods and their packets to Services arrive.
    async fn await_ready(&mut self) -> Result<(), ControlPlaneError> {
        let client = self.plane.cluster().await?.client().map_err(Box::new)?;
        let nodes: Api<KubernetesNode> = Api::all(client.clone());
        let services: Api<Service> = Api::namespaced(client, "default");
        let met = eventually(START_TIMEOUT, || {
            let ended = self.processes.ended();
            let (nodes, services) = (nodes.clone(), services.clone());
            async move {
                if let Some(ended) = ended {
                    return Ok(Err(ended));
                }
                let node = nodes.get(NODE_NAME).await.map_err(|error| error.to_string())?;
                let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
                let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
                match ready {
                    Some(ready) if ready.status == "True" => {}
                    Some(ready) => return Err(ready.message.clone().unwrap_or_default()),
                    None => return Err("the node has no condition Ready".to_owned()),
                }
                services.get("kubernetes").await.map_err(|error| error.to_string())?;
                match machine::table_exists() {
                    true => Ok(Ok(())),
                    false => Err("kube-proxy has written no rules".to_owned()),
                }
            }
        })
        .await;
        match met {
            Ok(outcome) => outcome,
            Err(late) => Err(ControlPlaneError::Machine(format!(
                "the node is not ready: {late}; kubelet said last:\n{}",
                self.processes.last_words("kubelet")
            ))),
        }
    }

    /// Connects as the administrator.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn cluster(&self) -> Result<Cluster, ControlPlaneError> {
        self.plane.cluster().await
    }
}

/// Runs containerd's client in the namespace of Kubernetes, and returns what it printed.
fn ctr<S: AsRef<OsStr>>(arguments: &[S]) -> Result<String, ControlPlaneError> {
    let output = Command::new("ctr")
        .args(["--address", &format!("{FOLDER}/containerd.sock"), "--namespace", "k8s.io"])
        .args(arguments)
        .output()
        .map_err(io("cannot start ctr"))?;
    if !output.status.success() {
        let words: Vec<OsString> = arguments.iter().map(|word| word.as_ref().to_owned()).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(ControlPlaneError::Machine(format!(
            "ctr {}: {said}",
            words.join(OsStr::new(" ")).display()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn containerd_config() -> String {
    format!(
        r#"version = 2
root = "{FOLDER}/containerd"
state = "{FOLDER}/containerd-state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
  address = "{FOLDER}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{FOLDER}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # To lower it takes a right that root has not everywhere.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{FOLDER}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
    )
}

fn network_config() -> String {
    json!({
        "cniVersion": "0.4.0",
        "name": "novacrm-test-node",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "dataDir": format!("{FOLDER}/cni/networks"),
                "ranges": [[{ "subnet": POD_ADDRESSES, "gateway": ADDRESS.to_string() }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
    .to_string()
}

fn free_port() -> Result<u16, ControlPlaneError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(io("no port is free"))?;
    Ok(listener.local_addr().map_err(io("no port is free"))?.port())
}
