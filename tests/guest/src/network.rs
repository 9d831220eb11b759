//! A gateway and a client with a veth pair between them, each in a network namespace of its own, a VLAN over
//! that pair, and loopback.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd as _,
    thread,
};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, setns, unshare},
};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, LinkVlan};

use crate::failure::{Failure, Trying as _};

/// The gateway's ends of the pair and the VLAN.
pub(crate) const GATEWAY: &str = "gateway0";
pub(crate) const GATEWAY_VLAN: &str = "gateway0.5";
const CLIENT: &str = "client0";
const CLIENT_VLAN: &str = "client0.5";
const VLAN: u16 = 5;
/// The gateway's addresses; the client has the next ones.
pub(crate) const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
/// The same in the VLAN.
pub(crate) const GATEWAY_VLAN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 5, 1);
pub(crate) const GATEWAY_VLAN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 5, 0, 0, 0, 0, 0, 1);
const CLIENT_VLAN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 5, 2);
const CLIENT_VLAN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 5, 0, 0, 0, 0, 0, 2);

/// The client's network namespace.
pub(crate) struct ClientSide(File);

impl ClientSide {
    /// Makes the pair and its two ends.
    pub(crate) fn new() -> Result<Self, Failure> {
        without_address_detection()?;
        let namespace = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).trying("a network namespace")?;
            without_address_detection()?;
            File::open("/proc/thread-self/ns/net").trying("a network namespace")
        })?;
        let descriptor = namespace.as_raw_fd();
        configure(async |handle| {
            up(&handle, "lo").await?;
            let pair = LinkVeth::new(GATEWAY, CLIENT).build();
            handle.link().add(pair).execute().await?;
            let away = LinkUnspec::new_with_name(CLIENT).setns_by_fd(descriptor);
            handle.link().set(away.build()).execute().await?;
            let addresses = [(GATEWAY_V4.into(), 24), (GATEWAY_V6.into(), 64)];
            address(&handle, GATEWAY, &addresses).await?;
            let addresses = [(GATEWAY_VLAN_V4.into(), 24), (GATEWAY_VLAN_V6.into(), 64)];
            vlan(&handle, GATEWAY, GATEWAY_VLAN, &addresses).await?;
            // What comes from there without its tag is no client's.
            let strict = format!("/proc/sys/net/ipv4/conf/{GATEWAY}/rp_filter");
            fs::write(&strict, "1").trying(strict)
        })?;
        let this = Self(namespace);
        this.inside(|| {
            configure(async |handle| {
                let addresses = [(CLIENT_V4.into(), 24), (CLIENT_V6.into(), 64)];
                address(&handle, CLIENT, &addresses).await?;
                let addresses = [(CLIENT_VLAN_V4.into(), 24), (CLIENT_VLAN_V6.into(), 64)];
                vlan(&handle, CLIENT, CLIENT_VLAN, &addresses).await
            })
        })?;
        Ok(this)
    }

    /// Does something there.
    pub(crate) fn inside<T: Send>(
        &self,
        run: impl FnOnce() -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        on_thread(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET).trying("enter the client's namespace")?;
            run()
        })
    }
}

/// A namespace is a thread's, so each has one that ends with what is done there.
fn on_thread<T: Send>(run: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// IPv6 addresses are to be good at once, not after a second's search for another owner.
fn without_address_detection() -> Result<(), Failure> {
    for kind in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{kind}/accept_dad");
        fs::write(&path, "0").trying(path)?;
    }
    Ok(())
}

fn configure(run: impl AsyncFnOnce(Handle) -> Result<(), Failure>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .trying("a runtime")?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().trying("netlink")?;
        tokio::spawn(connection);
        run(handle).await
    })
}

async fn address(
    handle: &Handle,
    interface: &str,
    addresses: &[(IpAddr, u8)],
) -> Result<(), Failure> {
    up(handle, interface).await?;
    let index = if_nametoindex(interface).trying(interface)?;
    for (address, prefix) in addresses {
        handle
            .address()
            .add(index, *address, *prefix)
            .execute()
            .await?;
    }
    Ok(())
}

/// Makes an interface of the VLAN over another one.
async fn vlan(
    handle: &Handle,
    below: &str,
    interface: &str,
    addresses: &[(IpAddr, u8)],
) -> Result<(), Failure> {
    let index = if_nametoindex(below).trying(below)?;
    let link = LinkVlan::new(interface, index, VLAN).build();
    handle.link().add(link).execute().await?;
    address(handle, interface, addresses).await
}

async fn up(handle: &Handle, interface: &str) -> Result<(), Failure> {
    let up = LinkUnspec::new_with_name(interface).up().build();
    Ok(handle.link().set(up).execute().await?)
}
