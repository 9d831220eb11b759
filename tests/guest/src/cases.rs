//! What is shown: over the veth pair, over a VLAN and over loopback, with IPv4 and IPv6.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use rsfaas::{
    head::{Decision, Target},
    release::remove_left,
    spot::has_tcx,
};

use crate::{
    agent::{Agent, KEY_HEADER, Notice, SEALED},
    failure::{Failure, Trying as _, expect},
    network::{
        ClientSide, GATEWAY, GATEWAY_V4, GATEWAY_V6, GATEWAY_VLAN, GATEWAY_VLAN_V4, GATEWAY_VLAN_V6,
    },
    server::{PORT, Server, call},
};

const UNLOCKED: &str = "pydict-abc123-0";
const KEY: &str = "rsfaas1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";

/// A way from a client to the gateway.
struct Route {
    name: &'static str,
    address: IpAddr,
    /// Whether the client is beyond the veth pair.
    beyond: bool,
    /// Whether it comes by one interface on top of another: there nothing goes on by itself.
    stacked: bool,
}

const ROUTES: [Route; 6] = [
    Route {
        name: "veth, IPv4",
        address: IpAddr::V4(GATEWAY_V4),
        beyond: true,
        stacked: false,
    },
    Route {
        name: "veth, IPv6",
        address: IpAddr::V6(GATEWAY_V6),
        beyond: true,
        stacked: false,
    },
    Route {
        name: "VLAN, IPv4",
        address: IpAddr::V4(GATEWAY_VLAN_V4),
        beyond: true,
        stacked: true,
    },
    Route {
        name: "VLAN, IPv6",
        address: IpAddr::V6(GATEWAY_VLAN_V6),
        beyond: true,
        stacked: true,
    },
    Route {
        name: "loopback, IPv4",
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        beyond: false,
        stacked: false,
    },
    Route {
        name: "loopback, IPv6",
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        beyond: false,
        stacked: false,
    },
];

type Case = fn(&Rig, &Route) -> Result<(), Failure>;

const CASES: [(&str, Case); 4] = [
    ("a keyless request passes", keyless),
    ("a keyed request is held, released and its end seen", keyed),
    ("a head in two segments and a long body", in_pieces),
    (BY_ITSELF, again),
];
const BY_ITSELF: &str = "a request that comes again goes on by itself";

struct Rig {
    agent: Agent,
    server: Server,
    client: ClientSide,
}

/// A case's name, and how it ended.
pub(crate) type Outcome = (String, Result<(), Failure>);

/// Runs all cases.
pub(crate) fn all() -> Result<Vec<Outcome>, Failure> {
    let client = ClientSide::new()?;
    let server = Server::start()?;
    let agent = Agent::start(&["lo", GATEWAY, GATEWAY_VLAN])?;
    let rig = Rig {
        agent,
        server,
        client,
    };
    let mut outcomes = vec![("programs load and attach".to_owned(), Ok(()))];
    for (name, case) in CASES {
        for route in ROUTES
            .iter()
            .filter(|route| !route.stacked || name != BY_ITSELF)
        {
            outcomes.push((format!("{name} ({})", route.name), case(&rig, route)));
        }
    }
    outcomes.push((
        "other programs on the hook run, attached before and after".to_owned(),
        beside_others(&rig),
    ));
    if !has_tcx() {
        outcomes.push((
            "programs that another one takes away are attached again".to_owned(),
            displaced(&rig),
        ));
    }
    outcomes.push((
        "after an agent was killed, and swept, requests go on".to_owned(),
        swept(rig),
    ));
    Ok(outcomes)
}

fn beside_others(rig: &Rig) -> Result<(), Failure> {
    let before = rig.agent.others_run()?;
    let [route, ..] = &ROUTES;
    keyless(rig, route)?;
    let after = rig.agent.others_run()?;
    // SYN, ACK and the request, at least.
    let ran = after.iter().zip(before).all(|(now, then)| now - then >= 3);
    expect(
        ran,
        "three runs of each",
        format!("{before:?} became {after:?}"),
    )
}

fn displaced(rig: &Rig) -> Result<(), Failure> {
    let [route, ..] = &ROUTES;
    rig.agent.displace()?;
    passes(&rig.server, &rig.client, route)?;
    rig.agent.restore()?;
    keyed(rig, route)
}

