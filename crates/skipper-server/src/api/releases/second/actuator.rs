//! The management of a running application, by way of this server.

use axum::{
    body::Body as HttpBody,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, Uri, header};
use skipper_core::rollout::Verb;

use crate::{
    api::{
        extract::Path,
        releases::{
            asked::{self, JSON},
            extract::{self, Body, Client},
            failure::Failure,
            wire::ActuatorRequest,
        },
    },
    app::App,
    error::Code,
    verb::{self, actuator::Call},
};

/// What an application is to be told as `Authorization`. The caller's own header has let them in here: it would tell the
/// application how to.
const FOR_APPLICATION: &str = "x-application-authorization";

type Instance = (String, String, String);

/// `GET /api/release/actuator/{name}/{app}/{instance}?endpoint=/info`.
pub(in crate::api::releases) async fn get(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    uri: Uri,
    Path(instance): Path<Instance>,
) -> Result<Response, Failure> {
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let query = query.map_err(|_| Failure::argument("the query cannot be read"))?.0;
    let endpoint = query.into_iter().find(|(key, _)| key == "endpoint").map(|(_, endpoint)| endpoint);
    let endpoint = endpoint.ok_or_else(|| Failure::missing_parameter("endpoint", "String"))?;
    call(&app, &client, &headers, instance, endpoint, None).await
}

/// `POST /api/release/actuator/{name}/{app}/{instance}`.
pub(in crate::api::releases) async fn post(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    Path(instance): Path<Instance>,
    Body(body): Body<ActuatorRequest>,
) -> Result<Response, Failure> {
    let endpoint = body.endpoint.ok_or_else(|| Failure::argument("Endpoint must not be null"))?;
    let sent = body.body.unwrap_or_else(|| serde_json::json!({})).to_string();
    call(&app, &client, &headers, instance, endpoint, Some(sent.into_bytes())).await
}

async fn call(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    (name, application, instance): Instance,
    endpoint: String,
    body: Option<Vec<u8>>,
) -> Result<Response, Failure> {
    let call = Call {
        tenant: client.tenant.clone(),
        release: extract::release(&name)?,
        app: application,
        instance,
        endpoint,
        body,
        authorization: headers.get(FOR_APPLICATION).cloned(),
    };
    let answered = verb::actuator::call(app, &client.caller, call).await.map_err(|error| match error.code() {
        Code::ApplicationNotFound => Failure::argument(error.detail()).because(error),
        _ => Failure::of_verb(error, Verb::Install, &name, None),
    })?;
    if !answered.status.is_success() {
        let text = String::from_utf8_lossy(&answered.body);
        let text: String = text.chars().take(1000).collect();
        return Err(Failure::upstream(format!("{}: {text}", answered.status)));
    }
    let json = asked::accepted(headers).next() == Some(JSON);
    let kind = if json { JSON } else { "text/plain;charset=UTF-8" };
    // Never to be shown as a page of this server's own.
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, "inline;filename=f.txt")];
    Ok((StatusCode::OK, headers, HttpBody::from(answered.body)).into_response())
}
