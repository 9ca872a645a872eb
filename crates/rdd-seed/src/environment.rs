//! The environment of every session in the guest: the template's, and the proxy settings.

use std::collections::BTreeMap;

use rdd_machine::MachineConfig;
use rdd_machine::network;

use crate::SeedInputs;

const PROXY_VARIABLES: [&str; 4] = ["ftp_proxy", "http_proxy", "https_proxy", "no_proxy"];

/// Returns the environment. The template's proxy variables are overridden by the host's, an empty one
/// removes; the lower-case spelling wins and is mirrored to the upper-case one.
pub(crate) fn guest_environment(config: &MachineConfig, inputs: &SeedInputs) -> BTreeMap<String, String> {
    let mut env = config.env.clone();
    if config.propagate_proxy_env {
        for name in PROXY_VARIABLES.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]) {
            match inputs.proxy_env.get(&name) {
                Some(value) if value.is_empty() => drop(env.remove(&name)),
                Some(value) => drop(env.insert(name, value.clone())),
                None => {}
            }
        }
    }
    for lower in PROXY_VARIABLES {
        let upper = lower.to_uppercase();
        let Some(value) = env.get(lower).or_else(|| env.get(&upper)) else { continue };
        // The host's loopback is not the guest's.
        let value = if lower == "no_proxy" { value.clone() } else { reachable_from_guest(value) };
        env.insert(lower.to_owned(), value.clone());
        env.insert(upper, value);
    }
    env
}

/// Returns the text of `etc_environment`, which a boot script merges into the guest's file.
pub(crate) fn etc_environment(env: &BTreeMap<String, String>) -> String {
    let mut text = String::from("#LIMA-START\n");
    // pam_env reads lines; a value with a line break would be read as two settings.
    for (key, value) in env.iter().filter(|(_, value)| !value.contains(['\n', '\0'])) {
        text.push_str(&format!("{key}={value}\n"));
    }
    text.push_str("#LIMA-END\n");
    text
}

fn reachable_from_guest(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    let host_start = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    let authority = &url[host_start..end];
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port),
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    let is_loopback =
        host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_loopback {
        format!("{}{}{port}{}", &url[..host_start], network::GATEWAY, &url[end..])
    } else {
        url.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_proxies_are_reached_through_the_gateway() {
        for (url, expected) in [
            ("http://localhost:3128", "http://192.168.5.2:3128"),
            ("http://u:p@127.0.0.1:3128/x", "http://u:p@192.168.5.2:3128/x"),
            ("http://[::1]:80/", "http://192.168.5.2:80/"),
            ("localhost:80", "192.168.5.2:80"),
            ("http://proxy.example.com:80", "http://proxy.example.com:80"),
            ("http://[fe80::1]:80", "http://[fe80::1]:80"),
            ("", ""),
        ] {
            assert_eq!(reachable_from_guest(url), expected);
        }
    }
}
