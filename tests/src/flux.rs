//! A kubeconfig in; a running Flux and a git server out, as plain processes of this machine.
//!
//! source-controller and kustomize-controller are those of a release; repositories are served by git's own program
//! `git http-backend` (RFC 3875, the Common Gateway Interface). All of it ends when it is dropped.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use crate::cluster::{ControlPlaneError, Late, PATIENCE, Processes, eventually};
use crate::tools::{ToolError, go_tool};

/// Flux's namespace.
pub const NAMESPACE: &str = "flux-system";
/// The branch that is synchronised.
const BRANCH: &str = "main";
/// How often Flux looks for what is new.
const INTERVAL: &str = "2s";
/// Longest push.
const PUSH_LIMIT: usize = 64 << 20;
const FIELD_MANAGER: &str = "novacrm-tests";

/// Why there is no Flux.
#[derive(Debug, thiserror::Error)]
pub enum FluxError {
    /// A controller cannot be built.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A controller cannot be started.
    #[error(transparent)]
    Process(#[from] ControlPlaneError),
    /// The machine refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Git refused.
    #[error("git {arguments}: {said}")]
    Git {
        /// What was asked of it.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// A definition of Flux's is none.
    #[error("{}: {source}", path.display())]
    Definition {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_yaml::Error,
    },
    /// The API server refused or did not answer.
    #[error("{0}")]
    Api(#[from] kube::Error),
    /// A Kustomization did not come to be so.
    #[error("{what}: {late}\n{said}")]
    Late {
        /// What was waited for.
        what: String,
        /// What was missing.
        late: Late,
        /// What the controllers said last.
        said: String,
    },
}

/// Running controllers, with one repository that they synchronise.
pub struct Flux {
    client: Client,
    processes: Processes,
    server: JoinHandle<()>,
    address: SocketAddr,
    folder: TempDir,
}

impl Drop for Flux {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Flux {
    /// Applies Flux's kinds and starts its controllers on a cluster.
    ///
    /// # Errors
    /// When they cannot be built or started.
    pub async fn start(client: Client, kubeconfig: &Path) -> Result<Self, FluxError> {
        let programs = [go_tool("source-controller")?, go_tool("kustomize-controller")?];
        for program in &programs {
            let kinds = program.parent().and_then(Path::parent).unwrap_or(program).join("crds");
            apply_kinds(&client, &kinds).await?;
        }
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        namespaces
            .patch(NAMESPACE, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&namespace))
            .await?;

        let folder = tempfile::Builder::new().prefix("novacrm-flux.").tempdir()?;
        let repositories = folder.path().join("repositories");
        fs::create_dir_all(&repositories)?;
        fs::create_dir_all(folder.path().join("storage"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = Router::new().fallback(serve).with_state(repositories);
        let server = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });

        let mut processes = Processes::new(folder.path());
        let [source, kustomize] = &programs;
        let storage = free_address()?;
        for (name, program, own) in [
            (
                "source-controller",
                source,
                vec![
                    format!("--storage-path={}", folder.path().join("storage").display()),
                    format!("--storage-addr={storage}"),
                    format!("--storage-adv-addr={storage}"),
                ],
            ),
            ("kustomize-controller", kustomize, vec![format!("--requeue-dependency={INTERVAL}")]),
        ] {
            let mut arguments = vec![
                format!("--metrics-addr={}", free_address()?),
                format!("--health-addr={}", free_address()?),
                "--enable-leader-election=false".to_owned(),
                "--events-addr=".to_owned(),
                "--log-level=info".to_owned(),
                "--watch-all-namespaces=true".to_owned(),
                // What it waits for is looked at as often.
                "--min-retry-delay=500ms".to_owned(),
            ];
            arguments.extend(own);
            let arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
            let variables: [(&str, &OsStr); 3] = [
                ("KUBECONFIG", kubeconfig.as_os_str()),
                ("RUNTIME_NAMESPACE", OsStr::new(NAMESPACE)),
                ("TMPDIR", folder.path().as_os_str()),
            ];
            processes.start(name, program, &arguments, &variables)?;
        }
        Ok(Self { client, processes, server, address, folder })
    }

    /// Makes a repository with a first, empty commit, and has Flux look at it.
    ///
    /// # Errors
    /// When git or the API server refuses.
    pub async fn repository(&self, name: &str) -> Result<Repository, FluxError> {
        let bare = self.folder.path().join("repositories").join(format!("{name}.git"));
        let work = self.folder.path().join("work").join(name);
        fs::create_dir_all(&work)?;
        let initial = format!("--initial-branch={BRANCH}");
        run(&work, &["init", "--quiet", "--bare", &initial, &bare.display().to_string()]).await?;
        run(&bare, &["config", "http.receivepack", "true"]).await?;
        let url = format!("http://{}/{name}.git", self.address);
        run(&work, &["init", "--quiet", &initial]).await?;
        run(&work, &["remote", "add", "origin", &url]).await?;
        let repository = Repository { work };
        run(&repository.work, &["commit", "--quiet", "--allow-empty", "--message", "Begin"]).await?;
        repository.push().await?;
        self.apply(&json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": { "interval": INTERVAL, "url": url, "ref": { "branch": BRANCH } },
        }))
        .await?;
        Ok(repository)
    }

    /// Applies an object of Flux's.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, object: &Value) -> Result<(), FluxError> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("/apiVersion").split_once('/').unwrap_or_default();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
        let objects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), text("/metadata/namespace"), &kind);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        objects.patch(text("/metadata/name"), &params, &Patch::Apply(object)).await?;
        Ok(())
    }

    /// Waits until a Kustomization has a condition `Ready` that satisfies. In: its status, reason and message, and the
    /// revision that was tried last. Out: the message.
    ///
    /// # Errors
    /// When it never does; with the condition as it was last.
    pub async fn kustomization_is(
        &self,
        name: &str,
        what: &str,
        satisfies: impl Fn(&Ready) -> bool,
    ) -> Result<Ready, FluxError> {
        let kind = GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
        let objects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind));
        let met = eventually(PATIENCE * 2, || async {
            let object = objects.get(name).await.map_err(|error| error.to_string())?;
            let ready = Ready::of(&object.data);
            if satisfies(&ready) { Ok(ready) } else { Err(format!("{ready:?}")) }
        });
        met.await.map_err(|late| FluxError::Late { what: what.to_owned(), late, said: self.said() })
    }

    /// The last words of the controllers.
    fn said(&self) -> String {
        ["source-controller", "kustomize-controller"].map(|name| self.processes.last_words(name)).join("\n")
    }
}

