//! Everywhere that secrets could be, one kind a file.
mod blocks;
mod bpf;
mod engine;
mod files;
mod journal;
mod maps;
mod memory;
mod mounts;
mod process;
mod swap;
mod unnamed;

pub use self::{
    blocks::Blocks,
    engine::{BuildCache, EngineRecords},
    files::Files,
    journal::{Journal, KernelLog},
    maps::BpfMaps,
    memory::{LOCKED, Memory},
    mounts::Delivered,
    process::Select,
    swap::Swap,
    unnamed::UnnamedFiles,
};
