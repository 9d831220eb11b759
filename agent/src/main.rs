//! The command line, and nothing else: see `rsfaas::cli`.
fn main() -> std::process::ExitCode {
    rsfaas::cli::main()
}
