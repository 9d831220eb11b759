//! What the kernel half and the agent share: map records, limits and names.
#![cfg_attr(not(test), no_std)]
