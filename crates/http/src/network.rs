//! The way out: looking hosts up and connecting, replaceable for proxies, bound interfaces and tests.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::Error;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Over which families of addresses a host is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Families {
    /// Any.
    #[default]
    Both,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Families {
    fn have(self, ip: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// How hosts are looked up and connected to.
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
            if let Some(local) = self.local_address(to.ip())? {
                socket.bind((local, 0).into())?;
            }
            socket.connect(to).await
        })
    }
}

impl SystemNetwork {
    /// The local address from which to reach `to`; `None` leaves it to the system.
    ///
    /// # Errors
    /// When addresses are [bound](Self::bind) and none is of the family.
    pub fn local_address(&self, to: IpAddr) -> io::Result<Option<IpAddr>> {
        let mut bind = self.bind.iter().copied();
        let local = bind.find(|ip| ip.is_ipv4() == to.is_ipv4());
        if local.is_none() && !self.bind.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "no local address of this family may be used",
            ));
        }
        Ok(local)
    }
}

impl dyn Network {
    /// The addresses of a host in these families. IPv4 written as IPv6 counts as IPv4.
    ///
    /// # Errors
    /// [`Error::Lookup`], [`Error::NoAddress`].
    pub async fn addresses(
        &self,
        host: &str,
        port: u16,
        families: Families,
    ) -> Result<Vec<SocketAddr>, Error> {
        let mut addresses = self.resolve(host, port).await.map_err(Error::Lookup)?;
        for address in &mut addresses {
            address.set_ip(address.ip().to_canonical());
        }
        addresses.retain(|address| families.have(address.ip()));
        if addresses.is_empty() {
            return Err(Error::NoAddress);
        }
        Ok(addresses)
    }
}
