//! Loading the programs and attaching them to interfaces.
use std::collections::HashMap;

use agent_ebpf::{HeaderName, search};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, MapData, RingBuf},
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLinkId, TcAttachOptions},
    },
    util::KernelVersion,
};

use super::{Counters, Flows, Interface, Names, ProgramLog, SpotError, tables::take_map};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("RSFAAS_SPOTTER"));

/// What the programs need to know before they are loaded.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway's TCP port.
    pub port: u16,
    /// Name of the header that carries the key, in any letter case.
    pub key_header: String,
    /// Mark of released packets: random, not zero.
    pub release_mark: u32,
}

/// The loaded programs; dropping it detaches them and everything passes again.
pub struct Spotter {
    ebpf: Ebpf,
    attached: HashMap<u32, Attached>,
}

struct Attached {
    name: String,
    ingress: SchedClassifierLinkId,
    egress: SchedClassifierLinkId,
    programs: Programs,
}

/// The pair of programs for an interface.
#[derive(Clone, Copy)]
struct Programs {
    ingress: &'static str,
    egress: &'static str,
}

const ETHERNET: Programs = Programs {
    ingress: "spot_ethernet",
    egress: "watch_ethernet",
};
const IP: Programs = Programs {
    ingress: "spot_ip",
    egress: "watch_ip",
};
const RELEASE: &str = "release";

impl Spotter {
    /// Loads the programs; none is attached yet.
    ///
    /// # Errors
    /// When the kernel refuses them, or the agent lacks the right.
    pub fn load(options: &Options) -> Result<Self, SpotError> {
        let header = HeaderName::new(&options.key_header)
            .ok_or_else(|| SpotError::Header(options.key_header.clone()))?;
        let mut ebpf = EbpfLoader::new()
            .override_global("GATEWAY_PORT", &options.port, true)
            .override_global("RELEASE_MARK", &options.release_mark, true)
            .load(OBJECT)
            .map_err(not_permitted)?;
        for name in [
            ETHERNET.ingress,
            ETHERNET.egress,
            IP.ingress,
            IP.egress,
            RELEASE,
        ] {
            program(&mut ebpf, name)?
                .load()
                .map_err(|source| SpotError::Program {
                    name,
                    source: Box::new(source),
                })?;
        }
        fill_search_table(&mut ebpf, &header)?;
        Ok(Self {
            ebpf,
            attached: HashMap::new(),
        })
    }

    /// Attaches the programs to an interface, first in the chain; attached already is no error.
    ///
    /// # Errors
    /// When the kernel refuses; the interface may have gone meanwhile.
    pub fn attach(&mut self, interface: &Interface) -> Result<(), SpotError> {
        if self.attached.contains_key(&interface.index) {
            return Ok(());
        }
        let programs = if interface.ethernet { ETHERNET } else { IP };
        let ingress = attach(
            &mut self.ebpf,
            programs.ingress,
            &interface.name,
            TcAttachType::Ingress,
        )?;
        let egress = attach(
            &mut self.ebpf,
            programs.egress,
            &interface.name,
            TcAttachType::Egress,
        )?;
        let attached = Attached {
            name: interface.name.clone(),
            ingress,
            egress,
            programs,
        };
        self.attached.insert(interface.index, attached);
        Ok(())
    }

