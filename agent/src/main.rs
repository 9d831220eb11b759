//! The command line, and an allocator that wipes what is freed: see `rsfaas::cli` and `rsfaas::secrecy`.
#[global_allocator]
static ALLOCATOR: rsfaas::secrecy::WipingAllocator = rsfaas::secrecy::WipingAllocator;

fn main() -> std::process::ExitCode {
    rsfaas::cli::main()
}
