//! The canary search: whether a secret is anywhere where it must not be.
//!
//! [`Needles`] are the secrets in every spelling in which they may lie about. A [`Place`] is somewhere that
//! can be searched for them: files, the raw bytes of a disk, the memory of processes, BPF maps, what Docker
//! Engine tells. A [`Stack`] knows the places of one host; [`search`] goes through them and gives a
//! [`Report`], which says of each how much was searched and what was found.
//!
//! A search that cannot find anything proves nothing. So a place that could not be searched is an error, and
//! a [`Secret`] may be a marker: something that OpenFaaS has in many places by right, and that must be
//! found there.
//!
//! ```ignore
//! let needles = Needles::new(vec![Secret::key("key", &key)?, Secret::new("source", SENTENCE)?])?;
//! let stack = Stack::new(Some(agent.pid()), [agent.state_dir()], since).only_changed();
//! let report = search(&stack.places()?, &needles);
//! assert!(report.problems(|_, _| false).is_empty(), "{report}");
//! ```
//!
//! A function that was built plain before it was sealed has left its source in the builder's cache and in free
//! blocks, where it is found rightly: search for the key alone then, or seal a function that was never built.
//!
//! It needs root, and never looks into its own process.
mod compressed;
mod needles;
mod place;
pub mod places;
mod report;
mod run;
mod scan;
mod stack;

pub use self::{
    needles::{BadSecret, Needles, Secret, Spelling},
    place::{Place, Unsearchable},
    report::{Finding, Hit, Report},
    run::search,
    scan::Scan,
    stack::{Part, Stack},
};
