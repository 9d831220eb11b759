//! Functions whose source is ciphertext on an OpenFaaS host, except while a caller with the key is
//! being served. Data flows one way: [`spot`] -> [`head`] -> [`lease`] -> [`rebuild`] -> [`release`];
//! [`daemon`] puts them together.
#[cfg(feature = "host")]
mod chain;
mod checksum;
#[cfg(feature = "host")]
pub mod cli;
#[cfg(feature = "host")]
mod clock;
#[cfg(feature = "host")]
pub mod config;
#[cfg(feature = "host")]
pub mod control;
#[cfg(feature = "host")]
pub mod daemon;
#[cfg(test)]
#[cfg(feature = "host")]
mod eventually;
#[cfg(feature = "host")]
pub mod fault;
pub mod head;
#[cfg(feature = "host")]
mod http;
#[cfg(feature = "host")]
pub mod image;
#[cfg(feature = "host")]
pub mod lease;
#[cfg(test)]
#[cfg(feature = "host")]
#[path = "../tests/support/little_memory.rs"]
mod little_memory;
#[cfg(feature = "host")]
mod lock;
#[cfg(feature = "host")]
pub mod memory_protection;
#[cfg(feature = "host")]
mod not_found;
#[cfg(feature = "host")]
pub mod openfaas;
#[cfg(feature = "host")]
pub mod rebuild;
#[cfg(feature = "host")]
mod regular;
pub mod release;
#[cfg(feature = "host")]
mod replace;
#[cfg(test)]
#[cfg(feature = "host")]
mod script;
pub mod seal;
#[cfg(test)]
#[cfg(feature = "host")]
#[path = "../tests/support/server.rs"]
mod server;
pub mod spot;
#[cfg(feature = "host")]
pub mod stack;
#[cfg(feature = "host")]
pub mod state;
#[cfg(feature = "host")]
pub mod timeline;
