//! The guest's user.

use rdd_machine::MachineName;
use rdd_machine::config::GuestUser;

use crate::document::Document;
use crate::host::HostFacts;
use crate::problem::Problems;
use crate::render::Variables;

/// Fills in the user.
pub(crate) fn resolve(d: &Document, name: &MachineName, host: &HostFacts, problems: &mut Problems) -> GuestUser {
    let wanted = &d.user;
    let uid = match wanted.uid {
        // Root of the host is an ordinary user in the guest.
        None => Some(if host.uid == 0 { 1000 } else { host.uid }),
        Some(uid) => u32::try_from(uid).ok().filter(|uid| *uid != 0 && *uid < u32::MAX),
    };
    if uid.is_none() {
        problems.add("user.uid", format!("must be a user id other than 0, got {}", wanted.uid.unwrap_or_default()));
    }
    let login = match &wanted.name {
        Some(login) => {
            if login == "root" {
                problems.hint("user.name", "must not be root", "scripts of mode `system` run as root");
            } else if !is_login(login) {
                problems.add("user.name", format!("must be a login name, got {login:?}"));
            }
            login.clone()
        }
        // `admin` is a group in several distributions, and `root` cannot be the guest's user.
        None if is_portable_login(&host.user) && !["admin", "root"].contains(&host.user.as_str()) => host.user.clone(),
        None => "lima".into(),
    };
    let mut user = GuestUser {
        name: login,
        comment: wanted.comment.clone().unwrap_or_else(|| host.gecos.clone()),
        home: String::new(),
        shell: wanted.shell.clone().unwrap_or_else(|| "/bin/bash".into()),
        uid: uid.unwrap_or(1000),
    };
    let home = wanted.home.as_deref().unwrap_or("/home/{{.User}}.guest");
    let home = Variables::guest(name, &user, &d.param).render(home);
    for (field, path) in [("user.home", &home), ("user.shell", &user.shell)] {
        if !path.starts_with('/') {
            problems.add(field, format!("must be an absolute path, got {path:?}"));
        } else if path.contains(|c: char| c == ':' || c.is_control()) {
            problems.add(field, format!("must not contain ':' or control characters, got {path:?}"));
        }
    }
    if user.comment.contains(|c: char| c == ':' || c.is_control()) {
        problems.add("user.comment", format!("must not contain ':' or control characters, got {:?}", user.comment));
    }
    user.home = home;
    user
}

/// The rule for names taken over from the host.
fn is_portable_login(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

/// The rule for names that somebody asked for: what `useradd` can be talked into.
fn is_login(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}
