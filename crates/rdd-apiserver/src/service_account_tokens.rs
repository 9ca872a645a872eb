//! The tokens of ServiceAccounts over what is stored: a token is good as long as its account, and the Secret that it is
//! bound to, are there with the same uid.

use rdd_api::{GroupVersionResource, Status, object};
use rdd_auth::service_account_token::{self, NameAndUid, TokenClaims, TokenError};
use rdd_auth::{Authenticated, Refused, SigningKey, TokenAuthenticator};
use rdd_verbs::{Object, Verbs};

/// Who issues the tokens, and whom they are for if nobody says otherwise.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

/// Issues tokens, and knows them again.
pub(crate) struct ServiceAccountTokens {
    key: SigningKey,
    verbs: Verbs,
}

impl ServiceAccountTokens {
    /// Makes an issuer that signs with a key.
    pub(crate) fn new(key: SigningKey, verbs: Verbs) -> Self {
        Self { key, verbs }
    }

    /// Signs a token.
    pub(crate) fn issue(&self, claims: &TokenClaims) -> Result<String, TokenError> {
        service_account_token::sign(&self.key, ISSUER, claims)
    }

    /// Returns the key's public half as a JSON Web Key Set.
    pub(crate) fn key_set(&self) -> serde_json::Value {
        let (x, y) = self.key.coordinates();
        let key = serde_json::json!({
            "use": "sig", "kty": "EC", "kid": self.key.id(), "crv": "P-256", "alg": "ES256", "x": x, "y": y,
        });
        serde_json::json!({"keys": [key]})
    }

    fn is_there(&self, resource: &str, namespace: &str, wanted: &NameAndUid) -> bool {
        find(&self.verbs, resource, namespace, &wanted.name)
            .is_ok_and(|found| object::uid(&found) == wanted.uid && !object::is_terminating(&found))
    }
}

/// Finds an object of the core group.
pub(crate) fn find(verbs: &Verbs, resource: &str, namespace: &str, name: &str) -> Result<Object, Status> {
    let target = verbs.target(&GroupVersionResource::new("", "v1", resource))?;
    verbs.get(&target.in_namespace(namespace).named(name))
}

impl TokenAuthenticator for ServiceAccountTokens {
    fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Authenticated, Refused> {
        let now = self.verbs.clock().now().as_second();
        let claims = service_account_token::verify(&self.key, ISSUER, token, now).map_err(|error| {
            tracing::debug!(%error, "a bearer token is refused");
            Refused::Invalid
        })?;
        let good: Vec<String> = audiences.iter().filter(|a| claims.audiences.contains(a)).cloned().collect();
        let bound = claims.secret.as_ref().is_none_or(|secret| self.is_there("secrets", &claims.namespace, secret));
        if good.is_empty() || !bound || !self.is_there("serviceaccounts", &claims.namespace, &claims.account) {
            return Err(Refused::Invalid);
        }
        Ok((claims.user(), good))
    }
}
