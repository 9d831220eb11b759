//! Everywhere that secrets could be, one kind a file.
mod blocks;
mod bpf;
mod engine;
mod files;
mod journal;
mod maps;
mod memory;
mod process;
mod swap;

pub use self::{
    blocks::Blocks,
    engine::EngineRecords,
    files::Files,
    journal::{Journal, KernelLog},
    maps::BpfMaps,
    memory::{LOCKED, Memory},
    process::Select,
    swap::Swap,
};
