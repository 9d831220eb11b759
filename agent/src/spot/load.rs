//! Loading the programs and attaching them to interfaces.
use std::collections::BTreeMap;

use agent_ebpf::{HeaderName, sample::Samples, search, tail_call};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, MapData, ProgramArray, RingBuf},
    programs::{SchedClassifier, TcAttachType, TestRun as _, TestRunOptions, Xdp},
};

use nix::net::if_::if_nametoindex;

use super::{
    AdmissionKey, Admissions, Attach, Counters, Flows, Hook, Interface, Names, ProgramLog,
    ReleaseSign, SpotError,
    attach::{self, Attached, LEAVING, SPOT, WATCH},
    automaton,
    tables::take_map,
    tc::Tc,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../target/artifacts/spotter.o");

/// What the programs need to know before they are loaded.
#[derive(Clone)]
pub struct Options {
    /// The gateway's TCP port.
    pub port: u16,
    /// Name of the header that carries the key, in any letter case.
    pub key_header: String,
    /// Name of the header that carries the next key, which is nobody else's business either.
    pub next_key_header: String,
    /// Signs of released packets.
    pub release: ReleaseSign,
    /// The key under which heads have their names.
    pub admission: AdmissionKey,
}

/// The loaded programs; dropping it detaches them and everything passes again.
pub struct Spotter {
    pub(super) ebpf: Ebpf,
    pub(super) attached: BTreeMap<u32, Attached>,
    /// What sends released frames on, and the name and index of the interface where it is.
    pub(super) release: Option<(String, u32, Tc)>,
    /// The last interface at which it was looked whether they are in place.
    pub(super) looked_at: u32,
}

const RELEASE: &str = "release";
const WIPE: &str = "wipe";
const BARRIER: &str = "barrier";
/// The smallest packet that a program of TC's is run on.
const NO_PACKET: [u8; 14] = [0; 14];

impl Spotter {
    /// Loads the programs; none is attached yet.
    ///
    /// # Errors
    /// When the kernel refuses them, or the agent lacks the right.
    pub fn load(options: &Options) -> Result<Self, SpotError> {
        let search = search_table(&options.key_header, &options.next_key_header)?;
        let mut ebpf = EbpfLoader::new()
            .override_global("GATEWAY_PORT", &options.port, true)
            .override_global("RELEASE_MARK", &options.release.mark, true)
            .override_global("RELEASE_SOURCE", &options.release.source_number(), true)
            .override_global("ADMISSION_KEY", &options.admission.0, true)
            .load(OBJECT)
            .map_err(not_permitted)?;
        // Every host needs these; the others are loaded when an interface wants them.
        for name in [SPOT, WATCH, RELEASE, WIPE, BARRIER] {
            attach::classifier(&mut ebpf, name)?;
        }
        fill_array(&mut ebpf, "SEARCH", *search)?;
        let samples = Samples::of(&[
            header(&options.key_header)?,
            header(&options.next_key_header)?,
        ]);
        fill_array(&mut ebpf, "SAMPLES", samples)?;
        set_tail_call(&mut ebpf, tail_call::WATCH, WATCH)?;
        Ok(Self {
            ebpf,
            attached: BTreeMap::new(),
            release: None,
            looked_at: 0,
        })
    }

    /// Attaches the programs to an interface, and tells at which hook; attached already is no error. Where that was asked
    /// for otherwise, under another name, they are attached anew.
    ///
    /// # Errors
    /// When the kernel refuses; the interface may have gone meanwhile.
    pub fn attach(&mut self, interface: &Interface, wanted: Attach) -> Result<Hook, SpotError> {
        match self.attached.get_mut(&interface.index) {
            Some(attached) if attached.wanted == wanted => {
                attached.interface.name.clone_from(&interface.name);
                return Ok(attached.hook);
            }
            Some(_) => self.detach(interface.index),
            None => {}
        }
        if !interface.loopback {
            set_tail_call(&mut self.ebpf, tail_call::LEAVING, LEAVING)?;
        }
        let attached = Attached::to(&mut self.ebpf, interface, wanted)?;
        let hook = attached.hook;
        self.attached.insert(interface.index, attached);
        Ok(hook)
    }

    /// Attaches the program that sends released frames on, to the far end of the agent's veth pair.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach_release(&mut self, interface: &str) -> Result<(), SpotError> {
        let at = TcAttachType::Ingress;
        let link = attach::at_tc(&mut self.ebpf, RELEASE, interface, at)?;
        let index =
            if_nametoindex(interface).map_err(|error| SpotError::Netlink(error.to_string()))?;
        self.release = Some((interface.to_owned(), index, Tc::new(RELEASE, at, link)));
        Ok(())
    }

    /// Forgets an interface that has gone.
    pub fn detach(&mut self, index: u32) {
        if let Some(attached) = self.attached.remove(&index) {
            attached.detach(&mut self.ebpf);
        }
    }

    /// The interfaces to which the programs are attached, by name, and the hooks.
    pub fn interfaces(&self) -> impl Iterator<Item = (&str, Hook)> {
        self.attached
            .values()
            .filter(|attached| attached.is_whole())
            .map(|attached| (attached.interface.name.as_str(), attached.hook))
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

    /// The maps of what is let go on; to be taken once.
    ///
    /// # Errors
    /// When the object has none, or they were taken.
    pub fn admissions(&mut self) -> Result<Admissions, SpotError> {
        Admissions::new(&mut self.ebpf)
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

    /// Overwrites a part of the ring buffer with records of zeros; whether there was room for all of them.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub(super) fn write_zeros(&mut self) -> Result<bool, SpotError> {
        self.run(WIPE)
    }

    /// Asks for [`Event::Barrier`](super::Event), which comes after all that was spotted before; whether there was
    /// room for it.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn ask_for_barrier(&mut self) -> Result<bool, SpotError> {
        self.run(BARRIER)
    }

    /// Runs a program that looks at no packet; whether it could do its work.
    fn run(&mut self, name: &'static str) -> Result<bool, SpotError> {
        let options = TestRunOptions {
            data_in: Some(&NO_PACKET),
            ..TestRunOptions::new()
        };
        let run = self.classifier(name)?.test_run(options);
        let result = run.map_err(|source| SpotError::Program {
            name,
            source: Box::new(source),
        })?;
        Ok(result.return_value == 0)
    }

    /// A TC program, for test runs.
    ///
    /// # Errors
    /// When the object has none of that name, or the kernel refuses it.
    pub fn classifier(&mut self, name: &'static str) -> Result<&mut SchedClassifier, SpotError> {
        attach::classifier(&mut self.ebpf, name)
    }

    /// The XDP program, for test runs.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn xdp(&mut self) -> Result<&mut Xdp, SpotError> {
        attach::xdp(&mut self.ebpf)
    }
}

