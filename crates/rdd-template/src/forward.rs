//! Port forwarding rules.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rdd_machine::config::{PortForward, Protocol};

use crate::document::{self, Document};
use crate::host::HostFacts;
use crate::problem::Problems;
use crate::render::Variables;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What rules are rendered and checked with.
pub(crate) struct Context<'a> {
    pub(crate) guest: &'a Variables,
    pub(crate) host: &'a Variables,
    pub(crate) facts: &'a HostFacts,
    pub(crate) dir: &'a Path,
    /// Whether `dir` is the machine's own, so that lengths of paths below it mean something.
    pub(crate) dir_is_real: bool,
    pub(crate) plain: bool,
}

/// Checks and fills in the rules.
pub(crate) fn rules(d: &Document, context: &Context<'_>, problems: &mut Problems) -> Vec<PortForward> {
    let rule = |(i, rule)| resolve(&format!("portForwards[{i}]"), rule, context, problems);
    let rules: Vec<_> = d.port_forwards.iter().enumerate().map(rule).collect();
    // A plain machine has no agent that could tell of ports; only what is set up at boot remains.
    rules.into_iter().filter(|rule| !context.plain || rule.is_static).collect()
}

fn resolve(at: &str, r: &document::PortForward, context: &Context<'_>, problems: &mut Problems) -> PortForward {
    let field = |name: &str| format!("{at}.{name}");
    let mut address = |name: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        let parsed = text.parse::<IpAddr>();
        if parsed.is_err() {
            problems.add(field(name), format!("must be an IP address, got {text:?}"));
        }
        parsed.ok()
    };
    let wanted_ip = address("guestIP", &r.guest_ip);
    let host_ip = address("hostIP", &r.host_ip).unwrap_or(LOOPBACK);
    let must_be_zero = r.guest_ip_must_be_zero.unwrap_or(wanted_ip == Some(ANY_ADDRESS));
    let guest_ip = wanted_ip.unwrap_or(if must_be_zero { ANY_ADDRESS } else { LOOPBACK });
    if must_be_zero && guest_ip != ANY_ADDRESS {
        problems.add(
            field("guestIPMustBeZero"),
            format!("can only be true when field `{at}.guestIP` is 0.0.0.0, got {guest_ip}"),
        );
    }
    let guest_socket = r.guest_socket.as_deref().map(|text| context.guest.render(text)).unwrap_or_default();
    let host_socket = host_socket(r, context);

    let guest =
        Ports { name: "guest", port: r.guest_port, range: &r.guest_port_range, has_socket: !guest_socket.is_empty() };
    let guest_range = guest.resolve(at, (1, 65535), problems);
    let host =
        Ports { name: "host", port: r.host_port, range: &r.host_port_range, has_socket: !host_socket.is_empty() };
    let host_range = host.resolve(at, guest_range, problems);
    if host_socket.is_empty() && guest_socket.is_empty() {
        let length = |(first, last): (u16, u16)| last.saturating_sub(first);
        if length(guest_range) != length(host_range) {
            problems.add(
                field("hostPortRange"),
                format!("must specify the same number of ports as field `{at}.guestPortRange`"),
            );
        }
    }
    check_sockets(at, r, &guest_socket, &host_socket, guest_range, host_range, context, problems);
    let protocol = match r.proto.as_deref() {
        None | Some("any") => Protocol::Any,
        Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some(other) => {
            problems.add(field("proto"), format!("must be one of tcp, udp, any, got {other:?}"));
            Protocol::Any
        }
    };
    PortForward {
        guest_ip_must_be_zero: must_be_zero,
        guest_ip,
        guest_port_range: guest_range,
        guest_socket,
        host_ip,
        host_port_range: host_range,
        host_socket: host_socket.to_string_lossy().into_owned(),
        protocol,
        reverse: r.reverse.unwrap_or(false),
        ignore: r.ignore.unwrap_or(false),
        is_static: r.is_static.unwrap_or(false),
    }
}

trait PathIsEmpty {
    fn is_empty(&self) -> bool;
}

impl PathIsEmpty for PathBuf {
    fn is_empty(&self) -> bool {
        self.as_os_str().is_empty()
    }
}

