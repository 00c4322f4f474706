//! Whose idempotency key it is where an enrolment is traded: nobody has a token of the node's then.

use http::{HeaderMap, Uri};
use skipper_core::Sha256;

use crate::{app::App, auth, error::Error};

/// The enrolment that was made for the node of the path, whether it was used up or not: the answer to a repetition may have
/// been lost. `None` for anything else, which the handler refuses, so that strangers have nothing written.
pub(in crate::api) async fn enrolling(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, Error> {
    let node = uri.path().strip_prefix("/v1/nodes/").and_then(|rest| rest.strip_suffix("/enrol"));
    let (Some(node), Some(enrolment)) = (node, auth::node::bearer(headers)) else { return Ok(None) };
    let of = app.store.node_enrolment_of(enrolment).await?;
    Ok(of.filter(|of| of.as_str() == node).map(|_| format!("enrolment:{}", Sha256::of(enrolment.as_bytes()))))
}
