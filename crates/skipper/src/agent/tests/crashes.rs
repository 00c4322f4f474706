use super::*;

/// Where a run of an agent is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The order is on the disk, and has not begun.
    Taken,
    /// Its effect is under way.
    Begun,
    /// Its effect has ended, and the server does not know.
    Done,
    /// The server knows, and the journal does not say so.
    Told,
}

#[tokio::test]
async fn wherever_an_agent_is_killed_its_order_is_settled_and_told() {
    for death in [Death::Taken, Death::Begun, Death::Done, Death::Told] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (server, hands) = (Server::start().await, Noting::gated(0));
        let the_order = order(1, "a", 1);
        match death {
            Death::Taken => {
                let mut desk = Desk::open(dir.path(), Instant::now()).expect("a journal");
                let span = Duration::from_secs(60);
                let handed = super::super::door::Handed { order: the_order.clone(), lease: span, budget: span };
                desk.receive(&handed, Instant::now()).expect("taken");
            }
            Death::Begun => {
                let run = Run::start(dir.path(), &server, &hands);
                server.hand_out(&the_order);
                hands.until_begun(1).await;
                run.kill();
            }
            Death::Done | Death::Told => {
                hands.open();
                server.book(|book| book.report_refusal = Some(503));
                let run = Run::start(dir.path(), &server, &hands);
                server.hand_out(&the_order);
                while run.agent.desk().untold().is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                run.kill();
                if death == Death::Told {
                    // The server has it already; the answer was lost.
                    let desk = Desk::open(dir.path(), Instant::now()).expect("a journal");
                    let told = desk.telling(the_order.id).expect("to be told");
                    server.book(|book| book.reports.push((the_order.id.to_string(), told.report)));
                }
                server.book(|book| book.report_refusal = None);
            }
        }
        let before = hands.done().len();
        hands.open();
        let _run = Run::start(dir.path(), &server, &hands);
        let reports = 1 + usize::from(death == Death::Told);
        server.until("it is told", |book| (book.reports.len() == reports).then_some(())).await;
        let report = server.book(|book| book.reports.last().cloned()).expect("just seen").1;
        assert_eq!((report.status, report.generation), (Outcome::Succeeded, Some(1)), "{death:?}");
        assert_eq!(hands.done(), ["a 1"], "{death:?}: it has its effect once, and had it {before} times before");
        assert!(std::fs::read_dir(dir.path().join("orders")).expect("a folder").next().is_none(), "{death:?}");
    }
}

#[tokio::test]
async fn an_order_that_was_only_taken_waits_for_the_servers_word_after_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (server, hands) = (Server::start().await, Noting::free());
    let taken = order(1, "a", 1);
    {
        let span = Duration::from_secs(60);
        let mut desk = Desk::open(dir.path(), Instant::now()).expect("a journal");
        let handed = super::super::door::Handed { order: taken.clone(), lease: span, budget: span };
        desk.receive(&handed, Instant::now()).expect("taken");
    }
    // Somebody else has it by now.
    server.book(|book| book.lost = vec![taken.id.to_string()]);
    let run = Run::start(dir.path(), &server, &hands);
    server.until("it asks", |book| book.beats.iter().find(|beat| beat.orders == Some(vec![taken.id])).map(drop)).await;
    server.until("it lets go", |book| book.beats.last().filter(|beat| beat.orders == Some(Vec::new())).map(drop)).await;
    assert!(run.agent.desk().named().is_empty() && hands.begun() == 0);
}
