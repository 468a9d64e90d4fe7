//! How sockets that listen are opened: one port for IPv4 and IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::StartError;

/// Connections that the kernel completes before we accept them. A popular torrent's first announce brings a burst.
const BACKLOG: i32 = 256;

/// How many ports the system is asked for until one is free for IPv4 and IPv6 alike.
const PORT_ATTEMPTS: u32 = 16;

/// Where a session listens when nothing else is said: every address of both families, a port of the system's choice.
pub(crate) const EVERYWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
];

/// Listens at every address, on the same port; port 0 lets the system choose one that is free on all.
///
/// Where the machine has no IPv6 (or no IPv4) at all, addresses of that family are left out, as long as one is left.
pub(crate) fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, StartError> {
    let attempts = if port == 0 { PORT_ATTEMPTS } else { 1 };
    for _ in 1..attempts {
        match listen_once(addresses, port) {
            // The port that the system chose for one address is taken at another.
            Err(StartError::PortInUse { .. }) => {}
            done => return done,
        }
    }
    listen_once(addresses, port)
}

fn listen_once(addresses: &[IpAddr], mut port: u16) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut missing_family = None;
    for &ip in addresses {
        let address = SocketAddr::new(ip, port);
        match open_listener(address) {
            Ok(listener) => {
                if port == 0 {
                    port = listener
                        .local_addr()
                        .map_err(|source| StartError::Listen { address, source })?
                        .port();
                }
                listeners.push(listener);
            }
            Err(source) if is_family_missing(ip, &source) => {
                missing_family = Some(StartError::Listen { address, source });
            }
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Err(StartError::PortInUse { address });
            }
            Err(source) => return Err(StartError::Listen { address, source }),
        }
    }
    if listeners.is_empty() {
        return Err(missing_family.unwrap_or(StartError::NoListenAddress));
    }
    Ok(listeners)
}

fn open_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // IPv4 has a listener of its own: mapped addresses would make one peer look like two.
        socket.set_only_v6(true)?;
    }
    // A restarted client gets its port back while old connections time out. Two live listeners still exclude each
    // other; on Windows the option would let them share, so it is left out there.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the machine lacks the family of an address altogether.
fn is_family_missing(ip: IpAddr, error: &io::Error) -> bool {
    // EAFNOSUPPORT of Linux and macOS, WSAEAFNOSUPPORT of Windows.
    matches!(error.raw_os_error(), Some(97 | 47 | 10047))
        // Where a family is switched off, not even the addresses that every machine has are there. Any other that is not there was
        // mistyped, or its network is down: who asked for it must be told.
        || (error.kind() == io::ErrorKind::AddrNotAvailable && (ip.is_unspecified() || ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_families_listen_on_one_port() {
        let listeners = listen(&EVERYWHERE, 0).unwrap();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert!(ports.iter().all(|&port| port == ports[0] && port != 0));
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let localhost = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let first = listen(&localhost, 0).unwrap();
        let taken = first[0].local_addr().unwrap();
        match listen(&localhost, taken.port()) {
            Err(StartError::PortInUse { address }) => assert_eq!(address, taken),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named_and_not_left_out() {
        // TEST-NET-1 of RFC 5737: nobody has it.
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        match listen(&[IpAddr::V4(Ipv4Addr::LOCALHOST), elsewhere], 0) {
            Err(StartError::Listen { address, .. }) => assert_eq!(address.ip(), elsewhere),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn no_address_is_an_error() {
        assert!(matches!(listen(&[], 0), Err(StartError::NoListenAddress)));
    }
}
