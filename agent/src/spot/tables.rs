//! The kernel's tables, seen from the agent: names, flows, counters.
use std::collections::BTreeMap;

use agent_ebpf::{Awaited, Counter, Flow, FlowKey, FlowState, NameKey, NameKind};
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
pub struct Names {
    keys: HashMap<MapData, NameKey, u32>,
    /// What each key stands for: names may share one.
    names: BTreeMap<u64, BTreeMap<String, u32>>,
}

impl Names {
    pub(super) fn new(map: Map) -> Result<Self, SpotError> {
        let keys = HashMap::try_from(map).map_err(SpotError::map("NAMES"))?;
        Ok(Self {
            keys,
            names: BTreeMap::new(),
        })
    }

    /// Adds or changes a name.
    ///
    /// # Errors
    /// When the name does not fit or the map is full.
    pub fn insert(&mut self, name: &str, kind: NameKind) -> Result<(), SpotError> {
        let key = NameKey::new(name).ok_or_else(|| SpotError::Name(name.to_owned()))?;
        let names = self.names.entry(key.0).or_default();
        names.insert(name.to_owned(), kind as u32);
        Self::set(&mut self.keys, key, names)
    }

    /// Removes a name; one that is not there is no error.
    ///
    /// # Errors
    /// When the name does not fit or the kernel refuses.
    pub fn remove(&mut self, name: &str) -> Result<(), SpotError> {
        let key = NameKey::new(name).ok_or_else(|| SpotError::Name(name.to_owned()))?;
        if let Some(names) = self.names.get_mut(&key.0) {
            names.remove(name);
            if !names.is_empty() {
                return Self::set(&mut self.keys, key, names);
            }
            self.names.remove(&key.0);
        }
        gone(self.keys.remove(&key)).map_err(SpotError::map("NAMES"))
    }

    /// Of names that share a key the one of which more is held counts.
    fn set(
        keys: &mut HashMap<MapData, NameKey, u32>,
        key: NameKey,
        names: &BTreeMap<String, u32>,
    ) -> Result<(), SpotError> {
        let kind = names.values().copied().max().unwrap_or_default();
        keys.insert(key, kind, 0).map_err(SpotError::map("NAMES"))
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

    /// Asks to be told when the gateway's next answer on a flow begins.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn await_answer(&mut self, flow: &FlowKey) -> Result<(), SpotError> {
        let value = Flow {
            awaited: Awaited::Answer as u32,
            ..self.known(flow)?
        };
        self.set(flow, value)
    }

    /// Leaves a flow to the programs with the gateway's next answer, unless more of it has come than up to a sequence number;
    /// that is told as an answer.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn leave_on_answer(&mut self, flow: &FlowKey, sequence: u32) -> Result<(), SpotError> {
        let value = Flow {
            awaited: Awaited::Leave as u32,
            next_head: sequence,
            next_head_known: 0,
            ..self.known(flow)?
        };
        self.set(flow, value)
    }

    /// Holds a flow's segments, but for those that lie in a window of sequence numbers (the first and
    /// the one after the last).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn move_window(
        &mut self,
        flow: &FlowKey,
        (pass_start, pass_end): (u32, u32),
    ) -> Result<(), SpotError> {
        let value = Flow {
            state: FlowState::Owned as u32,
            pass_start,
            pass_end,
            ..self.known(flow)?
        };
        self.set(flow, value)
    }

    /// Tells where the next request's head starts, of a flow whose answers have all come.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_next_head(&mut self, flow: &FlowKey, sequence: u32) -> Result<(), SpotError> {
        let value = Flow {
            next_head: sequence,
            next_head_known: 1,
            ..self.known(flow)?
        };
        self.set(flow, value)
    }

    /// Lets go of a flow: only what may be a request is held again; its end is still reported.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_opaque(&mut self, flow: &FlowKey) -> Result<(), SpotError> {
        let value = Flow {
            state: FlowState::Opaque as u32,
            pass_start: 0,
            pass_end: 0,
            ..self.known(flow)?
        };
        self.set(flow, value)
    }

    /// Drops a flow's segments until the one with this sequence number comes again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_missed(&mut self, flow: &FlowKey, sequence: u32) -> Result<(), SpotError> {
        self.set(flow, Flow::missed(sequence, monotonic_now()))
    }

    /// What is known of a flow by now, of which something has just come.
    fn known(&self, flow: &FlowKey) -> Result<Flow, SpotError> {
        let now = monotonic_now();
        Ok(Flow {
            last_seen: now,
            ..self.get(flow)?.unwrap_or(Flow::held(now))
        })
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

    /// The flows of whose clients nothing has been seen since a time of the kernel's monotonic clock, in nanoseconds.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn last_seen_before(&self, time: u64) -> Result<Vec<FlowKey>, SpotError> {
        let mut silent = Vec::new();
        for entry in self.0.iter() {
            let (key, flow) = entry.map_err(SpotError::map("FLOWS"))?;
            if flow.last_seen < time {
                silent.push(key);
            }
        }
        Ok(silent)
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

pub(super) fn gone(result: Result<(), MapError>) -> Result<(), MapError> {
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
