//! The way out: looking hosts up and connecting, replaceable for proxies, bound interfaces and tests.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::announce::Family;
use crate::error::Error;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How the clients look hosts up and how the HTTP client connects.
pub trait Network: Debug + Send + Sync + 'static {
    /// The addresses of a host, which may be an address itself.
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Opens a TCP connection.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>>;
}

/// The system's resolver and routes.
#[derive(Clone, Debug, Default)]
pub struct SystemNetwork {
    /// Local addresses to connect from, of each family the first. When there is none at all, the system chooses. When there are some,
    /// a family without one is not used, so that nothing leaves by another way.
    pub bind: Vec<IpAddr>,
}

impl Network for SystemNetwork {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let socket = if to.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            if let Some(local) = local_address(&self.bind, Family::of(to.ip()))? {
                socket.bind((local, 0).into())?;
            }
            socket.connect(to).await
        })
    }
}

/// The local address to use for a family; `None` leaves it to the system.
pub(super) fn local_address(bind: &[IpAddr], family: Family) -> io::Result<Option<IpAddr>> {
    let local = bind.iter().copied().find(|ip| Family::of(*ip) == family);
    if local.is_none() && !bind.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "no local address of this family may be used",
        ));
    }
    Ok(local)
}

/// The addresses of a host in one family. IPv4 written as IPv6 counts as IPv4.
pub(super) async fn resolve(
    network: &dyn Network,
    host: &str,
    port: u16,
    family: Family,
) -> Result<Vec<SocketAddr>, Error> {
    let mut addresses = network.resolve(host, port).await.map_err(Error::Lookup)?;
    for address in &mut addresses {
        address.set_ip(address.ip().to_canonical());
    }
    addresses.retain(|address| Family::of(address.ip()) == family);
    if addresses.is_empty() {
        return Err(Error::NoAddress(family));
    }
    Ok(addresses)
}
