//! `novacrm-api-server`: see `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    novacrm_api_server::cli::run()
}
