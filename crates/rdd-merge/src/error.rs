//! What can be wrong with a patch, in the classes that upstream answers differently.

/// A patch that cannot be read or applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is no patch. 400.
    #[error("{0}")]
    Malformed(String),
    /// The patch has too many operations, or copies too much. 413.
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not fit the object, or a `test` failed. 422, with the text of
    /// `NewGenericServerResponse`: "the server rejected our request due to an error in our request".
    #[error("{0}")]
    Unprocessable(String),
    /// An item of a list lacks the key that the list merges by. 500, as upstream.
    #[error("{0}")]
    MissingMergeKey(String),
}
