//! The command line, and an allocator that wipes what is freed: see `rsfaas::cli` and `rsfaas::memory_protection`.
#[global_allocator]
static ALLOCATOR: rsfaas::memory_protection::WipingAllocator =
    rsfaas::memory_protection::WipingAllocator;

fn main() -> std::process::ExitCode {
    rsfaas::cli::main()
}
