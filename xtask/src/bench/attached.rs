//! An agent's programs where they are attached, and in their place ones that do nothing: nothing starts, ends or is
//! verified between two turns that are compared.

use std::{collections::BTreeMap, os::fd::OwnedFd};

use rsfaas_tests::bpf::{self, Kind, instruction};

use super::{behind, descriptors};
use crate::error::{At as _, Error};

/// Programs of an agent's that are attached, at TC.
pub(super) struct Attached {
    places: Vec<Place>,
    null: OwnedFd,
}

struct Place {
    link: OwnedFd,
    program: OwnedFd,
}

impl Attached {
    /// A process's.
    ///
    /// # Errors
    /// When it has none: before Linux 6.6 nothing tells which they are.
    pub(super) fn of(process: u32) -> Result<Self, Error> {
        let mut places = BTreeMap::new();
        for text in descriptors(process)? {
            let Some((link, program)) = parse(&text) else {
                continue;
            };
            let place = Place {
                link: bpf::link(link).at("bpf(BPF_LINK_GET_FD_BY_ID)")?,
                program: bpf::program(program).at("bpf(BPF_PROG_GET_FD_BY_ID)")?,
            };
            places.insert(link, place);
        }
        if places.is_empty() {
            return Err(Error::Needs(
                "the gateway's throughput is measured from Linux 6.6 on: no program is attached by a TCX link"
                    .to_owned(),
            ));
        }
        // r0 = TCX_NEXT; exit
        let code = [
            instruction(0xb7, 0, 0, u32::MAX),
            instruction(0x95, 0, 0, 0),
        ];
        Ok(Self {
            places: places.into_values().collect(),
            null: bpf::load(Kind::Tc, &code).at("bpf(BPF_PROG_LOAD)")?,
        })
    }

    /// Gives what is measured without the programs.
    ///
    /// # Errors
    /// What is measured gives, and when the programs cannot be changed.
    pub(super) fn without<T>(
        &self,
        measure: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        for Place { link, program } in &self.places {
            bpf::replace(link, program, &self.null).at("bpf(BPF_LINK_UPDATE)")?;
        }
        let measured = measure();
        for Place { link, program } in &self.places {
            bpf::replace(link, &self.null, program).at("bpf(BPF_LINK_UPDATE)")?;
        }
        measured
    }
}

/// The numbers of a link at TC and of its program, where a descriptor's text in `/proc` is one's.
fn parse(text: &str) -> Option<(u32, u32)> {
    let number = |name| behind(text, name)?.parse().ok();
    (behind(text, "link_type:")? == "tcx").then_some(())?;
    Some((number("link_id:")?, number("prog_id:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_at_tc_tells_its_number_and_its_programs() {
        let text =
            "pos:\t0\nlink_type:\ttcx\nlink_id:\t9\nprog_tag:\tab\nprog_id:\t7\nifindex:\t1\n";
        assert_eq!(parse(text), Some((9, 7)));
        assert_eq!(parse(&text.replace("tcx", "xdp")), None);
    }
}