    /// Attaches the program that sends released frames on, to the far end of the agent's veth pair.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach_release(&mut self, interface: &str) -> Result<(), SpotError> {
        attach(&mut self.ebpf, RELEASE, interface, TcAttachType::Ingress).map(drop)
    }

    /// Forgets an interface that has gone.
    pub fn detach(&mut self, index: u32) {
        let Some(attached) = self.attached.remove(&index) else {
            return;
        };
        for (name, link) in [
            (attached.programs.ingress, attached.ingress),
            (attached.programs.egress, attached.egress),
        ] {
            // The kernel has detached the program with the interface; only the handle is left.
            if let Err(error) = program(&mut self.ebpf, name).map(|program| program.detach(link)) {
                tracing::debug!(interface = attached.name, %error, "already detached");
            }
        }
    }

    /// Names of the interfaces to which the programs are attached.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.attached
            .values()
            .map(|attached| attached.name.as_str())
    }

    /// The map of names; to be taken once.
    ///
    /// # Errors
    /// When the object has none, or it was taken.
    pub fn names(&mut self) -> Result<Names, SpotError> {
        Names::new(take_map(&mut self.ebpf, "NAMES")?)
    }

    /// The map of flows; to be taken once.
    ///
    /// # Errors
    /// When the object has none, or it was taken.
    pub fn flows(&mut self) -> Result<Flows, SpotError> {
        Flows::new(take_map(&mut self.ebpf, "FLOWS")?)
    }

    /// The counters; to be taken once.
    ///
    /// # Errors
    /// When the object has none, or they were taken.
    pub fn counters(&mut self) -> Result<Counters, SpotError> {
        Counters::new(take_map(&mut self.ebpf, "COUNTERS")?)
    }

    /// The ring buffer; to be taken once.
    ///
    /// # Errors
    /// When the object has none, or it was taken.
    pub fn ring(&mut self) -> Result<RingBuf<MapData>, SpotError> {
        RingBuf::try_from(take_map(&mut self.ebpf, "EVENTS")?).map_err(SpotError::map("EVENTS"))
    }

    /// The programs' log; to be taken once.
    ///
    /// # Errors
    /// When the object has none, or it was taken.
    pub fn log(&mut self) -> Result<ProgramLog, SpotError> {
        ProgramLog::new(&mut self.ebpf)
    }

    /// The loaded object, for test runs.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// Writes the automaton that finds the key header.
fn fill_search_table(ebpf: &mut Ebpf, header: &HeaderName) -> Result<(), SpotError> {
    let mut table = [0; search::TABLE_LEN];
    for (state, row) in (0_u8..).zip(table.chunks_exact_mut(256)) {
        for (byte, next) in (0_u8..=255).zip(row) {
            *next = search::next(header, state, byte);
        }
    }
    let mut map = Array::<_, [u8; search::TABLE_LEN]>::try_from(take_map(ebpf, "SEARCH")?)
        .map_err(SpotError::map("SEARCH"))?;
    map.set(0, table, 0).map_err(SpotError::map("SEARCH"))
}

fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, SpotError> {
    ebpf.program_mut(name)
        .ok_or(SpotError::Missing(name))?
        .try_into()
        .map_err(|source| SpotError::Program {
            name,
            source: Box::new(source),
        })
}

fn attach(
    ebpf: &mut Ebpf,
    name: &'static str,
    interface: &str,
    hook: TcAttachType,
) -> Result<SchedClassifierLinkId, SpotError> {
    let failed = |source| SpotError::Attach {
        program: name,
        interface: interface.to_owned(),
        source: Box::new(source),
    };
    // First in the chain: what is to be held must not be answered, redirected or rewritten by
    // another program before.
    let options = if has_tcx() {
        TcAttachOptions::TcxOrder(LinkOrder::first())
    } else {
        add_clsact(interface).map_err(failed)?;
        TcAttachOptions::Netlink(NlOptions {
            priority: 1,
            ..NlOptions::default()
        })
    };
    program(ebpf, name)?
        .attach_with_options(interface, hook, options)
        .map_err(failed)
}

/// TCX came with Linux 6.6. A kernel whose version cannot be read is taken for an older one: the
/// clsact qdisc works there too.
fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

/// Adds the qdisc that the hooks of older kernels need; one that is there already serves.
fn add_clsact(interface: &str) -> Result<(), ProgramError> {
    match tc::qdisc_add_clsact(interface) {
        Ok(()) | Err(tc::TcError::AlreadyAttached) => Ok(()),
        Err(error) => Err(ProgramError::TcError(error)),
    }
}

/// Tells missing rights from a kernel that lacks something: the operator's next step differs.
fn not_permitted(error: EbpfError) -> SpotError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::PermissionDenied
        {
            return SpotError::NotPermitted {
                source: std::io::Error::from(io.kind()),
            };
        }
        source = cause.source();
    }
    SpotError::Load(error)
}
