//! Nothing in; a real control plane out: etcd, kube-apiserver, kube-controller-manager and kube-scheduler as plain
//! processes, in a temporary folder. It listens on the loopback interface, and there is no node, so that no pod ever
//! runs; or where the pods of a [`Node`](super::Node) reach it. The API server writes an audit log of every request.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::pki::{self, Authority, PkiError};
use super::processes::Processes;
use super::{Cluster, ClusterError, Late, eventually};
use crate::tools::{ToolError, kubernetes};

/// How long a start may take on a busy machine of two cores; it takes about five seconds on an idle one.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a start is tried again when another process took a port that was free a moment before.
const ATTEMPTS: usize = 3;
/// Name of the one node that there may be.
pub(super) const NODE_NAME: &str = "novacrm-test";
/// Range that Services get their addresses from.
const SERVICE_ADDRESSES: &str = "10.96.0.0/16";
/// Every request is written down, without what was sent and answered.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
";

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// Its programs cannot be had.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A program is not where it should be.
    #[error("there is no program {}: {hint}", program.display())]
    Missing {
        /// Which one.
        program: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The machine refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The machine cannot be a node.
    #[error("this machine cannot run pods: {0}")]
    Machine(String),
    /// A process ended while it was needed.
    #[error("{name} ended ({status}) and said last:\n{said}")]
    Ended {
        /// Which one.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// Its last lines.
        said: String,
    },
    /// It did not become ready.
    #[error("the control plane is not ready: {late}; kube-apiserver said last:\n{said}")]
    Late {
        /// What was missing.
        late: Late,
        /// Last lines of the API server.
        said: String,
    },
    /// Its kubeconfig cannot be used.
    #[error(transparent)]
    Cluster(#[from] Box<ClusterError>),
}

/// A running control plane. It ends, with everything it held, when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    processes: Processes,
    bin: PathBuf,
    /// Where the API server listens.
    address: IpAddr,
    api_port: u16,
    etcd_port: u16,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts a control plane of the newest release that the tests know.
    ///
    /// # Errors
    /// When it cannot be built or started; with the last words of what failed.
    pub async fn start() -> Result<Self, ControlPlaneError> {
        Self::start_release("current").await
    }

    /// Starts a control plane of the Go module in `tests/cluster/<release>`.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start_release(release: &str) -> Result<Self, ControlPlaneError> {
        // It fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), &kubernetes(release)?).await
    }

    /// Starts a control plane whose API server listens at an address of this machine.
    pub(super) async fn start_at(address: IpAddr, bin: &Path) -> Result<Self, ControlPlaneError> {
        let mut attempt = 1;
        loop {
            match Self::start_once(address, bin).await {
                Err(ControlPlaneError::Ended { said, .. })
                    if attempt < ATTEMPTS && said.contains("address already in use") =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn start_once(address: IpAddr, bin: &Path) -> Result<Self, ControlPlaneError> {
        let folder = tempfile::Builder::new()
            .prefix("novacrm-cluster.")
            .tempdir()
            .map_err(io("cannot make a temporary folder"))?;
        let (etcd_port, peer_port, api_port) = free_ports().map_err(io("no port is free"))?;
        let processes = Processes::new(folder.path());
        let mut plane = Self { processes, bin: bin.to_owned(), address, api_port, etcd_port, folder };
        plane.write_files()?;
        let client_url = format!("http://127.0.0.1:{etcd_port}");
        let peer_url = format!("http://127.0.0.1:{peer_port}");
        let data = plane.path("etcd");
        plane.run(
            "etcd",
            &[
                "--unsafe-no-fsync".into(),
                flag("--data-dir", &data),
                format!("--listen-client-urls={client_url}").into(),
                format!("--advertise-client-urls={client_url}").into(),
                format!("--listen-peer-urls={peer_url}").into(),
                format!("--initial-advertise-peer-urls={peer_url}").into(),
                format!("--initial-cluster=default={peer_url}").into(),
                "--log-level=warn".into(),
            ],
        )?;
        plane.run_api_server()?;
        // The controllers give up when the server does not know their rights within ten seconds.
        plane.await_answers().await?;
        plane.run(
            "kube-controller-manager",
            &[
                flag("--kubeconfig", &plane.path("controller-manager.kubeconfig")),
                flag("--service-account-private-key-file", &plane.path("service-account.key")),
                flag("--root-ca-file", &plane.path("ca.crt")),
                "--use-service-account-credentials=true".into(),
                // The default of 20 requests in a second is what tests of many objects would measure.
                "--kube-api-qps=200".into(),
                "--kube-api-burst=400".into(),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
            ],
        )?;
        plane.run(
            "kube-scheduler",
            &[
                flag("--kubeconfig", &plane.path("scheduler.kubeconfig")),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
            ],
        )?;
        plane.await_ready().await?;
        Ok(plane)
    }

    fn write_files(&self) -> Result<(), ControlPlaneError> {
        let folder = self.folder.path();
        let authority = Authority::write(folder, self.address)?;
        for (file, user, group) in [
            ("admin.kubeconfig", "novacrm-test-admin", Some("system:masters")),
            ("controller-manager.kubeconfig", "system:kube-controller-manager", None),
            ("scheduler.kubeconfig", "system:kube-scheduler", None),
            // For a node.
            ("kubelet.kubeconfig", &format!("system:node:{NODE_NAME}"), Some("system:nodes")),
            ("kube-proxy.kubeconfig", "system:kube-proxy", None),
            ("coredns.kubeconfig", "novacrm-test-dns", Some("system:masters")),
        ] {
            let client = authority.client(user, group)?;
            let kubeconfig = kubeconfig(
                &format!("https://{}:{}", self.address, self.api_port),
                authority.pem().as_bytes(),
                user,
                "default",
                &json!({
                    "client-certificate-data": STANDARD.encode(client.certificate),
                    "client-key-data": STANDARD.encode(client.key),
                }),
            );
            pki::write(folder, file, &kubeconfig).map_err(io("cannot write a kubeconfig"))?;
        }
        pki::write(folder, "audit-policy.yaml", AUDIT_POLICY).map_err(io("cannot write the audit policy"))
    }

    fn run_api_server(&mut self) -> Result<(), ControlPlaneError> {
        let advertised = if self.address.is_loopback() { machine_address() } else { self.address };
        let arguments = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port).into(),
            format!("--bind-address={}", self.address).into(),
            format!("--secure-port={}", self.api_port).into(),
            // EndpointSlices refuse a loopback address, and the server publishes its own in one.
            format!("--advertise-address={advertised}").into(),
            flag("--tls-cert-file", &self.path("apiserver.crt")),
            flag("--tls-private-key-file", &self.path("apiserver.key")),
            flag("--client-ca-file", &self.path("ca.crt")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            flag("--service-account-key-file", &self.path("service-account.pub")),
            flag("--service-account-signing-key-file", &self.path("service-account.key")),
            format!("--service-cluster-ip-range={SERVICE_ADDRESSES}").into(),
            "--authorization-mode=Node,RBAC".into(),
            "--enable-admission-plugins=NodeRestriction".into(),
            "--allow-privileged=true".into(),
            flag("--kubelet-client-certificate", &self.path("kubelet-client.crt")),
            flag("--kubelet-client-key", &self.path("kubelet-client.key")),
            flag("--kubelet-certificate-authority", &self.path("ca.crt")),
            "--kubelet-preferred-address-types=InternalIP".into(),
            // Where no kube-proxy runs, a webhook behind a Service is called at the Service's endpoints.
            "--enable-aggregator-routing=true".into(),
            flag("--audit-policy-file", &self.path("audit-policy.yaml")),
            flag("--audit-log-path", &self.audit_log()),
            "--audit-log-mode=blocking".into(),
            "--audit-log-maxsize=4096".into(),
        ];
        self.run("kube-apiserver", &arguments)
    }

    fn run(&mut self, name: &'static str, arguments: &[OsString]) -> Result<(), ControlPlaneError> {
        self.processes.start(name, &self.bin.join(name), arguments, &[])
    }

    /// Waits until the server is ready; it knows the rights of the controllers then.
    async fn await_answers(&mut self) -> Result<(), ControlPlaneError> {
        self.until(|client| async move { answers(&client).await }).await
    }

    /// Waits until the server is ready and the controllers work: they make the account of the first namespace.
    async fn await_ready(&mut self) -> Result<(), ControlPlaneError> {
        self.until(|client| async move {
            answers(&client).await?;
            let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
            accounts.get("default").await.map(|_| ())
        })
        .await
    }

    async fn until<F>(&mut self, condition: impl Fn(Client) -> F) -> Result<(), ControlPlaneError>
    where
        F: Future<Output = Result<(), kube::Error>>,
    {
        let client = self.cluster().await?.client().map_err(Box::new)?;
        let met = eventually(START_TIMEOUT, || {
            let ended = self.processes.ended();
            let attempt = condition(client.clone());
            async move {
                match ended {
                    Some(ended) => Ok(Err(ended)),
                    None => attempt.await.map(Ok),
                }
            }
        })
        .await;
        match met {
            Ok(outcome) => outcome,
            Err(late) => {
                Err(ControlPlaneError::Late { late, said: self.processes.last_words("kube-apiserver") })
            }
        }
    }

    /// Sends the API server a signal.
    pub(super) fn signal_api_server(&self, signal: Signal) {
        self.processes.signal("kube-apiserver", signal);
    }

    /// Kills the API server, as a broken machine would. What it stored stays.
    pub fn kill_api_server(&mut self) {
        self.processes.kill("kube-apiserver");
    }

    /// Starts the API server again on the same port and data, and waits until it answers.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn restart_api_server(&mut self) -> Result<(), ControlPlaneError> {
        self.kill_api_server();
        self.run_api_server()?;
        self.await_ready().await
    }

    /// Connects as the administrator.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn cluster(&self) -> Result<Cluster, ControlPlaneError> {
        Cluster::open(&self.kubeconfig(), Some(self.audit_log()))
            .await
            .map_err(|error| ControlPlaneError::Cluster(Box::new(error)))
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("admin.kubeconfig")
    }

    /// The API server's audit log.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.path("audit.log")
    }

    /// The `kubectl` of the same release.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.bin.join("kubectl")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn answers(client: &Client) -> Result<(), kube::Error> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await.map(|_| ())
}

