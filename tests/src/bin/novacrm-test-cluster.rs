//! `novacrm-test-cluster [--release RELEASE | --node] -- COMMAND…`: runs a command with a real Kubernetes control plane;
//! with `--node` (as root) also with a node that runs pods of the images in the folder that `NOVACRM_TEST_IMAGES` names.
//!
//! In: a command. Out: its exit code. The command finds the administrator's kubeconfig in `NOVACRM_TEST_KUBECONFIG`,
//! the API server's audit log in `NOVACRM_TEST_AUDIT_LOG` and a fitting `kubectl` in `NOVACRM_TEST_KUBECTL`. The control
//! plane is gone afterwards, also after Ctrl-C and when this process is killed. When `NOVACRM_TEST_KUBECONFIG` is set
//! already, that cluster is used and none is started: tests create and delete in it as its administrator, which
//! is why `KUBECONFIG`, where a person keeps the way to real clusters, is not looked at.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use novacrm_operator::local::exec::{DeathSignal, become_program};
use novacrm_tests::cluster::{
    AUDIT_LOG, ControlPlane, FOLDER, IMAGES, KUBECONFIG, KUBECTL, NODE, Node, SWEEP, sweep,
};
use novacrm_tests::command;
use tokio::signal::unix::{SignalKind, signal};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Becomes the program that follows, bound to the life of the process that started it: see [`become_program`].
const EXEC: &str = "__exec";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match words.split_first() {
        Some((first, rest)) if first == EXEC => Err(exec(rest)),
        Some((first, [])) if first == SWEEP => sweep().map(|()| 0).map_err(Error::from),
        _ => arguments(words).and_then(|(wanted, command)| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::from)
                .and_then(|runtime| runtime.block_on(run(&wanted, &command)))
        }),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "novacrm-test-cluster: {error}");
            ExitCode::from(2)
        }
    }
}

/// `PARENT -- PROGRAM ARGUMENTS…`; returns only when that failed.
fn exec(words: &[OsString]) -> Error {
    match words {
        [parent, separator, program @ ..] if separator == "--" => {
            match parent.to_str().and_then(|parent| parent.parse().ok()) {
                Some(parent) => become_program(DeathSignal::Kill, parent, program).into(),
                None => "the parent's process id is no number".into(),
            }
        }
        _ => "usage: novacrm-test-cluster __exec PARENT -- PROGRAM [ARGUMENT …]".into(),
    }
}

/// Which cluster is wanted.
enum Wanted {
    /// The control plane of a release.
    ControlPlane(String),
    /// One with a node, of the newest release.
    Node,
}

fn arguments(words: Vec<OsString>) -> Result<(Wanted, Vec<OsString>), Error> {
    const USAGE: &str =
        "usage: novacrm-test-cluster [--release FOLDER OF tests/cluster | --node] -- COMMAND [ARGUMENT …]";
    let mut words = words.into_iter().peekable();
    let mut wanted = Wanted::ControlPlane("current".to_owned());
    if words.next_if(|word| word == "--release").is_some() {
        let release = words.next().and_then(|word| word.into_string().ok()).ok_or(USAGE)?;
        wanted = Wanted::ControlPlane(release);
    } else if words.next_if(|word| word == "--node").is_some() {
        wanted = Wanted::Node;
    }
    // Without it an option of the command could be read as one of ours.
    words.next_if(|word| word == "--").ok_or(USAGE)?;
    let command: Vec<OsString> = words.collect();
    if command.is_empty() { Err(USAGE.into()) } else { Ok((wanted, command)) }
}

/// What runs for the command.
enum Running {
    ControlPlane(ControlPlane),
    Node(Node),
}

impl Running {
    async fn start(wanted: &Wanted) -> Result<Self, Error> {
        match wanted {
            Wanted::ControlPlane(release) => {
                Ok(Self::ControlPlane(ControlPlane::start_release(release).await?))
            }
            Wanted::Node => {
                let images = std::env::var_os(IMAGES).ok_or_else(|| {
                    format!("{IMAGES} names no folder of images: see `scripts/images --help`")
                })?;
                Ok(Self::Node(Node::start(images.as_ref()).await?))
            }
        }
    }

    fn plane(&self) -> &ControlPlane {
        match self {
            Self::ControlPlane(plane) => plane,
            Self::Node(node) => node.plane(),
        }
    }
}

async fn run(wanted: &Wanted, words: &[OsString]) -> Result<u8, Error> {
    if std::env::var_os(KUBECONFIG).is_some_and(|value| !value.is_empty()) {
        return Ok(command::run(words, &[]).await?);
    }
    // Asked to end while the control plane starts: dropping it ends what runs of it.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = tokio::select! {
        running = Running::start(wanted) => running?,
        _ = terminate.recv() => return Ok(1),
        _ = interrupt.recv() => return Ok(1),
    };
    // The command is bound to our life as the control plane is: it would find nothing without it.
    let mut bound: Vec<OsString> = vec![std::env::current_exe()?.into(), EXEC.into()];
    bound.extend([std::process::id().to_string().into(), "--".into()]);
    bound.extend(words.iter().cloned());
    let plane = running.plane();
    let mut variables = vec![
        (KUBECONFIG, plane.kubeconfig().into_os_string()),
        (AUDIT_LOG, plane.audit_log().into_os_string()),
        (KUBECTL, plane.kubectl().into_os_string()),
    ];
    if let Running::Node(_) = running {
        variables.push((NODE, FOLDER.into()));
    }
    Ok(command::run(&bound, &variables).await?)
}
