//! Functions whose source is ciphertext on an OpenFaaS host, except while a caller with the key is
//! being served. Data flows one way: [`spot`] -> [`head`] -> [`lease`] -> [`rebuild`] -> [`release`];
//! [`daemon`] puts them together.
mod chain;
pub mod cli;
mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod fault;
pub mod head;
mod http;
pub mod image;
pub mod lease;
pub mod openfaas;
pub mod rebuild;
pub mod release;
mod replace;
#[cfg(test)]
mod script;
pub mod seal;
pub mod secrecy;
pub mod spot;
pub mod stack;
pub mod state;