/// A request goes on with its key: nobody takes it out.
fn passes(server: &Server, client: &ClientSide, route: &Route) -> Result<(), Failure> {
    let request = head(0);
    calling(client, route, &[request.as_bytes()], || {
        let seen = server.sees(request.len())?;
        expect(
            seen == request.as_bytes(),
            "the request as it is",
            "it was changed",
        )
    })
}

fn swept(rig: Rig) -> Result<(), Failure> {
    let Rig {
        agent,
        server,
        client,
    } = rig;
    agent.kill()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .trying("a runtime")?;
    runtime.block_on(remove_left())?;
    ROUTES
        .iter()
        .try_for_each(|route| passes(&server, &client, route))
}

impl Rig {
    /// The request is held; then it goes to the unlocked function, and reads as that.
    fn unlocked(&self, head: &str, body: &str) -> Result<(), Failure> {
        let request = self.agent.expect("a held request", |notice| match notice {
            Notice::Judge(request) => Some(request),
            _ => None,
        })?;
        let name = SEALED.to_owned();
        let right = request.target == Target::Function { name } && request.keys.len() == 1;
        expect(right, "a keyed request for the function", "it is another")?;
        self.server.sees_nothing()?;

        self.agent.decide(Decision::Unlock(UNLOCKED.to_owned()))?;
        self.reads_as_unlocked(head, body)
    }

    /// The server sees the request as one for the unlocked function.
    fn reads_as_unlocked(&self, head: &str, body: &str) -> Result<(), Failure> {
        let seen = self.server.sees(head.len() + body.len())?;
        let seen = String::from_utf8_lossy(&seen);
        let line = format!("POST /function/{UNLOCKED} HTTP/1.1\r\n");
        let right = seen.len() == head.len() + body.len()
            && seen.starts_with(&line)
            && !seen.contains(KEY)
            && seen.get(head.len()..) == Some(body);
        expect(right, "the rewritten request", format!("{seen:?} came"))
    }

    fn closes(&self) -> Result<(), Failure> {
        self.agent.expect("the connection's end", |notice| {
            matches!(notice, Notice::Closed).then_some(())
        })
    }
}

/// A client calls, and meanwhile something is looked at.
fn calling(
    client: &ClientSide,
    route: &Route,
    pieces: &[&[u8]],
    look: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let server = SocketAddr::from((route.address, PORT));
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            if route.beyond {
                client.inside(|| call(server, pieces))
            } else {
                call(server, pieces)
            }
        });
        let looked = look();
        let called = call
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        looked.and(called)
    })
}

fn head(length: usize) -> String {
    format!(
        "POST /function/{SEALED} HTTP/1.1\r\nHost: a\r\n{KEY_HEADER}: {KEY}\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn keyless(rig: &Rig, route: &Route) -> Result<(), Failure> {
    let request = format!("GET /function/{SEALED} HTTP/1.1\r\nHost: a\r\n\r\n");
    calling(&rig.client, route, &[request.as_bytes()], || {
        let seen = rig.server.sees(request.len())?;
        let right = seen == request.as_bytes();
        expect(right, "the request as it is", "it was changed")
    })
}

fn keyed(rig: &Rig, route: &Route) -> Result<(), Failure> {
    let (head, body) = (head(4), "word");
    let all = format!("{head}{body}");
    calling(&rig.client, route, &[all.as_bytes()], || {
        rig.unlocked(&head, body)
    })?;
    rig.agent.expect("the answer", |notice| {
        matches!(notice, Notice::Answer).then_some(())
    })?;
    rig.closes()
}

fn in_pieces(rig: &Rig, route: &Route) -> Result<(), Failure> {
    let body = "b".repeat(20_000);
    let head = head(body.len());
    let cut = head.len() / 2;
    let pieces = [&head[..cut], &head[cut..], &body].map(str::as_bytes);
    calling(&rig.client, route, &pieces, || rig.unlocked(&head, &body))?;
    rig.closes()
}

fn again(rig: &Rig, route: &Route) -> Result<(), Failure> {
    let (head, body) = (head(4), "word");
    let all = format!("{head}{body}");
    rig.agent.remember(true)?;
    calling(&rig.client, route, &[all.as_bytes()], || {
        rig.unlocked(&head, body)
    })?;
    rig.closes()?;
    calling(&rig.client, route, &[all.as_bytes()], || {
        rig.reads_as_unlocked(&head, body)
    })?;
    rig.agent.expect("a request that has gone on", |notice| {
        matches!(notice, Notice::Admitted).then_some(())
    })?;
    rig.closes()?;
    rig.agent.remember(false)
}
