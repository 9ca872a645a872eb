//! What a request wants to do, as authorizers are asked.

/// What a request wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessRequest {
    /// Something with API objects.
    Resource {
        /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
        verb: String,
        /// The API group; empty for the core group.
        group: String,
        /// The version in the URL.
        version: String,
        /// The plural.
        resource: String,
        /// The subresource; empty for the object itself.
        subresource: String,
        /// The namespace; empty for cluster scope or all namespaces.
        namespace: String,
        /// The object's name, where the request tells it.
        name: String,
    },
    /// Any other path.
    Path {
        /// The HTTP method in lower case.
        verb: String,
        /// The path.
        path: String,
    },
}
