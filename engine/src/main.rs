//! The AI compliance engine; see `novacrm-engine --help`.

/// The C library of the images serves all threads from under one lock.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    novacrm_engine::cli::main()
}
