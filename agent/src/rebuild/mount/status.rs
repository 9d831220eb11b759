//! What `/proc/PID/status` tells of a process (proc_pid_status(5)).

/// User and group of a process, as the host counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// Effective user.
    pub(super) user: u32,
    /// Effective group.
    pub(super) group: u32,
}

/// Effective user and group.
pub(super) fn owner(status: &str) -> Option<Owner> {
    let effective = |name: &str| field(status, name).split_whitespace().nth(1)?.parse().ok();
    Some(Owner {
        user: effective("Uid:")?,
        group: effective("Gid:")?,
    })
}

/// The process's numbers, in each of its PID namespaces from the outermost on.
pub(super) fn numbers(status: &str) -> Vec<i32> {
    field(status, "NSpid:")
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// The number of the process that has started it, as the host counts.
pub(super) fn parent(status: &str) -> Option<i32> {
    field(status, "PPid:").trim().parse().ok()
}

/// Whether the process is number 1 in a PID namespace below the host's.
pub(super) fn is_first(status: &str) -> bool {
    let mut numbers = field(status, "NSpid:").split_whitespace();
    numbers.next().is_some() && numbers.next_back() == Some("1")
}

/// Whether the process is stopped by a signal.
pub(super) fn is_stopped(status: &str) -> bool {
    field(status, "State:").trim_start().starts_with('T')
}

/// Whether a SIGTERM waits for the process to see it.
pub(super) fn is_asked_to_end(status: &str) -> bool {
    const SIGTERM: u64 = 1 << (15 - 1);
    u64::from_str_radix(field(status, "ShdPnd:").trim(), 16)
        .is_ok_and(|pending| pending & SIGTERM != 0)
}

/// What follows a name; empty where the kernel has no such line.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_and_group_are_read() {
        let status = "Name:\tx\nUid:\t1\t100\t2\t3\nGid:\t4\t101\t5\t6\n";
        assert_eq!(
            owner(status),
            Some(Owner {
                user: 100,
                group: 101
            })
        );
        assert_eq!(owner("Name:\tUid:\n"), None);
    }

    #[test]
    fn the_parent_is_read_where_the_kernel_tells_it() {
        assert_eq!(parent("Name:\tx\nPid:\t4711\nPPid:\t47\n"), Some(47));
        assert_eq!(parent("Name:\tx\n"), None);
    }

    #[test]
    fn the_first_process_of_a_container_is_known_by_its_number_there() {
        assert!(is_first("Name:\tx\nNSpid:\t4711\t1\n"));
        assert!(is_first("NSpid:\t4711\t20\t1\n"));
        // A later one, and the host's own first process.
        assert!(!is_first("NSpid:\t4711\t21\n"));
        assert!(!is_first("NSpid:\t1\n"));
        assert!(!is_first("Name:\tx\n"));
    }

    #[test]
    fn a_stopped_process_is_told_from_a_sleeping_and_a_traced_one() {
        assert!(is_stopped("Name:\tx\nState:\tT (stopped)\n"));
        assert!(!is_stopped("State:\tS (sleeping)\n"));
        assert!(!is_stopped("State:\tt (tracing stop)\n"));
    }

    #[test]
    fn only_a_pending_sigterm_asks_to_end() {
        assert!(is_asked_to_end("SigPnd:\t0\nShdPnd:\t0000000000004200\n"));
        assert!(!is_asked_to_end(
            "SigPnd:\t4000\nShdPnd:\t0000000000000200\n"
        ));
        assert!(!is_asked_to_end("Name:\tx\n"));
    }
}
