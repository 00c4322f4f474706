use serde::Serialize;

use crate::Error;

/// A document as it is stored.
pub(crate) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Invalid(format!("a document cannot be written as JSON: {e}")))
}
