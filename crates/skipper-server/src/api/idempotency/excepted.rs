//! What takes no idempotency key although it is no GET, each with its reason: the list of docs/api.md.

/// Paths of calls that pass an idempotency key over, and why.
pub const WITHOUT_KEY: [(&str, &str); 5] = [
    ("/v1/plans", "a question that needs a body; nothing is stored"),
    ("/v1/deployments/{tenant}/plan", "a question that needs a body; nothing is stored"),
    ("/v1/backup", "its answer is a stream of the whole database, which is not kept"),
    (
        "/v1/nodes/{node}/heartbeat",
        "a sign of life: each one renews leases, and the answer to an old one would be wrong",
    ),
    (
        "/v1/work-orders/{id}/result",
        "the order and its generation say which report it is: the same again changes nothing",
    ),
];

/// Whether keys mean nothing on that path.
pub(in crate::api) fn is_excepted(path: &str) -> bool {
    WITHOUT_KEY.iter().any(|(known, _)| *known == path)
}
