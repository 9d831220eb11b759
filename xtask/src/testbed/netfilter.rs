//! What Docker Engine leaves in iptables when it ends, and how to take it out again.

/// Commands (arguments of `iptables`) that take out what `after` has and `before` had not, both as
/// printed by `iptables-save`. Only what bears a mark of Docker is touched: its chains, rules that
/// name them or an interface of its, and the policy that it sets for forwarding.
pub(super) fn removals(before: &str, after: &str, interfaces: &[String]) -> Vec<Vec<String>> {
    let old: Vec<(&str, &str)> = entries(before).collect();
    let mut rules = Vec::new();
    let mut chains = Vec::new();
    let mut policies = Vec::new();
    for (table, line) in entries(after) {
        if let Some(rule) = line.strip_prefix("-A ") {
            let ours =
                words(rule).any(|word| is_chain(word) || interfaces.iter().any(|it| it == word));
            if ours && !old.contains(&(table, line)) {
                rules.push(command(table, "-D", rule));
            }
        } else if let Some((chain, policy)) = chain(line) {
            let had = old
                .iter()
                .filter(|(old_table, _)| *old_table == table)
                .find_map(|(_, line)| self::chain(line).filter(|(name, _)| *name == chain));
            match had {
                None if is_chain(chain) => {
                    chains.push(command(table, "-F", chain));
                    chains.push(command(table, "-X", chain));
                }
                Some((_, before)) if before != policy && chain == "FORWARD" => {
                    policies.push(command(table, "-P", &format!("{chain} {before}")));
                }
                // The table was not in use before; an unused chain accepts.
                None if chain == "FORWARD" && policy == "DROP" => {
                    policies.push(command(table, "-P", "FORWARD ACCEPT"));
                }
                _ => {}
            }
        }
    }
    // A chain can go only after the last rule that jumps to it; flushing all before deleting any
    // takes care of those that jump to one another.
    let (flush, delete): (Vec<_>, Vec<_>) = chains
        .into_iter()
        .partition(|command| command.contains(&"-F".to_owned()));
    policies
        .into_iter()
        .chain(rules)
        .chain(flush)
        .chain(delete)
        .collect()
}

/// What of a firewall, as printed by `iptables-save`, bears a mark of Docker: its chains and the rules that name them.
pub(super) fn of_docker(saved: &str) -> impl Iterator<Item = String> {
    entries(saved).filter_map(|(table, line)| {
        let marked = match chain(line) {
            Some((name, _)) => is_chain(name),
            None => words(line).any(|word| is_chain(word) || word == "docker0"),
        };
        // Behind a chain's name stand its policy and its counts.
        let line = chain(line).map_or(line, |(name, _)| name);
        marked.then(|| format!("{table} {line}"))
    })
}

/// The lines that say something, each with its table.
fn entries(saved: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut table = "";
    saved.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
            return None;
        }
        (line.starts_with('-') || line.starts_with(':')).then_some((table, line))
    })
}

/// Name and policy in a line like `:FORWARD DROP [0:0]`.
fn chain(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.strip_prefix(':')?.split(' ');
    Some((parts.next()?, parts.next()?))
}

fn is_chain(name: &str) -> bool {
    name == "DOCKER" || name.starts_with("DOCKER-")
}

fn words(rule: &str) -> impl Iterator<Item = &str> {
    rule.split(' ')
}

fn command(table: &str, action: &str, rest: &str) -> Vec<String> {
    ["-w", "-t", table, action]
        .into_iter()
        .chain(words(rest))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n\
        :DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A FORWARD -i docker0 -j ACCEPT\n\
        -A FORWARD -i wg0 -j ACCEPT\n-A DOCKER-USER -j RETURN\nCOMMIT\n\
        *nat\n:POSTROUTING ACCEPT [0:0]\n\
        -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\nCOMMIT\n";

    fn lines(before: &str, after: &str) -> Vec<String> {
        removals(before, after, &["docker0".to_owned()])
            .iter()
            .map(|command| command.join(" "))
            .collect()
    }

    #[test]
    fn dockers_chains_and_rules_bear_its_mark() {
        let marked: Vec<String> = of_docker(AFTER).collect();
        assert_eq!(
            marked,
            [
                "filter DOCKER",
                "filter DOCKER-USER",
                "filter -A FORWARD -j DOCKER-USER",
                "filter -A FORWARD -i docker0 -j ACCEPT",
                "filter -A DOCKER-USER -j RETURN",
                "nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
            ]
        );
    }

    #[test]
    fn what_docker_added_goes_rules_before_the_chains_they_name() {
        let before = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n\
            -A FORWARD -i wg0 -j ACCEPT\nCOMMIT\n";
        assert_eq!(
            lines(before, AFTER),
            [
                "-w -t filter -P FORWARD ACCEPT",
                "-w -t filter -D FORWARD -j DOCKER-USER",
                "-w -t filter -D FORWARD -i docker0 -j ACCEPT",
                "-w -t filter -D DOCKER-USER -j RETURN",
                "-w -t nat -D POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
                "-w -t filter -F DOCKER",
                "-w -t filter -F DOCKER-USER",
                "-w -t filter -X DOCKER",
                "-w -t filter -X DOCKER-USER",
            ]
        );
    }

    #[test]
    fn a_table_that_was_not_in_use_accepts_again() {
        assert_eq!(lines("", AFTER)[0], "-w -t filter -P FORWARD ACCEPT");
    }

    #[test]
    fn rules_that_were_there_before_stay() {
        assert_eq!(lines(AFTER, AFTER), Vec::<String>::new());
    }

    #[test]
    fn rules_of_others_stay_even_if_they_came_later() {
        let after = "*filter\n:FORWARD ACCEPT [0:0]\n:MINE - [0:0]\n-A FORWARD -j MINE\nCOMMIT\n";
        assert_eq!(lines("", after), Vec::<String>::new());
    }
}
