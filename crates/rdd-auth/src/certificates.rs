//! The certificates of an instance: its own authority, and the serving certificate under it.
//!
//! Called by the embedder before it listens. Keys are P-256 and made in process by ring. Nothing
//! here listens or knows what is served.
//!
//! # Guarantees
//!
//! - The authority is kept (`ca.crt`, `ca.key`) and remade only when it is missing, unreadable or
//!   about to end, so that a certificate issued under it stays good across restarts.
//! - `apiserver.crt` is the leaf, then the authority: clients take the file whole as their CA
//!   data, and some compare the leaf they see with it.
//! - The serving certificate is reused while it is valid for 30 days more, chains to the
//!   authority, covers every name and matches its key; else it is issued anew.
//! - Files are written whole, the key before the certificate it belongs to: a crash between the
//!   two leaves a pair that does not match, which the next start replaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::cryptography::provider;

/// The leaf is reissued when it has less than this left.
pub const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

const LEAF_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
// Clocks of host and guest differ a little; upstream's certificates start an hour back as well.
const BACKDATE: Duration = Duration::from_secs(3600);

/// A failure to make, read or keep certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The key or certificate could not be made.
    #[error("make the {what}")]
    Make {
        /// What was being made.
        what: &'static str,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// A file could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// What was just made cannot be used: our mistake.
    #[error("use the new certificate: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
}

/// A certificate authority with its key.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority that is valid from `now`.
    pub fn make(now: SystemTime) -> Result<Self, CertificateError> {
        let key = make_key("authority's key")?;
        // The moment in the name keeps two authorities of one instance apart, in clients' stores too.
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let params = authority_params(&format!("rdd-ca@{seconds}"), now);
        let certificate =
            params.self_signed(&key).map_err(|source| CertificateError::Make { what: "authority", source })?;
        Ok(Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) })
    }

    /// Reads an authority back. `None` if the texts are not a certificate and its key, or if it
    /// ends within [`RENEW_BEFORE`] of `now`.
    pub fn from_pem(certificate: &str, key: &str, now: SystemTime) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let key = KeyPair::from_pem(key).ok()?;
        let (_, parsed) = X509Certificate::from_der(der.as_ref()).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
        if parsed.public_key().subject_public_key.data.as_ref() != rcgen::PublicKeyData::der_bytes(&key) {
            return None;
        }
        let end = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        if UNIX_EPOCH + Duration::from_secs(end) < now + RENEW_BEFORE {
            return None;
        }
        // The issuer is made again from what it was made of; only its name and key show in a leaf.
        let issuer = Issuer::new(authority_params(&name, now), key);
        Some(Self { pem: certificate.to_owned(), der, issuer })
    }

    /// Returns the certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Issues a serving certificate for the loopback names.
    pub fn issue_serving(&self, now: SystemTime) -> Result<Serving, CertificateError> {
        let mut params = leaf_params("rdd-apiserver", &[], now, ExtendedKeyUsagePurpose::ServerAuth);
        params.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into().expect("an ASCII name")),
        ];
        let (leaf, key) = self.issue(&params)?;
        Serving::from_pem(&format!("{leaf}{}", self.pem), &key, self, now)
            .ok_or_else(|| CertificateError::Unusable { reason: "it does not pass its own check".to_owned() })
    }

    /// Issues a client certificate for a user: (certificate, key), both PEM.
    pub fn issue_client(
        &self,
        user: &str,
        groups: &[&str],
        now: SystemTime,
    ) -> Result<(String, String), CertificateError> {
        self.issue(&leaf_params(user, groups, now, ExtendedKeyUsagePurpose::ClientAuth))
    }

    fn issue(&self, params: &CertificateParams) -> Result<(String, String), CertificateError> {
        let key = make_key("leaf's key")?;
        let leaf = params
            .signed_by(&key, &self.issuer)
            .map_err(|source| CertificateError::Make { what: "leaf certificate", source })?;
        Ok((leaf.pem(), key.serialize_pem()))
    }
}

/// A serving certificate with its key, checked against its authority.
#[derive(Clone)]
pub struct Serving {
    /// The whole of `apiserver.crt`: leaf, then authority. Also the CA data of a kubeconfig.
    pub pem: String,
    /// The key as PEM.
    pub key_pem: String,
    /// The leaf and the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The authority that client certificates must chain to.
    pub authority: CertificateDer<'static>,
}

impl Serving {
    /// Reads a serving certificate back. `None` unless all of it holds: it parses, matches its
    /// key, chains to `authority`, and will still be good for the loopback names in 30 days.
    pub fn from_pem(pem: &str, key_pem: &str, authority: &Authority, now: SystemTime) -> Option<Self> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
        let [leaf, issuer] = chain.as_slice() else { return None };
        if issuer != authority.certificate() {
            return None;
        }
        let serving = Self {
            pem: pem.to_owned(),
            key_pem: key_pem.to_owned(),
            authority: authority.certificate().clone(),
            chain: chain.clone(),
        };
        CertifiedKey::from_der(chain.clone(), serving.key()?, &provider()).ok()?.keys_match().ok()?;

