//! Table `kept_package`: packages as revisions remember them, each once, whatever becomes of the package itself.

use skipper_core::Sha256;

use crate::{
    Error, Store,
    db::{Txn, args, statements},
};

statements! {
    PUT = "INSERT INTO kept_package (digest, document) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    GET = "SELECT document FROM kept_package WHERE digest = $1";
}

impl Store {
    /// The document that was kept under that digest.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn kept_package_get(&self, digest: &str) -> Result<Option<String>, Error> {
        self.one("read the kept package", GET, args![digest]).await?.map(|row| row.text("document")).transpose()
    }
}

/// Keeps a document and answers its digest.
pub(crate) async fn put_in_txn(txn: &mut Txn, document: String) -> Result<String, Error> {
    let digest = Sha256::of(document.as_bytes()).to_string();
    txn.later(PUT, args![digest.clone(), document]).await?;
    Ok(digest)
}
