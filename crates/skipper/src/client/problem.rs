use reqwest::{Response, StatusCode};
use skipper_server::api::own::wire::Problem;

use super::body;
use crate::{
    failure::{Exit, Failure},
    render::{tame, tame_lines},
};

/// Turns an answer that is an error into what the user is told.
pub(super) async fn read(response: Response, url: &str, had_token: bool) -> Failure {
    let status = response.status();
    let bytes = body::read(response).await.unwrap_or_default();
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => explain(&problem, had_token),
        Err(_) => match (serde_json::from_slice::<Spring>(&bytes), serde_json::from_slice::<Fleet>(&bytes)) {
            (Ok(told), _) if told.is_ours(status) => told.explain(status, had_token),
            (_, Ok(told)) => told.error.explain(status, had_token),
            _ => foreign(status, &bytes, url),
        },
    }
}

fn explain(problem: &Problem, had_token: bool) -> Failure {
    let mut message = tame_lines(&problem.detail);
    if message.is_empty() {
        message = tame(&problem.title);
    }
    for fault in problem.faults.iter().filter(|fault| !problem.detail.contains(*fault)) {
        message.push_str("\n- ");
        message.push_str(&tame(fault));
    }
    if problem.status >= 500 {
        message.push_str(&format!("\n(request {}: the server's log says more)", tame(&problem.request_id)));
    }
    let exit = exit_of(problem.status);
    let mut failure = Failure::new(exit, message);
    failure.code = Some(problem.code.clone());
    failure.hint = match problem.status {
        // The server's own advice is for those who speak HTTP.
        401 if !had_token => Some("give a token with --token-file, SKIPPER_TOKEN or `skipper config`".to_owned()),
        _ => problem.hint.as_deref().map(tame),
    };
    failure
}

/// What `/api` answers when something is wrong.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spring {
    /// Absent where it is about who asks.
    #[serde(default)]
    exception: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    release_name: Option<String>,
    #[serde(default)]
    version: Option<u64>,
}

impl Spring {
    fn is_ours(&self, status: StatusCode) -> bool {
        let is_access = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        !self.exception.is_empty() || (is_access && self.message.is_some())
    }

    fn explain(self, status: StatusCode, had_token: bool) -> Failure {
        let message = match (&self.release_name, self.version) {
            (Some(name), None) if self.exception.ends_with("ReleaseNotFoundException") => {
                format!("Release with name '{}' not found", tame(name))
            }
            (Some(name), Some(version)) if self.exception.ends_with("ReleaseNotFoundException") => {
                format!("Release with name '{}' and version '{version}' not found", tame(name))
            }
            _ => self.message.as_deref().map_or_else(|| status.to_string(), tame),
        };
        let mut failure = Failure::new(exit_of(status.as_u16()), message);
        if status == StatusCode::UNAUTHORIZED && !had_token {
            failure.hint =
                Some("log in with `skipper config --username NAME`, or give a token with --token-file".to_owned());
        }
        failure
    }
}

/// What the fleet's door answers when something is wrong.
#[derive(Debug, serde::Deserialize)]
struct Fleet {
    error: FleetError,
}

#[derive(Debug, serde::Deserialize)]
struct FleetError {
    code: String,
    message: String,
    #[serde(default)]
    request_id: String,
}

impl FleetError {
    fn explain(self, status: StatusCode, had_token: bool) -> Failure {
        let mut message = tame_lines(&self.message);
        if status.is_server_error() {
            message.push_str(&format!("\n(request {}: the server's log says more)", tame(&self.request_id)));
        }
        let mut failure = Failure::new(exit_of(status.as_u16()), message);
        failure.code = Some(self.code);
        if status == StatusCode::UNAUTHORIZED && !had_token {
            failure.hint = Some("give a token with --token-file, SKIPPER_TOKEN or ADMIN_TOKEN".to_owned());
        }
        failure
    }
}

/// An answer in another form: something else listens there, or stands in between.
fn foreign(status: StatusCode, bytes: &[u8], url: &str) -> Failure {
    let text: String = String::from_utf8_lossy(bytes).trim().chars().take(200).collect();
    let what = if text.is_empty() { String::new() } else { format!(": {}", tame(&text)) };
    let hint = if status.is_redirection() {
        "redirects are not followed; give the address it points to"
    } else {
        "is this the address of a Skipper server?"
    };
    Failure::new(exit_of(status.as_u16()), format!("{url} answered {status}{what}")).hint(hint)
}

const fn exit_of(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Auth,
        404 => Exit::NotFound,
        408 | 504 => Exit::Timeout,
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> Problem {
        Problem {
            error: None,
            kind: "docs/errors/x".into(),
            title: "X".into(),
            status,
            code: "x".into(),
            detail: "release `web` has no revision 7".into(),
            hint: Some("`skipper history web` lists revisions 1 to 5".into()),
            faults: Vec::new(),
            rollout: None,
            request_id: "r-1".into(),
        }
    }

    #[test]
    fn the_exit_code_follows_the_status() {
        let exits = [400, 401, 403, 404, 409, 500, 504].map(|status| explain(&problem(status), true).exit as u8);
        assert_eq!(exits, [1, 3, 3, 4, 1, 1, 6]);
    }

    #[test]
    fn an_internal_error_names_the_request_and_every_fault_is_listed() {
        let failure = explain(&Problem { faults: vec!["a: b".into()], ..problem(500) }, true);
        assert!(failure.message.contains("request r-1") && failure.message.contains("\n- a: b"), "{failure}");
    }

    #[test]
    fn what_spring_says_of_access_is_told_and_leads_to_logging_in() {
        let body =
            r#"{"timestamp":1,"status":401,"error":"Unauthorized","message":"a token is needed","path":"/api/list"}"#;
        let told: Spring = serde_json::from_str(body).expect("Spring's form");
        assert!(told.is_ours(StatusCode::UNAUTHORIZED) && !told.is_ours(StatusCode::BAD_GATEWAY));
        let failure = told.explain(StatusCode::UNAUTHORIZED, false);
        assert_eq!((failure.message.as_str(), failure.exit as u8), ("a token is needed", 3));
        assert!(failure.hint.is_some_and(|hint| hint.contains("--username")));
    }

    #[test]
    fn what_the_fleets_door_says_is_told() {
        let body = br#"{"error":{"code":"not-found","message":"there is no node `h`","request_id":"r-1"}}"#;
        let told: Fleet = serde_json::from_slice(body).expect("the fleet's form");
        let failure = told.error.explain(StatusCode::NOT_FOUND, true);
        assert_eq!((failure.message.as_str(), failure.exit as u8), ("there is no node `h`", 4));
        assert_eq!(failure.code.as_deref(), Some("not-found"));
    }

    #[test]
    fn an_answer_of_something_else_is_shown_shortened() {
        let failure = foreign(StatusCode::BAD_GATEWAY, &[b'x'; 5000], "http://h");
        assert!(failure.message.len() < 300 && failure.message.contains("502"), "{failure}");
    }
}
