//! The kernel's tables, seen from the agent: names, flows, counters.
use agent_ebpf::{Counter, Flow, FlowKey, FlowState, NameKey, NameKind};
use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData, MapError, PerCpuArray},
};

use super::SpotError;
use crate::clock::monotonic_now;

pub(super) fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, SpotError> {
    ebpf.take_map(name).ok_or(SpotError::Missing(name))
}

/// Names that the programs look for.
pub struct Names(HashMap<MapData, NameKey, u32>);

impl Names {
    pub(super) fn new(map: Map) -> Result<Self, SpotError> {
        HashMap::try_from(map)
            .map(Self)
            .map_err(SpotError::map("NAMES"))
    }

    /// Adds or changes a name.
    ///
    /// # Errors
    /// When the name does not fit or the map is full.
    pub fn insert(&mut self, name: &str, kind: NameKind) -> Result<(), SpotError> {
        let key = NameKey::new(name).ok_or_else(|| SpotError::Name(name.to_owned()))?;
        self.0
            .insert(key, kind as u32, 0)
            .map_err(SpotError::map("NAMES"))
    }

    /// Removes a name; one that is not there is no error.
    ///
    /// # Errors
    /// When the name does not fit or the kernel refuses.
    pub fn remove(&mut self, name: &str) -> Result<(), SpotError> {
        let key = NameKey::new(name).ok_or_else(|| SpotError::Name(name.to_owned()))?;
        gone(self.0.remove(&key)).map_err(SpotError::map("NAMES"))
    }
}

/// Flows that the agent has.
pub struct Flows(HashMap<MapData, FlowKey, Flow>);

impl Flows {
    pub(super) fn new(map: Map) -> Result<Self, SpotError> {
        HashMap::try_from(map)
            .map(Self)
            .map_err(SpotError::map("FLOWS"))
    }

    /// Holds a flow's segments, but for those that lie in a window of sequence numbers (the first and
    /// the one after the last); reports the gateway's next payload where the answer is awaited.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hold(
        &mut self,
        flow: &FlowKey,
        window: (u32, u32),
        awaits_answer: bool,
    ) -> Result<(), SpotError> {
        let value = Flow {
            pass_start: window.0,
            pass_end: window.1,
            awaits_answer: awaits_answer.into(),
            ..Flow::held(monotonic_now())
        };
        self.set(flow, value)
    }

    /// Lets go of a flow: only what starts a request is held again; its end is still reported.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_opaque(&mut self, flow: &FlowKey) -> Result<(), SpotError> {
        let state = FlowState::Opaque as u32;
        self.set(
            flow,
            Flow {
                state,
                ..Flow::held(monotonic_now())
            },
        )
    }

    /// What the kernel knows of a flow; `None` where it has none of that name.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn get(&self, flow: &FlowKey) -> Result<Option<Flow>, SpotError> {
        match self.0.get(flow, 0) {
            Ok(known) => Ok(Some(known)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(SpotError::map("FLOWS")(error)),
        }
    }

    fn set(&mut self, flow: &FlowKey, value: Flow) -> Result<(), SpotError> {
        self.0
            .insert(flow, value, 0)
            .map_err(SpotError::map("FLOWS"))
    }

    /// Forgets a flow; one that is not there is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&mut self, flow: &FlowKey) -> Result<(), SpotError> {
        gone(self.0.remove(flow)).map_err(SpotError::map("FLOWS"))
    }
}

fn gone(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        Err(MapError::KeyNotFound) => Ok(()),
        other => other,
    }
}

/// The programs' counters.
pub struct Counters(PerCpuArray<MapData, u64>);

impl Counters {
    pub(super) fn new(map: Map) -> Result<Self, SpotError> {
        PerCpuArray::try_from(map)
            .map(Self)
            .map_err(SpotError::map("COUNTERS"))
    }

    /// Every counter by name, summed over the CPUs.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read(&self) -> Result<Vec<(&'static str, u64)>, SpotError> {
        Counter::ALL
            .iter()
            .map(|(counter, name)| {
                let values = self
                    .0
                    .get(&(*counter as u32), 0)
                    .map_err(SpotError::map("COUNTERS"))?;
                Ok((*name, values.iter().sum()))
            })
            .collect()
    }
}
