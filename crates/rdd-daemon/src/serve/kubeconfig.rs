//! The kubeconfig: how clients reach the service of this moment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

/// The tokens of one service's life.
#[derive(Clone)]
pub(crate) struct Tokens {
    /// For the user that may do everything.
    pub(crate) admin: String,
    /// For the user without groups.
    pub(crate) user: String,
}

impl Tokens {
    /// Makes new ones.
    pub(crate) fn make() -> Tokens {
        Tokens { admin: Uuid::new_v4().to_string(), user: Uuid::new_v4().to_string() }
    }
}

/// The name of the user that may do everything.
pub(crate) const ADMIN: &str = "system-admin";
/// The name of the user without groups.
pub(crate) const USER: &str = "user";

/// Returns the kubeconfig's text. `certificates` is PEM: the leaf, then the authority.
pub(crate) fn render(port: u16, certificates: &str, tokens: &Tokens) -> String {
    let data = STANDARD.encode(certificates);
    let Tokens { admin, user } = tokens;
    format!(
        "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {data}
    server: https://127.0.0.1:{port}
  name: root
contexts:
- context:
    cluster: root
    user: {ADMIN}
  name: root
- context:
    cluster: root
    user: {USER}
  name: user
current-context: root
kind: Config
preferences: {{}}
users:
- name: {ADMIN}
  user:
    token: {admin}
- name: {USER}
  user:
    token: {user}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubeconfig_names_both_users() {
        let tokens = Tokens { admin: "aa".into(), user: "bb".into() };
        let text = render(6445, "pem", &tokens);
        for line in [
            "    certificate-authority-data: cGVt",
            "    server: https://127.0.0.1:6445",
            "current-context: root",
            "- name: system-admin\n  user:\n    token: aa",
            "- name: user\n  user:\n    token: bb",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_ne!(Tokens::make().admin, Tokens::make().admin);
    }
}
