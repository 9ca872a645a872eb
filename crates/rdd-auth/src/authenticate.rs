//! Authentication: from what a client shows (a bearer token, a client certificate) to a user.
//!
//! Called once per request by the HTTP face. First success wins. A credential that is shown but not known is
//! refused; who shows none is [`anonymous`], and may do what is allowed to everybody.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rdd_admission::UserInfo;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The group of everybody who authenticated.
pub const AUTHENTICATED: &str = "system:authenticated";

/// The group of everybody who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// The name of whoever shows nothing.
pub const ANONYMOUS: &str = "system:anonymous";

/// What a request shows. Nothing in here is trusted yet, but `certificate`: the TLS layer has
/// verified that it chains to the client CA and that the peer holds its key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The peer's verified leaf certificate.
    pub certificate: Option<&'a CertificateDer<'static>>,
}

/// A request whose user cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was shown.
    #[error("no credentials")]
    Anonymous,
    /// What was shown is not known.
    #[error("unknown credentials")]
    Invalid,
}

/// A user, and what the token that they showed is good for.
pub type Authenticated = (UserInfo, Vec<String>);

/// Knows bearer tokens of its own kind.
pub trait TokenAuthenticator: Send + Sync + 'static {
    /// Returns the user of a token that is good for one of these audiences, with those of them that it is good for.
    fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Authenticated, Refused>;
}

/// Knows the users: a table of bearer tokens, the rule for certificates, and who else knows tokens.
///
/// Tokens are kept as digests, so that looking one up takes no time that tells anything about
/// the tokens in the table.
#[derive(Clone, Default)]
pub struct Authenticator {
    tokens: HashMap<[u8; 32], UserInfo>,
    audiences: Vec<String>,
    others: Vec<Arc<dyn TokenAuthenticator>>,
}

impl Authenticator {
    /// Makes an authenticator that knows no token.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a bearer token. An empty token is ignored: it would let everybody in.
    #[must_use]
    pub fn with_token(mut self, token: &str, user: UserInfo) -> Self {
        if !token.is_empty() {
            self.tokens.insert(digest(token), user);
        }
        self
    }

    /// Says what requests to this server are meant for: a token must be good for one of these audiences.
    #[must_use]
    pub fn with_audiences(mut self, audiences: Vec<String>) -> Self {
        self.audiences = audiences;
        self
    }

    /// Asks this one about tokens that are not in the table.
    #[must_use]
    pub fn with_other(mut self, other: Arc<dyn TokenAuthenticator>) -> Self {
        self.others.push(other);
        self
    }

    /// Returns the audiences of this server.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Returns the user of a token that is good for one of these audiences, as [`TokenAuthenticator::authenticate`].
    pub fn token(&self, token: &str, audiences: &[String]) -> Result<Authenticated, Refused> {
        if let Some(user) = self.tokens.get(&digest(token)) {
            // A token of the table is good for this server, and nowhere else.
            let good: Vec<String> = audiences.iter().filter(|a| self.audiences.contains(a)).cloned().collect();
            if good.is_empty() && !audiences.is_empty() {
                return Err(Refused::Invalid);
            }
            return Ok((authenticated(user.clone()), good));
        }
        let found = self.others.iter().find_map(|other| other.authenticate(token, audiences).ok());
        found.map(|(user, good)| (authenticated(user), good)).ok_or(Refused::Invalid)
    }

    /// Returns the user, always a member of [`AUTHENTICATED`].
    pub fn authenticate(&self, shown: Credentials<'_>) -> Result<UserInfo, Refused> {
        // A certificate comes first, as upstream: a stray Authorization header does not spoil it.
        if let Some(user) = shown.certificate.and_then(user_of_certificate) {
            return Ok(authenticated(user));
        }
        let Some(header) = shown.authorization else {
            return Err(Refused::Anonymous);
        };
        let token = bearer(header).ok_or(Refused::Invalid)?;
        self.token(token, &self.audiences).map(|(user, _)| user)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

/// Adds the group of everybody who authenticated.
pub fn authenticated(mut user: UserInfo) -> UserInfo {
    if !user.groups.iter().any(|g| g == AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// Returns the user that a request is from which shows nothing.
pub fn anonymous() -> UserInfo {
    UserInfo { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..UserInfo::default() }
}

/// Returns the user that a certificate names: the common name, and the organisations as groups.
pub fn user_of_certificate(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, parsed) = X509Certificate::from_der(certificate.as_ref()).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    if name.is_empty() {
        return None;
    }
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    Some(UserInfo { name, groups, ..UserInfo::default() })
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserInfo {
        UserInfo { name: name.to_owned(), ..UserInfo::default() }
    }

    fn check(header: Option<&str>, expect: Result<&str, Refused>) {
        let known = Authenticator::new().with_token("s3cret", user("system-admin")).with_token("", user("nobody"));
        let seen = known.authenticate(Credentials { authorization: header, certificate: None });
        assert_eq!(seen.as_ref().map(|u| u.name.as_str()).map_err(|e| *e), expect, "{header:?}");
        if let Ok(seen) = seen {
            assert_eq!(seen.groups, [AUTHENTICATED]);
        }
    }

    #[test]
    fn only_a_known_token_gets_in() {
        check(Some("Bearer s3cret"), Ok("system-admin"));
        check(Some("bearer  s3cret "), Ok("system-admin"));
        check(Some("Bearer s3cre"), Err(Refused::Invalid));
        check(Some("Bearer "), Err(Refused::Invalid));
        check(Some("Basic s3cret"), Err(Refused::Invalid));
        check(None, Err(Refused::Anonymous));
    }
}