/// The condition `Ready` of a Kustomization.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// `True`, `False` or `Unknown`; empty while there is none.
    pub status: String,
    /// In one word.
    pub reason: String,
    /// In words.
    pub message: String,
    /// The commit that was applied last and found healthy.
    pub applied: String,
    /// The commit that was tried last.
    pub attempted: String,
}

impl Ready {
    fn of(object: &Value) -> Self {
        let text = |value: &Value, pointer: &str| {
            value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let commit = |pointer| text(object, pointer).rsplit(':').next().unwrap_or_default().to_owned();
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|condition| text(condition, "/type") == "Ready");
        let part = |pointer| ready.map(|ready| text(ready, pointer)).unwrap_or_default();
        Self {
            status: part("/status"),
            reason: part("/reason"),
            message: part("/message"),
            applied: commit("/status/lastAppliedRevision"),
            attempted: commit("/status/lastAttemptedRevision"),
        }
    }

    /// Whether a commit is applied and everything in it is healthy.
    #[must_use]
    pub fn is_healthy(&self, commit: &str) -> bool {
        self.status == "True" && self.applied == commit
    }

    /// Whether a commit was refused.
    #[must_use]
    pub fn is_refused(&self, commit: &str) -> bool {
        self.status == "False" && self.attempted == commit
    }
}

/// A repository that Flux looks at, as a person has it on disk.
pub struct Repository {
    work: PathBuf,
}