        let mut roots = RootCertStore::empty();
        roots.add(issuer.clone()).ok()?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider())).build().ok()?;
        let then = UnixTime::since_unix_epoch((now + RENEW_BEFORE).duration_since(UNIX_EPOCH).ok()?);
        for name in ["127.0.0.1", "::1", "localhost"] {
            let name = ServerName::try_from(name).expect("a literal name");
            verifier.verify_server_cert(leaf, std::slice::from_ref(issuer), &name, &[], then).ok()?;
        }
        Some(serving)
    }

    /// Returns the key.
    pub fn key(&self) -> Option<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).ok()
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Returns the instance's serving certificate from `tls_dir`, making or replacing what is missing
/// or no longer good.
pub fn load_or_make(tls_dir: &Path, now: SystemTime) -> Result<Serving, CertificateError> {
    let directory = |source| CertificateError::Write { path: tls_dir.to_owned(), source };
    rdd_host::files::make_private_dir(tls_dir).map_err(directory)?;
    let authority = load_or_make_authority(tls_dir, now)?;
    let (certificate_path, key_path) = (tls_dir.join("apiserver.crt"), tls_dir.join("apiserver.key"));
    if let (Some(certificate), Some(key)) = (read(&certificate_path)?, read(&key_path)?)
        && let Some(serving) = Serving::from_pem(&certificate, &key, &authority, now)
    {
        return Ok(serving);
    }
    let serving = authority.issue_serving(now)?;
    write(&key_path, &serving.key_pem, 0o600)?;
    write(&certificate_path, &serving.pem, 0o644)?;
    Ok(serving)
}

fn load_or_make_authority(tls_dir: &Path, now: SystemTime) -> Result<Authority, CertificateError> {
    let (certificate_path, key_path) = (tls_dir.join("ca.crt"), tls_dir.join("ca.key"));
    if let (Some(certificate), Some(key)) = (read(&certificate_path)?, read(&key_path)?)
        && let Some(authority) = Authority::from_pem(&certificate, &key, now)
    {
        return Ok(authority);
    }
    let authority = Authority::make(now)?;
    write(&key_path, &authority.issuer.key().serialize_pem(), 0o600)?;
    write(&certificate_path, &authority.pem, 0o644)?;
    Ok(authority)
}

/// Reads a file; `None` if it is not there or is no text.
fn read(path: &Path) -> Result<Option<String>, CertificateError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CertificateError::Read { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    rdd_host::files::write_whole(path, text.as_bytes(), mode)
        .map_err(|source| CertificateError::Write { path: path.to_owned(), source })
}

fn make_key(what: &'static str) -> Result<KeyPair, CertificateError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|source| CertificateError::Make { what, source })
}

fn authority_params(name: &str, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + AUTHORITY_LIFE).into();
    params
}

fn leaf_params(name: &str, groups: &[&str], now: SystemTime, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name, groups);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LEAF_LIFE).into();
    params
}

fn distinguished_name(name: &str, groups: &[&str]) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    // rcgen keeps one value per type, so a certificate of ours carries at most one group.
    if let Some(group) = groups.first() {
        subject.push(DnType::OrganizationName, *group);
    }
    subject.push(DnType::CommonName, name);
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn certificates_are_kept_until_a_month_before_their_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = load_or_make(dir.path(), now()).expect("made");
        let again = load_or_make(dir.path(), now() + DAY * 300).expect("kept");
        assert_eq!(first.pem, again.pem);
        let renewed = load_or_make(dir.path(), now() + DAY * 340).expect("renewed");
        assert_ne!(first.chain[0], renewed.chain[0]);
        assert_eq!(first.authority, renewed.authority, "the authority outlives its leaves");
        let late = load_or_make(dir.path(), now() + DAY * 3630).expect("all new");
        assert_ne!(first.authority, late.authority);
    }

    #[test]
    fn broken_files_heal() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = load_or_make(dir.path(), now()).expect("made");
        for name in ["apiserver.key", "apiserver.crt"] {
            std::fs::write(dir.path().join(name), "half a fi").expect("written");
            let healed = load_or_make(dir.path(), now()).expect("healed");
            assert_ne!(first.chain[0], healed.chain[0]);
            assert_eq!(first.authority, healed.authority);
        }
        // A key that is not the certificate's, as after a crash between the two writes.
        let stranger = Authority::make(now()).expect("made").issue_serving(now()).expect("issued");
        std::fs::write(dir.path().join("apiserver.key"), &stranger.key_pem).expect("written");
        let healed = load_or_make(dir.path(), now()).expect("healed");
        assert_ne!(healed.key_pem, stranger.key_pem);
        // A leaf under another authority is not served.
        std::fs::write(dir.path().join("apiserver.key"), &stranger.key_pem).expect("written");
        std::fs::write(dir.path().join("apiserver.crt"), &stranger.pem).expect("written");
        let healed = load_or_make(dir.path(), now()).expect("healed");
        assert_eq!(healed.authority, first.authority);
        std::fs::remove_file(dir.path().join("ca.key")).expect("removed");
        assert_ne!(load_or_make(dir.path(), now()).expect("all new").authority, first.authority);
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_the_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().expect("a directory");
        load_or_make(dir.path(), now()).expect("made");
        for name in ["apiserver.key", "ca.key"] {
            let mode = std::fs::metadata(dir.path().join(name)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_client_certificate_names_its_user() {
        let authority = Authority::make(now()).expect("made");
        let (certificate, _) = authority.issue_client("bob", &["system:masters"], now()).expect("issued");
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
        let user = crate::authenticate::user_of_certificate(&der).expect("a user");
        assert_eq!((user.name.as_str(), user.groups.as_slice()), ("bob", &["system:masters".to_owned()][..]));
    }
}
