//! The documents that tell what is served, made once per state of the registry.
//!
//! Nothing is made before somebody asks. A group version whose kinds did not change keeps its
//! OpenAPI document across changes of others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use rdd_registry::Kinds;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::discovery::aggregated::{self, Form};
use crate::openapi::{gnostic, v2, v3};

/// A document with its hash: upper-case hex of SHA-512.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    pub(crate) hash: String,
}

impl Document {
    fn new(bytes: Vec<u8>) -> Self {
        let hash = hex::encode_upper(Sha512::digest(&bytes));
        Self { bytes: bytes.into(), hash }
    }

    fn json(value: &Value) -> Self {
        Self::new(serde_json::to_vec(value).expect("a JSON value prints"))
    }

    /// Returns the `ETag`.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.hash)
    }
}

/// The documents of one state of the registry.
pub(crate) struct Documents {
    kinds: Arc<Kinds>,
    server_version: String,
    aggregated: [OnceLock<Document>; 4],
    v2_json: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    v3_index: OnceLock<Document>,
    /// By key of the index, as in `apis/example.com/v1`; with the identities of the kinds it tells.
    v3: HashMap<String, (Vec<u64>, Arc<OnceLock<Document>>)>,
}

impl Documents {
    fn new(kinds: Arc<Kinds>, server_version: &str, before: Option<&Documents>) -> Self {
        let mut v3 = HashMap::new();
        for group in kinds.groups() {
            for version in &group.versions {
                let ids: Vec<u64> = group.kinds.iter().map(|kind| kind.id).collect();
                let key = key(&group.name, version);
                let kept = before.and_then(|b| b.v3.get(&key)).filter(|(kept, _)| *kept == ids);
                let document = kept.map_or_else(Arc::default, |(_, document)| document.clone());
                v3.insert(key, (ids, document));
            }
        }
        Self {
            kinds,
            server_version: server_version.to_owned(),
            aggregated: Default::default(),
            v2_json: OnceLock::new(),
            v2_protobuf: OnceLock::new(),
            v3_index: OnceLock::new(),
            v3,
        }
    }

    /// Returns the kinds that the documents tell about.
    pub(crate) fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Returns aggregated discovery of `/api` (`core`) or `/apis`.
    pub(crate) fn aggregated(&self, core: bool, form: Form) -> &Document {
        let place = usize::from(core) * 2 + usize::from(form == Form::V2);
        self.aggregated[place].get_or_init(|| Document::json(&aggregated::document(&self.kinds, core, form)))
    }

    /// Returns OpenAPI v2 as JSON.
    pub(crate) fn v2_json(&self) -> &Document {
        self.v2_json.get_or_init(|| Document::json(&v2::document(&self.kinds, &self.server_version)))
    }

    /// Returns OpenAPI v2 as protobuf. Its ETag is the JSON's, as the content is.
    pub(crate) fn v2_protobuf(&self) -> &Document {
        self.v2_protobuf.get_or_init(|| {
            let bytes = gnostic::encode(&v2::document(&self.kinds, &self.server_version));
            Document { bytes: bytes.into(), hash: self.v2_json().hash.clone() }
        })
    }

    /// Returns the index of OpenAPI v3.
    pub(crate) fn v3_index(&self) -> &Document {
        self.v3_index.get_or_init(|| {
            let mut paths = serde_json::Map::new();
            let plain = ["api", "apis", "version"].into_iter().map(str::to_owned);
            for key in self.v3.keys().cloned().chain(plain) {
                let hash = self.v3(&key).map(|document| document.hash.clone()).unwrap_or_default();
                let url = format!("/openapi/v3/{key}?hash={hash}");
                paths.insert(key, json!({"serverRelativeURL": url}));
            }
            Document::json(&json!({"paths": paths}))
        })
    }

    /// Returns one document of OpenAPI v3 by its key in the index.
    pub(crate) fn v3(&self, key: &str) -> Option<Document> {
        if let "api" | "apis" | "version" = key {
            let path = if key == "version" { "/version/".to_owned() } else { format!("/{key}/") };
            return Some(Document::json(&v3::plain(&path, &self.server_version)));
        }
        let (_, document) = self.v3.get(key)?;
        let (group, version) = match key.split('/').collect::<Vec<_>>().as_slice() {
            ["api", version] => ("", (*version).to_owned()),
            ["apis", group, version] => (*group, (*version).to_owned()),
            _ => return None,
        };
        let group = self.kinds.group(group)?;
        Some(document.get_or_init(|| Document::json(&v3::document(group, &version, &self.server_version))).clone())
    }
}

fn key(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Keeps the documents of the latest state.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Option<Arc<Documents>>>);

impl Cache {
    /// Returns the documents of a state of the registry.
    pub(crate) fn of(&self, kinds: &Arc<Kinds>, server_version: &str) -> Arc<Documents> {
        let mut kept = self.0.lock().expect("no holder of this lock panics");
        if let Some(documents) = kept.as_ref().filter(|d| d.kinds.generation() >= kinds.generation()) {
            return documents.clone();
        }
        let documents = Arc::new(Documents::new(kinds.clone(), server_version, kept.as_deref()));
        *kept = Some(documents.clone());
        documents
    }
}