fn host_socket(r: &document::PortForward, context: &Context<'_>) -> PathBuf {
    match r.host_socket.as_deref().filter(|text| !text.is_empty()) {
        None => PathBuf::new(),
        // An absolute path stays as it is; a relative one lives with the machine.
        Some(text) => context.dir.join("sock").join(context.facts.expand(&context.host.render(text))),
    }
}

#[expect(clippy::too_many_arguments, reason = "one check of what was just resolved, split off for length")]
fn check_sockets(
    at: &str,
    r: &document::PortForward,
    guest_socket: &str,
    host_socket: &Path,
    guest_range: (u16, u16),
    host_range: (u16, u16),
    context: &Context<'_>,
    problems: &mut Problems,
) {
    let field = |name: &str| format!("{at}.{name}");
    let has_host = !host_socket.as_os_str().is_empty();
    if !guest_socket.is_empty() {
        if !guest_socket.starts_with('/') {
            problems.add(field("guestSocket"), format!("must be an absolute path, got {guest_socket:?}"));
        }
        if !has_host && host_range.1 > host_range.0 && (r.host_port.is_some() || !r.host_port_range.is_empty()) {
            problems.add(field("guestSocket"), "can only be mapped to a single port or socket, not to a range");
        }
    }
    if has_host {
        if guest_socket.is_empty() && guest_range.1 > guest_range.0 {
            problems.add(field("hostSocket"), "can only be mapped from a single port or socket, not from a range");
        }
        let length = host_socket.as_os_str().len();
        let limit = context.facts.socket_path_limit();
        let below_placeholder = !context.dir_is_real && host_socket.starts_with(context.dir);
        if length >= limit && !below_placeholder {
            let path = host_socket.display();
            problems.add(field("hostSocket"), format!("must be less than {limit} bytes long, {path:?} has {length}"));
        }
    }
    if r.reverse == Some(true) && (guest_socket.is_empty() || !has_host) {
        problems.add(field("reverse"), format!("must be used with both `{at}.guestSocket` and `{at}.hostSocket`"));
    }
}

/// The ports of one side, as they were written.
struct Ports<'a> {
    name: &'static str,
    port: Option<i64>,
    range: &'a [i64],
    has_socket: bool,
}

impl Ports<'_> {
    fn resolve(&self, at: &str, default: (u16, u16), problems: &mut Problems) -> (u16, u16) {
        let single = format!("{at}.{}Port", self.name);
        let ranged = format!("{at}.{}PortRange", self.name);
        // 0 and [0, 0] are what programs write for "not set".
        let port = self.port.filter(|port| *port != 0);
        let range = Some(self.range).filter(|range| range.iter().any(|port| *port != 0));
        if self.has_socket && (port.is_some() || range.is_some()) {
            let field = if port.is_some() { &single } else { &ranged };
            problems.add(field, format!("must be empty when field `{at}.{}Socket` is set", self.name));
            return default;
        }
        let range = match (range, port) {
            (None, None) => return default,
            (None, Some(port)) => return self.one(&single, port, problems).map_or(default, |port| (port, port)),
            (Some(&[first, last]), _) => (first, last),
            (Some(other), _) => {
                problems.add(ranged, format!("must have two ports, got {}", other.len()));
                return default;
            }
        };
        let first = self.one(&format!("{ranged}[0]"), range.0, problems);
        let last = self.one(&format!("{ranged}[1]"), range.1, problems);
        let (Some(first), Some(last)) = (first, last) else { return default };
        if first > last {
            problems.add(&ranged, format!("must have its first port not above its last, got {first} and {last}"));
            return default;
        }
        if port.is_some_and(|port| port != i64::from(first)) {
            problems.add(single, format!("must match the first port of `{ranged}`"));
        }
        (first, last)
    }

    fn one(&self, field: &str, port: i64, problems: &mut Problems) -> Option<u16> {
        port_number(field, port, problems)
    }
}

/// Checks a port number.
pub(crate) fn port_number(field: &str, port: i64, problems: &mut Problems) -> Option<u16> {
    match u16::try_from(port) {
        Ok(0) => problems.add(field, "must be > 0"),
        Ok(22) => problems.add(field, "must not be 22"),
        Ok(port) => return Some(port),
        Err(_) if port < 0 => problems.add(field, format!("must be > 0, got {port}")),
        Err(_) => problems.add(field, format!("must be < 65536, got {port}")),
    }
    None
}
