//! The tokens of ServiceAccounts: JSON Web Tokens (RFC 7519), signed with ES256.
//!
//! Whether the account is still there is not known here: [`verify`] tells whose token it is, the caller looks.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdd_admission::UserInfo;
use serde::{Deserialize, Serialize};

use crate::authenticate::AUTHENTICATED;
use crate::rbac::service_account_user;
use crate::signing_key::SigningKey;

const ALGORITHM: &str = "ES256";

/// Whose a token is, and what for. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// The token's own name.
    pub id: String,
    /// Who should accept it.
    pub audiences: Vec<String>,
    /// From when on it is good.
    pub issued_at: i64,
    /// Until when it is good.
    pub expires_at: i64,
    /// The account's namespace.
    pub namespace: String,
    /// The account.
    pub account: NameAndUid,
    /// The Secret that it is bound to.
    pub secret: Option<NameAndUid>,
}

/// One object, and no later one of its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAndUid {
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

/// A token that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or not of ServiceAccounts.
    #[error("token is malformed")]
    Malformed,
    /// It is not signed with our key.
    #[error("token signature is invalid")]
    Signature,
    /// Another server issued it.
    #[error("token issuer is unknown")]
    Issuer,
    /// Its time has not come.
    #[error("token is not valid yet")]
    NotYetValid,
    /// Its time is over.
    #[error("token has expired")]
    Expired,
    /// The token could not be signed: our mistake.
    #[error("token cannot be signed")]
    Unsigned,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
    nbf: i64,
    sub: String,
}

#[derive(Serialize, Deserialize)]
struct Kubernetes {
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<NameAndUid>,
    serviceaccount: NameAndUid,
}

/// Signs a token.
pub fn sign(key: &SigningKey, issuer: &str, claims: &TokenClaims) -> Result<String, TokenError> {
    let header = Header { alg: ALGORITHM.to_owned(), kid: key.id().to_owned() };
    let payload = Payload {
        aud: claims.audiences.clone(),
        exp: claims.expires_at,
        iat: claims.issued_at,
        iss: issuer.to_owned(),
        jti: claims.id.clone(),
        kubernetes: Kubernetes {
            namespace: claims.namespace.clone(),
            secret: claims.secret.clone(),
            serviceaccount: claims.account.clone(),
        },
        nbf: claims.issued_at,
        sub: service_account_user(&claims.namespace, &claims.account.name),
    };
    let text = format!("{}.{}", encode(&header)?, encode(&payload)?);
    let signature = key.sign(text.as_bytes()).ok_or(TokenError::Unsigned)?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn encode<T: Serialize>(part: &T) -> Result<String, TokenError> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).map_err(|_| TokenError::Unsigned)?))
}

/// Reads a token that our key signed, that names us as its issuer, and whose time is now.
pub fn verify(key: &SigningKey, issuer: &str, token: &str, now: i64) -> Result<TokenClaims, TokenError> {
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    let (text, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = text.split_once('.').ok_or(TokenError::Malformed)?;
    let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| TokenError::Malformed)?;
    // Whoever may choose the algorithm may choose none.
    if header.alg != ALGORITHM || !key.verifies(text.as_bytes(), &bytes(signature)?) {
        return Err(TokenError::Signature);
    }
    let payload: Payload = serde_json::from_slice(&bytes(payload)?).map_err(|_| TokenError::Malformed)?;
    let Kubernetes { namespace, secret, serviceaccount: account } = payload.kubernetes;
    if payload.sub != service_account_user(&namespace, &account.name) {
        return Err(TokenError::Malformed);
    }
    if payload.iss != issuer {
        return Err(TokenError::Issuer);
    }
    if now < payload.nbf {
        return Err(TokenError::NotYetValid);
    }
    if now >= payload.exp {
        return Err(TokenError::Expired);
    }
    Ok(TokenClaims {
        id: payload.jti,
        audiences: payload.aud,
        issued_at: payload.iat,
        expires_at: payload.exp,
        namespace,
        account,
        secret,
    })
}

impl TokenClaims {
    /// Returns the user that the token is for.
    pub fn user(&self) -> UserInfo {
        UserInfo {
            name: service_account_user(&self.namespace, &self.account.name),
            uid: self.account.uid.clone(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{}", self.namespace),
                AUTHENTICATED.to_owned(),
            ],
            extra: [("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={}", self.id)])].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://kubernetes.default.svc";

    fn claims() -> TokenClaims {
        let named = |name: &str, uid: &str| NameAndUid { name: name.to_owned(), uid: uid.to_owned() };
        TokenClaims {
            id: "j".to_owned(),
            audiences: vec!["a".to_owned(), "b".to_owned()],
            issued_at: 1000,
            expires_at: 4600,
            namespace: "n".to_owned(),
            account: named("sa", "u"),
            secret: Some(named("s", "v")),
        }
    }

    #[test]
    fn a_token_is_good_for_its_time_under_its_key() {
        let key = SigningKey::make().expect("a key");
        let token = sign(&key, ISSUER, &claims()).expect("signed");
        assert_eq!(verify(&key, ISSUER, &token, 1000), Ok(claims()));
        assert_eq!(verify(&key, ISSUER, &token, 4599), Ok(claims()));
        assert_eq!(verify(&key, ISSUER, &token, 4600), Err(TokenError::Expired));
        assert_eq!(verify(&key, ISSUER, &token, 999), Err(TokenError::NotYetValid));
        assert_eq!(verify(&key, "https://other", &token, 1000), Err(TokenError::Issuer));
        let other = SigningKey::make().expect("a key");
        assert_eq!(verify(&other, ISSUER, &token, 1000), Err(TokenError::Signature));
    }

    #[test]
    fn what_was_changed_is_refused() {
        let key = SigningKey::make().expect("a key");
        let token = sign(&key, ISSUER, &claims()).expect("signed");
        let parts: Vec<&str> = token.split('.').collect();
        let more = TokenClaims { expires_at: 9999, ..claims() };
        let longer = sign(&key, ISSUER, &more).expect("signed");
        let payload = longer.split('.').nth(1).expect("a payload");
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for (changed, expect) in [
            (format!("{}.{payload}.{}", parts[0], parts[2]), TokenError::Signature),
            (format!("{none}.{}.", parts[1]), TokenError::Signature),
            (format!("{}.{}", parts[0], parts[1]), TokenError::Malformed),
            (format!("{token}="), TokenError::Malformed),
            ("abc".to_owned(), TokenError::Malformed),
            (String::new(), TokenError::Malformed),
        ] {
            assert_eq!(verify(&key, ISSUER, &changed, 1000), Err(expect), "{changed}");
        }
    }

    #[test]
    fn the_user_is_upstreams() {
        let user = claims().user();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:n:sa", "u"));
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"]);
        assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=j"]);
    }
}
