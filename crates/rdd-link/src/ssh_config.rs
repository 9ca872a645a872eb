//! The text of `ssh.config`: how OpenSSH reaches a guest (VM engine specification §3.19).
//!
//! People use it (`ssh -F INST/ssh.config lima-NAME`), and so do programs that were written for Lima;
//! we do not.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use rdd_host::files;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshConfig {
    /// The alias, `lima-NAME`.
    pub host: String,
    /// The login name in the guest.
    pub user: String,
    /// The loopback port that leads to the guest's SSH server.
    pub port: u16,
    /// Private keys, ours first.
    pub identity_files: Vec<PathBuf>,
    /// Where OpenSSH keeps its shared connection.
    pub control_path: PathBuf,
    /// Forward the SSH agent.
    pub forward_agent: bool,
}

const HEADER: &str = "\
# This SSH config file can be passed to 'ssh -F'.
# This file is created by rdd, but not used by rdd itself.
# Modifications to this file will be lost on restarting the machine.
";

impl SshConfig {
    /// Returns the file's text.
    pub fn render(&self) -> String {
        let mut options: Vec<(&str, String)> = Vec::new();
        for file in &self.identity_files {
            options.push(("IdentityFile", quoted(file)));
        }
        for (key, value) in [
            ("StrictHostKeyChecking", "no"),
            ("UserKnownHostsFile", "/dev/null"),
            ("NoHostAuthenticationForLocalhost", "yes"),
            ("PreferredAuthentications", "publickey"),
            ("Compression", "no"),
            ("BatchMode", "yes"),
            ("IdentitiesOnly", "yes"),
            ("Ciphers", ciphers()),
        ] {
            options.push((key, value.to_owned()));
        }
        options.push(("User", self.user.clone()));
        options.push(("ControlMaster", "auto".into()));
        options.push(("ControlPath", quoted(&self.control_path)));
        options.push(("ControlPersist", "yes".into()));
        if self.forward_agent {
            options.push(("ForwardAgent", "yes".into()));
        }
        if self.identity_files.iter().chain([&self.control_path]).any(|path| path.to_string_lossy().contains("${")) {
            // Nothing else makes a dollar of a token. Host keys are not looked up by it, or by any name.
            options.push(("HostKeyAlias", "$".into()));
        }
        options.push(("Hostname", "127.0.0.1".into()));
        options.push(("Port", self.port.to_string()));

        let mut text = format!("{HEADER}Host {}\n", self.host);
        for (key, value) in options {
            writeln!(text, "  {key} {value}").expect("a String takes everything");
        }
        text
    }

    /// Writes the file whole, readable for its owner only.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        files::write_whole(path, self.render().as_bytes(), 0o600)
    }
}

/// Returns the port that a file written by us or by Lima names.
pub fn port_of(text: &str) -> Option<u16> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? == "Port" { words.next()?.parse().ok() } else { None }
    })
}

/// OpenSSH expands `%` and `${}` in paths, and reads quotes and backslashes. It has no escape for `${}`,
/// but what a token stands for is not expanded again, and `%k` is the host key alias.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%").replace("${", "%k{"))
}

/// What is quick on this host comes first; the rest of OpenSSH's list stays (`^`).
fn ciphers() -> &'static str {
    if has_aes() { "\"^aes128-gcm@openssh.com,aes256-gcm@openssh.com\"" } else { "\"^chacha20-poly1305@openssh.com\"" }
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_aes() -> bool {
    cfg!(target_arch = "aarch64")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SshConfig {
        SshConfig {
            host: "lima-demo".into(),
            user: "jan".into(),
            port: 60022,
            identity_files: vec!["/home/jan/.rd2/lima/_config/user".into()],
            control_path: "/home/jan/.rd2/lima/demo/ssh.sock".into(),
            forward_agent: false,
        }
    }

    #[test]
    fn text() {
        let text = example().render();
        let ciphers = ciphers();
        let expect = format!(
            r#"# This SSH config file can be passed to 'ssh -F'.
# This file is created by rdd, but not used by rdd itself.
# Modifications to this file will be lost on restarting the machine.
Host lima-demo
  IdentityFile "/home/jan/.rd2/lima/_config/user"
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  NoHostAuthenticationForLocalhost yes
  PreferredAuthentications publickey
  Compression no
  BatchMode yes
  IdentitiesOnly yes
  Ciphers {ciphers}
  User jan
  ControlMaster auto
  ControlPath "/home/jan/.rd2/lima/demo/ssh.sock"
  ControlPersist yes
  Hostname 127.0.0.1
  Port 60022
"#
        );
        assert_eq!(text, expect);
        assert_eq!(port_of(&text), Some(60022));
    }

    #[test]
    fn awkward_paths_and_the_agent() {
        let config =
            SshConfig { identity_files: vec!["/a b/100%/user".into(), "/b".into()], forward_agent: true, ..example() };
        let text = config.render();
        assert!(text.contains("  IdentityFile \"/a b/100%%/user\"\n  IdentityFile \"/b\"\n"), "{text}");
        assert!(text.contains("  ForwardAgent yes\n"));
    }

    /// What OpenSSH itself makes of it. It shows the control path as it will use it.
    #[test]
    fn openssh_reads_every_path_as_it_is() {
        let place = tempfile::tempdir().expect("a directory");
        for name in ["plain", "a b", "100%", "${HOME}", "$${NOT_THERE}%k", r#"a"b"#, r"back\\slash\", "it's#1"] {
            let config = SshConfig { control_path: place.path().join(name), ..example() };
            let file = place.path().join("ssh.config");
            config.write(&file).expect("written");
            let output = std::process::Command::new("ssh").arg("-G").arg("-F").arg(&file).arg("lima-demo").output();
            let Ok(output) = output else { return skip("ssh is not installed") };
            let text = String::from_utf8_lossy(&output.stdout);
            let expected = format!("controlpath {}", config.control_path.display());
            let log = String::from_utf8_lossy(&output.stderr);
            assert!(text.lines().any(|line| line == expected), "{expected}\n{log}\n{text}");
        }
    }

    /// `cargo xtask test` has everything installed; there, a test that does nothing has failed.
    fn skip(reason: &str) {
        assert!(std::env::var_os("RDD_TEST_REQUIRE").is_none(), "{reason}");
        eprintln!("skipped: {reason}");
    }

    #[test]
    fn a_file_without_port_has_none() {
        assert_eq!(port_of(""), None);
        assert_eq!(port_of("Host x\n  Port none\n"), None);
    }
}
