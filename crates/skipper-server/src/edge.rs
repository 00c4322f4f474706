//! What the server shows of its edge. Switching traffic is [`skipper_core::port::Router`]'s; this is only looking.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;
use skipper_core::{BoxFuture, id::ReleaseId, name::AppName, port::Error, route::ServiceId};
use skipper_edge::{AcmeInfo, EdgeRouter};

/// An edge that can be looked at.
pub trait EdgeView: Send + Sync + fmt::Debug {
    /// What it says of itself.
    fn info(&self) -> BoxFuture<'_, Result<EdgeState, Error>>;

    /// Its counters as Prometheus text.
    fn metrics(&self) -> BoxFuture<'_, Result<String, Error>>;

    /// What it does with the requests of a release's applications: `open`, `held`, `maintenance`.
    fn modes(&self, release: ReleaseId) -> BoxFuture<'_, Result<BTreeMap<String, String>, Error>>;
}

/// What an edge says of itself.
#[derive(Debug, Clone, Default)]
pub struct EdgeState {
    /// Open listeners: `http`, `https` or `:port`, and where they are bound.
    pub listeners: Vec<(String, std::net::SocketAddr)>,
    /// Listeners that routes need and that cannot be opened, with why.
    pub shut: Vec<(String, String)>,
    /// The certificates that it orders itself, where it does.
    pub acme: Option<AcmeInfo>,
    /// Its own document, for people.
    pub document: Value,
}

impl EdgeState {
    /// In a word, whether every certificate can be had and renewed; without names, which are not for everybody. `None` where none
    /// is ordered.
    #[must_use]
    pub fn certificates(&self) -> Option<String> {
        let acme = self.acme.as_ref()?;
        let all = acme.valid.saturating_add(acme.pending).saturating_add(acme.failing);
        Some(match acme.failing {
            0 => "ok".to_owned(),
            failing => format!("degraded: {failing} of {all} cannot be had or renewed"),
        })
    }

    /// What is wrong with the certificate of a host.
    #[must_use]
    pub fn certificate_trouble(&self, host: &str) -> Option<String> {
        let acme = self.acme.as_ref()?;
        let certificate = acme.certificates.iter().find(|one| one.host == host && one.state == "failing")?;
        let why = certificate.error.as_ref().or(acme.problem.as_ref()).map_or("no reason given", String::as_str);
        let again = certificate
            .next_try
            .or(acme.next_try)
            .map_or_else(String::new, |at| format!("; tried again at {}", time(at)));
        Some(match certificate.expires {
            None => format!("there is no certificate for {host} yet: {why}{again}"),
            Some(until) => {
                format!("the certificate for {host} ends at {} and cannot be renewed: {why}{again}", time(until))
            }
        })
    }
}

fn time(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(|| seconds.to_string(), |at| at.to_string())
}

/// Applications of one release that are asked for at once; few have more than ten.
const MODES: u32 = 100;

impl EdgeView for EdgeRouter {
    fn info(&self) -> BoxFuture<'_, Result<EdgeState, Error>> {
        Box::pin(async move {
            let info = Self::info(self).await?;
            let listeners = info.listeners.iter().map(|open| (open.listener.clone(), open.address)).collect();
            let mut document = serde_json::to_value(&info).unwrap_or_default();
            if let Some(map) = document.as_object_mut() {
                // Whoever knows it can ask the edge which deployment answered.
                map.remove("verify_token");
            }
            let shut = info.shut.iter().map(|shut| (shut.listener.clone(), shut.reason.clone())).collect();
            Ok(EdgeState { listeners, shut, acme: info.acme, document })
        })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(Self::metrics(self))
    }

    fn modes(&self, release: ReleaseId) -> BoxFuture<'_, Result<BTreeMap<String, String>, Error>> {
        Box::pin(async move {
            // The table is paged by id; this one sorts before everything of the release.
            let before = release.uuid().as_u128().saturating_sub(1);
            let app = AppName::new("z".repeat(255)).expect("letters are a name");
            let after = ServiceId { release: ReleaseId::from_uuid(uuid::Uuid::from_u128(before)), app };
            let rows = self.table(Some(&after), MODES).await?;
            let own = release.to_string();
            Ok(rows
                .into_iter()
                .filter(|row| row.service.release == own)
                .map(|row| (row.service.app, row.service.mode))
                .collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use skipper_edge::CertificateInfo;

    use super::*;

    fn seen(state: &str, expires: Option<u64>, error: Option<&str>) -> EdgeState {
        let certificate = CertificateInfo {
            host: "shop.example".to_owned(),
            state: state.to_owned(),
            expires,
            error: error.map(str::to_owned),
            failures: 1,
            next_try: error.map(|_| 1_800_000_000),
        };
        let failing = u64::from(state == "failing");
        let acme = AcmeInfo {
            problem: Some("ca.example does not answer".to_owned()),
            valid: 1,
            failing,
            certificates: vec![certificate],
            ..AcmeInfo::default()
        };
        EdgeState { acme: Some(acme), ..EdgeState::default() }
    }

    #[test]
    fn a_certificate_that_cannot_be_had_is_told_with_its_cause() {
        let none = seen("failing", None, Some("no such name"));
        assert_eq!(
            none.certificate_trouble("shop.example").as_deref(),
            Some("there is no certificate for shop.example yet: no such name; tried again at 2027-01-15T08:00:00Z")
        );
        assert_eq!(none.certificates().as_deref(), Some("degraded: 1 of 2 cannot be had or renewed"));
        let ends = seen("failing", Some(1_800_086_400), None).certificate_trouble("shop.example").expect("told");
        assert!(
            ends.contains("ends at 2027-01-16T08:00:00Z") && ends.ends_with("ca.example does not answer"),
            "{ends}"
        );
        let well = seen("valid", Some(1), None);
        assert_eq!((well.certificate_trouble("shop.example"), well.certificates().as_deref()), (None, Some("ok")));
        assert_eq!((none.certificate_trouble("b.example"), EdgeState::default().certificates()), (None, None));
    }
}
