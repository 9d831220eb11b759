//! The automaton that finds a header which carries a key, for the programs: the searches for each name and for a request
//! line's end, run side by side and numbered anew, and the same once more for what stands behind a head.
use agent_ebpf::{HeaderName, search};

/// The programs' table, at `state * 256 + byte` the next state; `None` where the names together have more
/// states than the table has numbers for.
pub(super) fn table(headers: [&HeaderName; 2]) -> Option<Box<[u8; search::TABLE_LEN]>> {
    let mut table = Box::new([0; search::TABLE_LEN]);
    let (rows, _) = table.as_chunks_mut::<256>();
    for state in search::DECIDED..search::BEHIND {
        // Never left.
        rows[usize::from(state)].fill(state);
    }
    // Their places are their numbers; the first is at a line's start.
    let mut states = vec![State::default()];
    // States and bytes with which a request line ends.
    let mut lines = Vec::new();
    let mut number = 0;
    while let Some(&state) = states.get(number) {
        for byte in 0..=u8::MAX {
            let mut next = state.after(byte, headers);
            if next.line == search::LINE_ENDED {
                next.line = 0;
                lines.push((number, byte));
            }
            rows[number][usize::from(byte)] = match decided(next.headers) {
                Some(end) => end,
                None => {
                    let known = states.iter().position(|known| *known == next);
                    let place = known.unwrap_or(states.len());
                    if known.is_none() {
                        states.push(next);
                    }
                    u8::try_from(place)
                        .ok()
                        .filter(|it| *it < search::DECIDED)?
                }
            };
        }
        number += 1;
    }
    let (heads, behind) = rows.split_at_mut(search::BEHIND.into());
    for (head, behind) in heads[..number].iter_mut().zip(behind.iter_mut()) {
        *head = head.map(|state| match state {
            search::END_OF_HEAD => search::BEHIND | search::LINE_START,
            other => other,
        });
        *behind = head.map(|state| match state {
            search::KEY_HEADER => search::REQUEST_BEHIND,
            // What is no text is a body, which says nothing of keys.
            search::END_OF_BYTES => search::END_OF_HEAD,
            undecided => search::BEHIND | undecided,
        });
    }
    for (state, byte) in lines {
        behind[state][usize::from(byte)] = search::REQUEST_BEHIND;
    }
    Some(table)
}

/// What each search says.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// Of each header.
    headers: [u8; 2],
    /// How much of a request line's end has come.
    line: u8,
}

impl State {
    fn after(self, byte: u8, headers: [&HeaderName; 2]) -> Self {
        Self {
            headers: std::array::from_fn(|index| {
                search::next(headers[index], self.headers[index], byte)
            }),
            line: search::line_end(self.line, byte),
        }
    }
}

/// How the search ends, if it does: one name that is found is enough, and heads end for all searches.
fn decided(states: [u8; 2]) -> Option<u8> {
    if states.contains(&search::KEY_HEADER) {
        return Some(search::KEY_HEADER);
    }
    states.into_iter().find(|state| *state >= search::DECIDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(key: &str, next: &str, head: &str) -> u8 {
        let (key, next) = (HeaderName::new(key), HeaderName::new(next));
        let table = table([&key.unwrap(), &next.unwrap()]).unwrap();
        head.bytes().fold(search::LINE_START, |state, byte| {
            table[usize::from(state) << 8 | usize::from(byte)]
        })
    }

    #[test]
    fn either_header_is_found_and_no_other() {
        for (head, end) in [
            ("GET / HTTP/1.1\r\nX-RsFaaS-KEY: k", search::KEY_HEADER),
            (
                "GET / HTTP/1.1\r\nA: b\r\nx-rsfaas-next-key:",
                search::KEY_HEADER,
            ),
            ("GET / HTTP/1.1\r\nX-RsFaaS-Next: a\r\n\r\n", search::BEHIND),
            ("GET / HTTP/1.1\r\nX-RsFaaS-Keys: a\r\n\r\n", search::BEHIND),
            ("GET / HTTP/1.1\r\nX-Rs\0", search::END_OF_BYTES),
        ] {
            assert_eq!(
                find("X-RsFaaS-Key", "X-RsFaaS-Next-Key", head),
                end,
                "{head}"
            );
        }
        let unfinished = find(
            "X-RsFaaS-Key",
            "X-RsFaaS-Next-Key",
            "GET / HTTP/1.1\r\nX-RsFaaS-Ne",
        );
        assert!(unfinished < search::DECIDED);
    }

    #[test]
    fn what_stands_behind_the_head_is_told_apart() {
        for (behind, end) in [
            ("GET / HTTP/1.1\r\nX-RsFaaS-Key: k", search::REQUEST_BEHIND),
            ("\r\n\r\nx-rsfaas-next-key:", search::REQUEST_BEHIND),
            ("GET / HTTP/1.1\r\n", search::REQUEST_BEHIND),
            ("body\r\n GET / HTTP/1.0\nA: b", search::REQUEST_BEHIND),
            ("a\0\r\nX-RsFaaS-Key: k", search::END_OF_HEAD),
        ] {
            let bytes = format!("GET / HTTP/1.1\r\nA: b\r\n\r\n{behind}");
            let found = find("X-RsFaaS-Key", "X-RsFaaS-Next-Key", &bytes);
            assert_eq!(found, end, "{behind}");
        }
        let text = "POST / HTTP/1.1\r\n\r\n{\"X-RsFaaS-Key\": 1, \"GET / HTTP/1.1\": 2}\nX-RsF";
        assert!(find("X-RsFaaS-Key", "X-RsFaaS-Next-Key", text) >= search::BEHIND);
    }

    #[test]
    fn a_name_that_is_the_others_start_is_found_too() {
        for head in ["a\r\nKey: k", "a\r\nKey-Next: n"] {
            assert_eq!(find("Key", "Key-Next", head), search::KEY_HEADER, "{head}");
        }
    }

    #[test]
    fn names_that_are_too_long_together_have_no_table() {
        let names = ["a".repeat(60), "b".repeat(60)].map(|name| HeaderName::new(&name).unwrap());
        assert!(table([&names[0], &names[1]]).is_none());
    }
}
