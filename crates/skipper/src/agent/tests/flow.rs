use skipper_source::fleet::Heartbeat;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[tokio::test]
async fn an_order_is_carried_out_at_once_and_reported_by_the_ids_of_whoever_asked() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
    let _run = Run::start(dir.path(), &server, &hands);
    server.until("it asks", |book| book.asked.first().copied()).await;
    server.hand_out(&order(1, "a", 7));
    let (id, report) = server.until("it reports", |book| book.reports.first().cloned()).await;
    assert_eq!(id, order(1, "a", 7).id.to_string());
    assert_eq!((report.generation, report.status), (Some(7), Outcome::Succeeded));
    let result = report.result.expect("a result");
    assert_eq!(result.services["web"].state, "running");
    assert!(result.started_at <= result.finished_at);
    assert_eq!(server.book(|book| book.ids.clone()), ("request-1".to_owned(), "correlation".to_owned()));
    assert!(server.book(|book| book.asked.iter().all(|waits| *waits)), "all questions wait");
    let kept = walk(dir.path());
    assert!(kept.iter().all(|(_, text)| !text.contains("hush-hush")), "no secret is left: {kept:?}");
}

fn walk(dir: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let of = |path: std::path::PathBuf| {
        if path.is_dir() {
            return walk(&path);
        }
        vec![(path.display().to_string(), std::fs::read_to_string(&path).unwrap_or_default())]
    };
    entries.flat_map(of).collect()
}

#[tokio::test]
async fn a_repeated_order_has_no_second_effect_and_its_result_is_told_under_the_new_generation() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
    let run = Run::start(dir.path(), &server, &hands);
    server.hand_out(&order(1, "a", 7));
    server.until("it reports", |book| (book.reports.len() == 1).then_some(())).await;
    server.hand_out(&order(1, "a", 8));
    server.until("it reports again", |book| (book.reports.len() == 2).then_some(())).await;
    // An order that is handed to an agent that has just gone would be handed out again by a lease, which this server has not.
    server.until("it asks again", |book| (book.waiting == 1).then_some(())).await;
    run.kill();
    server.until("nobody asks", |book| (book.waiting == 0).then_some(())).await;
    let _run = Run::start(dir.path(), &server, &hands);
    server.hand_out(&order(1, "a", 9));
    server.until("and after a restart", |book| (book.reports.len() == 3).then_some(())).await;
    let told: Vec<_> = server.book(|book| book.reports.iter().map(|(_, report)| report.generation).collect());
    assert_eq!(told, [Some(7), Some(8), Some(9)]);
    assert_eq!(hands.done(), ["a 1"]);
}

#[tokio::test]
async fn an_order_of_the_past_is_refused_and_says_so() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
    let _run = Run::start(dir.path(), &server, &hands);
    server.hand_out(&order(1, "a", 7));
    server.hand_out(&order(2, "a", 6));
    server.hand_out(&order(3, "b", 1));
    let reports = server.until("all are told", |book| (book.reports.len() == 3).then(|| book.reports.clone())).await;
    let stale = order(2, "a", 6).id.to_string();
    let (_, report) = reports.into_iter().find(|(id, _)| *id == stale).expect("the one of the past");
    assert_eq!((report.status, report.generation), (Outcome::Failed, Some(6)));
    assert!(report.result.expect("a result").summary.starts_with("stale"), "it says why");
    let mut done = hands.done();
    done.sort_unstable();
    assert_eq!(done, ["a 1", "b 3"], "another tenant has generations of its own");
}

#[tokio::test]
async fn tenants_are_served_side_by_side_and_one_tenant_in_turn_with_the_newest_order_winning() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::gated(0));
    let _run = Run::start(dir.path(), &server, &hands);
    for (number, tenant) in [(1, "a"), (2, "a"), (3, "a"), (4, "b")] {
        server.hand_out(&order(number, tenant, number));
    }
    hands.until_begun(2).await;
    let superseded = server.until("the second one is told", |book| book.reports.first().cloned()).await;
    assert_eq!(superseded.0, order(2, "a", 2).id.to_string());
    assert!(superseded.1.result.expect("a result").summary.starts_with("superseded"));
    assert_eq!(hands.begun(), 2, "the third one of the tenant waits for the first");
    hands.open();
    server.until("all are told", |book| (book.reports.len() == 4).then_some(())).await;
    let done = hands.done();
    let place = |what: &str| done.iter().position(|done| done == what);
    assert_eq!(done.len(), 3, "{done:?}");
    assert!(place("a 1") < place("a 3"), "{done:?}");
}

#[tokio::test]
async fn results_wait_for_a_server_that_is_away_and_are_told_oldest_first() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::gated(0));
    let run = Run::start(dir.path(), &server, &hands);
    server.hand_out(&order(1, "a", 1));
    server.hand_out(&order(2, "b", 1));
    hands.until_begun(2).await;
    server.book(|book| book.refusal = Some(503));
    hands.gate.send_replace(1);
    until(|| hands.done().len() == 1).await;
    hands.open();
    until(|| run.agent.desk().untold().len() == 2).await;
    run.kill();
    let _run = Run::start(dir.path(), &server, &hands);
    server.book(|book| book.refusal = None);
    let told = server.until("both are told", |book| (book.reports.len() == 2).then(|| book.reports.clone())).await;
    let told: Vec<u64> = told.iter().map(|(id, _)| u64::from_str_radix(&id[3..], 16).expect("a number")).collect();
    let done: Vec<u64> = hands.done().iter().map(|done| done[2..].parse().expect("a number")).collect();
    assert_eq!(told, done);
}

async fn until(is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it comes true");
}

