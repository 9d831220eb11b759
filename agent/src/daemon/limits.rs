//! What the system allows the agent to use.
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Takes all the descriptors that it may have: each sealed function needs some, and what a program is started with
/// is meant for those that wait with select(2). What the kernel refuses is told, and the agent runs all the same.
pub(super) fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_descriptors_may_be_open_as_the_system_allows() {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most.min(1024), most).unwrap();
        raise_descriptors();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE), Ok((most, most)));
    }
}