impl Repository {
    /// Writes a file.
    ///
    /// # Errors
    /// When the machine refuses.
    pub fn write(&self, path: &str, content: &str) -> Result<(), FluxError> {
        let file = self.work.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(file, content)?)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&self, path: &str) -> Result<(), FluxError> {
        Ok(fs::remove_file(self.work.join(path))?)
    }

    /// Commits all changes and pushes them. Out: the commit.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn push_all(&self, message: &str) -> Result<String, FluxError> {
        run(&self.work, &["add", "--all"]).await?;
        run(&self.work, &["commit", "--quiet", "--message", message]).await?;
        self.push().await
    }

    /// Reverts the last commit, as `git revert` does by itself, and pushes that. Out: the commit.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn push_revert(&self) -> Result<String, FluxError> {
        run(&self.work, &["revert", "--no-edit", "HEAD"]).await?;
        self.push().await
    }

    async fn push(&self) -> Result<String, FluxError> {
        run(&self.work, &["push", "--quiet", "origin", BRANCH]).await?;
        let output = run(&self.work, &["rev-parse", "HEAD"]).await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Runs git away from the configuration of whoever runs the tests, on a thread that may wait: the server is in this
/// process.
async fn run(folder: &Path, arguments: &[&str]) -> Result<Output, FluxError> {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "Platform")
            .env(format!("GIT_{who}_EMAIL"), "platform@example.org");
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.map_err(io::Error::other)??;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(FluxError::Git { arguments: arguments.join(" "), said })
}

/// Hands a request to `git http-backend`, and its answer back.
async fn serve(State(repositories): State<PathBuf>, request: Request) -> Response {
    match answer(&repositories, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn answer(repositories: &Path, request: Request) -> io::Result<Response> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, PUSH_LIMIT).await.map_err(io::Error::other)?;
    let text = |name| {
        parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default()
    };
    let mut backend = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repositories)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROTOCOL", text(HeaderName::from_static("git-protocol")))
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = backend.stdin.take().ok_or_else(|| io::Error::other("git http-backend takes nothing"))?;
    let sending = tokio::spawn(async move { input.write_all(&body).await });
    let output = backend.wait_with_output().await?;
    // Git may have known enough before it had read everything.
    let _ = sending.await;
    let split = output.stdout.windows(4).position(|window| window == b"\r\n\r\n");
    let split = split.ok_or_else(|| io::Error::other("git http-backend sent no head"))?;
    let (head, rest) = output.stdout.split_at(split);
    let mut response = Response::new(Body::from(rest.get(4..).unwrap_or_default().to_vec()));
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500);
            *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn apply_kinds(client: &Client, folder: &Path) -> Result<(), FluxError> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let read = serde_yaml::from_str(&text);
        let definition: CustomResourceDefinition =
            read.map_err(|source| FluxError::Definition { path: path.clone(), source })?;
        let name = definition.metadata.name.clone().unwrap_or_default();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        definitions.patch(&name, &params, &Patch::Apply(&definition)).await?;
        let kind = GroupVersionKind::gvk(&definition.spec.group, "v1", &definition.spec.names.kind);
        let served = definition.spec.versions.iter().any(|version| version.name == "v1" && version.served);
        if served {
            let kind = ApiResource::from_gvk_with_plural(&kind, &definition.spec.names.plural);
            let objects: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
            let listed = eventually(PATIENCE, || async { objects.list(&ListParams::default()).await });
            listed.await.map_err(|late| FluxError::Late {
                what: format!("{name} is served"),
                late,
                said: String::new(),
            })?;
        }
    }
    Ok(())
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A Kustomization of all that is in a repository, as `examples/gitops` has it, with the times of a test.
#[must_use]
pub fn kustomization(name: &str, example: &Value) -> Value {
    let mut object = example.clone();
    let mut set = |pointer: &str, value: Value| {
        if let Some((parent, key)) = pointer.rsplit_once('/')
            && let Some(fields) = object.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            fields.insert(key.to_owned(), value);
        }
    };
    set("/metadata/name", json!(name));
    set("/metadata/namespace", json!(NAMESPACE));
    set("/spec/interval", json!("10s"));
    set("/spec/retryInterval", json!(INTERVAL));
    set("/spec/timeout", json!("60s"));
    set("/spec/path", json!("./"));
    set("/spec/sourceRef/name", json!(name));
    object
}

/// How long Flux may take to see a push, and some.
pub const SEEN: Duration = Duration::from_secs(10);