#[tokio::test]
async fn a_result_that_nobody_wants_is_dropped() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
    let run = Run::start(dir.path(), &server, &hands);
    server.book(|book| book.report_refusal = Some(409));
    server.hand_out(&order(1, "a", 1));
    server.until("it is refused", |book| (book.refused_reports == 1).then_some(())).await;
    until(|| run.agent.desk().untold().is_empty()).await;
    server.book(|book| book.report_refusal = None);
    server.hand_out(&order(1, "a", 2));
    let told = server.until("it is told when it is handed out again", |book| book.reports.first().cloned()).await;
    assert_eq!(told.1.generation, Some(2));
    assert_eq!(hands.done(), ["a 1"]);
}

#[tokio::test]
async fn a_proxy_that_cuts_waiting_makes_it_poll() {
    for status in [204, 504, 502] {
        let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
        server.book(|book| book.cuts = Some(status));
        let _run = Run::start(dir.path(), &server, &hands);
        server.until("it polls plainly", |book| book.asked.contains(&false).then_some(())).await;
        server.hand_out(&order(1, "a", 1));
        server.until("orders arrive all the same", |book| book.reports.first().map(drop)).await;
    }
}

#[tokio::test]
async fn a_token_that_is_exchanged_in_its_file_lets_the_agent_in_again() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
    let file = dir.path().join("secret");
    std::fs::write(&file, "skn_old").expect("written");
    server.book(|book| book.refusal = Some(401));
    let _run = Run::with_token(dir.path(), &server, &hands, TokenSource::File(file.clone()));
    server.until("the old one is shown", |book| (book.tokens.len() > 1).then_some(())).await;
    std::fs::write(&file, "skn_new").expect("written");
    server.until("the new one is shown", |book| book.tokens.iter().any(|token| token == "skn_new").then_some(())).await;
    server.book(|book| book.refusal = None);
    server.hand_out(&order(1, "a", 1));
    server.until("it works", |book| book.reports.first().map(drop)).await;
}

#[tokio::test]
async fn heartbeats_name_what_is_in_hand_and_what_is_lost_does_not_begin() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::gated(0));
    let run = Run::start(dir.path(), &server, &hands);
    let (first, second) = (order(1, "a", 1), order(2, "a", 2));
    server.hand_out(&first);
    hands.until_begun(1).await;
    server.hand_out(&second);
    let both = [first.id, second.id];
    let named = |beat: &Heartbeat| beat.orders.as_ref().is_some_and(|orders| both.iter().all(|id| orders.contains(id)));
    server.until("both are named", |book| book.beats.iter().any(named).then_some(())).await;
    server.book(|book| book.lost = both.iter().map(ToString::to_string).collect());
    until(|| run.agent.desk().named() == [first.id]).await;
    hands.open();
    server.until("what has begun is brought to its end", |book| book.reports.first().map(drop)).await;
    assert_eq!(hands.done(), ["a 1"]);
    let beat = server.book(|book| book.beats[0].clone());
    assert_eq!(beat.instance.as_deref(), Some("run"));
    assert!(beat.agent_version.is_some() && !beat.draining);
}

#[tokio::test]
async fn an_agent_that_is_told_to_end_finishes_reports_and_says_goodbye() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::gated(0));
    let run = Run::start(dir.path(), &server, &hands);
    server.hand_out(&order(1, "a", 1));
    server.hand_out(&order(2, "a", 2));
    hands.until_begun(1).await;
    until(|| run.agent.desk().named().len() == 2).await;
    let agent = Arc::clone(&run.agent);
    let draining = run.runtime.as_ref().expect("it runs").spawn(async move { serve::drain(&agent).await });
    server.until("it says so at once", |book| book.beats.iter().any(|beat| beat.draining).then_some(())).await;
    hands.open();
    draining.await.expect("it ends");
    assert_eq!(server.book(|book| book.reports.len()), 1, "what was under way is told");
    assert_eq!(hands.done(), ["a 1"], "and nothing new has begun");
    assert!(server.book(|book| book.beats.last().is_some_and(|beat| beat.draining)));
    run.kill();
    let _run = Run::start(dir.path(), &server, &hands);
    server.until("the next run goes on with it", |book| (book.reports.len() == 2).then_some(())).await;
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_reported_instead_of_being_waited_for() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
    let _run = Run::start(dir.path(), &server, &hands);
    let id = order(1, "a", 1).id;
    server.book(|book| book.orders.push_back(json!({"id": id, "generation": 3, "type": "dance"}).to_string()));
    let (told, report) = server.until("it is told", |book| book.reports.first().cloned()).await;
    assert_eq!((told, report.generation, report.status), (id.to_string(), Some(3), Outcome::Failed));
    assert!(report.result.expect("a result").summary.contains("upgrade the agent"));
}

#[tokio::test]
async fn a_server_of_another_protocol_gets_no_orders_carried_out() {
    let (dir, server, hands) = (folder(), Server::start().await, Noting::free());
    server.book(|book| book.protocol = Some("2-3"));
    server.hand_out(&order(1, "a", 1));
    let run = Run::start(dir.path(), &server, &hands);
    server.until("it asks more than once", |book| (book.asked.len() > 1).then_some(())).await;
    assert!(run.agent.desk().named().is_empty() && hands.begun() == 0);
}

#[tokio::test]
async fn enrolment_is_exchanged_for_a_token_of_the_nodes_own() {
    let (dir, server) = (folder(), Server::start().await);
    let given = TokenSource::Given(SecretValue::new("ske_once".to_owned()));
    let run = Run::with_token(dir.path(), &server, &Noting::free(), given.clone());
    serve::enrol(&run.agent).await.expect("enrolled");
    server.until("it is used", |book| book.tokens.iter().any(|token| token == "skn_own").then_some(())).await;
    assert_eq!(Token::open(given, dir.path()).expect("kept").current().expose(), "skn_own");
}
