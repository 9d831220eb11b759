//! Tests of the whole: end to end on a real OpenFaaS (`e2e/`, on the host of `openfaas/`), and on a wire of
//! their own (`wire/`). The library is what they and `cargo xtask canary` share.
pub mod bpf;
pub mod canary;
pub mod check;
pub mod random;
pub mod status;
pub mod unit;