/// Checks that the programs can look for headers of these names.
///
/// # Errors
/// When one is too long, or both together are.
pub fn check_headers(key: &str, next: &str) -> Result<(), SpotError> {
    search_table(key, next).map(drop)
}

/// The automaton that finds the headers of these names.
fn search_table(key: &str, next: &str) -> Result<Box<[u8; search::TABLE_LEN]>, SpotError> {
    automaton::table([&header(key)?, &header(next)?])
        .ok_or_else(|| SpotError::Headers(key.to_owned(), next.to_owned()))
}

fn header(name: &str) -> Result<HeaderName, SpotError> {
    HeaderName::new(name).ok_or_else(|| SpotError::Header(name.to_owned()))
}

/// Sets the only entry of a map. It stays with the object, for programs that are loaded later.
fn fill_array(ebpf: &mut Ebpf, name: &'static str, entry: impl aya::Pod) -> Result<(), SpotError> {
    let map = ebpf.map_mut(name).ok_or(SpotError::Missing(name))?;
    let mut map = Array::try_from(map).map_err(SpotError::map(name))?;
    map.set(0, entry, 0).map_err(SpotError::map(name))
}

/// Tells the programs which one it is that they hand some packets over to.
fn set_tail_call(ebpf: &mut Ebpf, slot: u32, program: &'static str) -> Result<(), SpotError> {
    const MAP: &str = "TAIL_CALLS";
    let file = attach::classifier(ebpf, program)?
        .fd()
        .and_then(|fd| Ok(fd.try_clone()?))
        .map_err(|source| attach::refused(program, source))?;
    // The kernel empties it once nobody has it open: it stays with the object.
    let map = ebpf.map_mut(MAP).ok_or(SpotError::Missing(MAP))?;
    let mut map = ProgramArray::try_from(map).map_err(SpotError::map(MAP))?;
    map.set(slot, &file, 0).map_err(SpotError::map(MAP))
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
