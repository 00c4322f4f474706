//! Table `tenant`: who owns things. A tenant is there once something is stored for it.

use skipper_core::name::TenantName;

use crate::{
    Error, Store,
    db::{Txn, args, statements},
};

statements! {
    ENSURE = "INSERT INTO tenant (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    LIST = "SELECT name FROM tenant ORDER BY name LIMIT 1000";
}

impl Store {
    /// Tenants that own or owned something, by name.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn tenant_list(&self) -> Result<Vec<TenantName>, Error> {
        self.all("list tenants", LIST, args![]).await?.iter().map(|row| row.parse("name")).collect()
    }
}

pub(crate) async fn ensure_in_txn(txn: &mut Txn, tenant: &TenantName) -> Result<(), Error> {
    let now = txn.shared().clock.now();
    txn.later(ENSURE, args![tenant.as_str(), now]).await
}
