//! The AI compliance engine; see `novacrm-engine --help`.

fn main() -> std::process::ExitCode {
    novacrm_engine::cli::main()
}
