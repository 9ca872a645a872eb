//! The addresses of the user-mode network that every guest sees. The driver sets it up, the seed and
//! the forwards rely on it.

use std::net::Ipv4Addr;

/// The network, with its prefix length.
pub const NETWORK: &str = "192.168.5.0/24";
/// The host, as the guest sees it; also the router.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 5, 2);
/// The name server that the network offers.
pub const DNS: Ipv4Addr = Ipv4Addr::new(192, 168, 5, 3);
/// The guest.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 5, 15);
/// The name of the guest's first network card.
pub const INTERFACE: &str = "eth0";