pub(super) fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push("=");
    flag.push(path);
    flag
}

/// Three ports that are free now; they are held together, so that they differ.
fn free_ports() -> io::Result<(u16, u16, u16)> {
    let [first, second, third] = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok((first.local_addr()?.port(), second.local_addr()?.port(), third.local_addr()?.port()))
}

/// The address by which the API server reaches a process of this machine through an EndpointSlice (which refuses
/// loopback addresses). Nothing is sent to find it.
#[must_use]
pub fn machine_address() -> IpAddr {
    // TEST-NET-1 (RFC 5737), which no machine has.
    let unrouted = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect((unrouted, 9))?;
        socket.local_addr()
    });
    own.map_or(unrouted, |address| address.ip())
}

/// A kubeconfig with one cluster and one user, as JSON, which is YAML.
pub(super) fn kubeconfig(
    server: &str,
    authority: &[u8],
    user: &str,
    namespace: &str,
    credentials: &serde_json::Value,
) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "novacrm-test",
            "cluster": { "server": server, "certificate-authority-data": STANDARD.encode(authority) },
        }],
        "users": [{ "name": user, "user": credentials }],
        "contexts": [{
            "name": "novacrm-test",
            "context": { "cluster": "novacrm-test", "user": user, "namespace": namespace },
        }],
        "current-context": "novacrm-test",
    })
    .to_string()
}

pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> ControlPlaneError {
    move |source| ControlPlaneError::Io { what, source }
}
