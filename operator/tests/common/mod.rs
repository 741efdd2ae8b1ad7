//! What several tests need: a private PostgreSQL of their own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use novacrm_operator::local::postgres::{Options, Programs, unprivileged_account};

/// An installation where there is one, to spare the download; the environment decides first.
fn programs() -> Programs {
    let installed = (15..=18).map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")));
    Programs::find(installed.into_iter().find(|folder| folder.join("postgres").is_file()))
}

/// How to start a server in a temporary folder.
pub fn postgres_options(folder: &Path) -> Options {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
    Options {
        programs: programs(),
        folder: folder.join("postgres"),
        account: unprivileged_account().unwrap(),
        port: None,
        guardian: Some(PathBuf::from(env!("CARGO_BIN_EXE_novacrm-operator"))),
    }
}
