//! Every stable code with its status and title. Each has a page `docs/errors/<code>.md`; a test compares.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// A stable code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status: what the caller should do next.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The same sentence for every error of this code.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// 400: it cannot be parsed.
    BadRequest = "bad-request", 400, "The request cannot be understood";
    /// 401: no credential, or a wrong one.
    Unauthenticated = "unauthenticated", 401, "A valid token is needed";
    /// 403: the actor may not do this.
    Forbidden = "forbidden", 403, "The token does not allow this";
    /// 404: no such path.
    NotFound = "not-found", 404, "There is nothing at this path";
    /// 404: no such tenant, or none that the actor may know of.
    TenantNotFound = "tenant-not-found", 404, "There is no such tenant";
    /// 404: no such release.
    ReleaseNotFound = "release-not-found", 404, "There is no such release";
    /// 404: no such revision.
    RevisionNotFound = "revision-not-found", 404, "The release has no such revision";
    /// 404: no such application.
    ApplicationNotFound = "application-not-found", 404, "The release has no such application";
    /// 404: no such rollout.
    RolloutNotFound = "rollout-not-found", 404, "There is no such rollout";
    /// 404: no such package.
    PackageNotFound = "package-not-found", 404, "There is no such package";
    /// 404: no such repository.
    RepositoryNotFound = "repository-not-found", 404, "There is no such repository";
    /// 404: no such platform account.
    PlatformNotFound = "platform-not-found", 404, "There is no such platform account";
    /// 404: no such secret.
    SecretNotFound = "secret-not-found", 404, "There is no such secret";
    /// 404: no such token.
    TokenNotFound = "token-not-found", 404, "There is no such token";
    /// 404: no such node.
    NodeNotFound = "node-not-found", 404, "There is no such node";
    /// 404: no such work order, or another node's.
    OrderNotFound = "order-not-found", 404, "There is no such work order";
    /// 404: no such resource.
    ResourceNotFound = "resource-not-found", 404, "There is no such resource";
    /// 405: the path does not know the method.
    MethodNotAllowed = "method-not-allowed", 405, "The path does not know this method";
    /// 408: the body did not come in time.
    RequestTimeout = "request-timeout", 408, "The request did not arrive in time";
    /// 409: a rollout is open.
    ReleaseBusy = "release-busy", 409, "A rollout of this release is open";
    /// 409: the name is taken by a release that is there.
    ReleaseExists = "release-exists", 409, "A release of this name is there already";
    /// 409: the name belongs to another door.
    NameTaken = "name-taken", 409, "The name belongs to another door";
    /// 409: the release does not serve anything.
    NotServing = "not-serving", 409, "The release serves no revision";
    /// 409: nothing would change.
    NoDifference = "no-difference", 409, "Nothing would change";
    /// 409: the plan is not the one that was required.
    PlanChanged = "plan-changed", 409, "The plan is not the one that was required";
    /// 409: it is past the point of no return, or has ended.
    NotCancellable = "not-cancellable", 409, "The rollout cannot be cancelled any more";
    /// 409: another application has the route.
    RouteTaken = "route-taken", 409, "Another application has this route";
    /// 409: the version is there with other contents.
    PackageExists = "package-exists", 409, "This version of the package is there already";
    /// 409: releases were made of it.
    PackageInUse = "package-in-use", 409, "Releases use this package";
    /// 409: the repository is read-only.
    RepositoryReadOnly = "repository-read-only", 409, "The repository cannot be written to";
    /// 409: something of that name is there.
    NameInUse = "name-in-use", 409, "The name is in use";
    /// 409: something runs with it.
    SecretInUse = "secret-in-use", 409, "Something runs with this secret";
    /// 409: another revision serves than the one the request was made for.
    ReleaseChanged = "release-changed", 409, "The release changed meanwhile";
    /// 409: the range of ports is used up.
    NoFreePort = "no-free-port", 409, "No port of the edge is free";
    /// 409: a node of that name is registered.
    NodeExists = "node-exists", 409, "A node of this name is registered already";
    /// 409: the order was handed out again since.
    StaleGeneration = "stale-generation", 409, "The work order was handed out again since";
    /// 409: the order has ended otherwise.
    OrderEnded = "order-ended", 409, "The work order has ended already";
    /// 409: the rollout keeps this version or state.
    Conflict = "conflict", 409, "The request does not fit the present state";
    /// 413: too large.
    BodyTooLarge = "body-too-large", 413, "The request body is too large";
    /// 415: not the content type that is read here.
    UnsupportedMediaType = "unsupported-media-type", 415, "The content type is not read here";
    /// 422: understood, but wrong.
    Invalid = "invalid", 422, "The request is not valid";
    /// 422: the package is broken.
    PackageInvalid = "package-invalid", 422, "The package is not valid";
    /// 422: the package cannot be rendered with these values.
    RenderFailed = "render-failed", 422, "The package cannot be rendered";
    /// 422: the spec cannot be carried out.
    PlanRefused = "plan-refused", 422, "The release cannot be rolled out like this";
    /// 422: a secret that the package names is not there.
    SecretMissing = "secret-missing", 422, "A secret that is named is not there";
    /// 422: the idempotency key was used with another request.
    IdempotencyMismatch = "idempotency-mismatch", 422, "The idempotency key was used for another request";
    /// 500: a fault of the server.
    Internal = "internal", 500, "The server failed";
    /// 502: a platform account failed.
    PlatformFailed = "platform-failed", 502, "A platform account failed";
    /// 502: a remote repository failed, or sends something else than it did.
    RepositoryFailed = "repository-failed", 502, "A remote repository failed";
    /// 502: the edge failed.
    EdgeFailed = "edge-failed", 502, "The edge failed";
    /// 503: the store does not answer.
    StoreUnavailable = "store-unavailable", 503, "The store does not answer";
    /// 503: it is being shut down.
    ShuttingDown = "shutting-down", 503, "The server is shutting down";
    /// 504: it took too long.
    Timeout = "timeout", 504, "It took too long";
    /// 507: no room.
    StorageFull = "storage-full", 507, "The server has no room left";
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let mut written = BTreeSet::new();
        for entry in fs::read_dir(&pages).expect("docs/errors").map(|e| e.expect("entry")) {
            let name = entry.file_name().into_string().expect("UTF-8");
            if let Some(word) = name.strip_suffix(".md").filter(|word| *word != "README") {
                written.insert(word.to_owned());
            }
        }
        let known: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
        assert_eq!(known, written, "docs/errors and the table of codes differ");
        for code in Code::ALL {
            let text = fs::read_to_string(pages.join(format!("{}.md", code.as_str()))).expect("page");
            let head = format!("# {}\n\n{}. HTTP status {}.\n", code.as_str(), code.title(), code.status());
            assert!(text.starts_with(&head), "{} must start with:\n{head}", code.as_str());
        }
    }

    #[test]
    fn words_are_unique_and_kebab_case() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
