//! Several servers on one database.

use crate::bench::{Bench, get, processes, until};

fn applications(bench: &Bench) -> usize {
    processes(&bench.data().join("local")).iter().filter(|(_, line)| line.contains("\0sample")).count()
}

fn engine(bench: &Bench) -> String {
    let address = bench.url().trim_start_matches("http://").to_owned();
    let (_, body) = get(&address, "/readyz").expect("it answers");
    let ready: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    ready["parts"]["engine"].as_str().expect("its engine").to_owned()
}

#[test]
fn of_two_servers_on_one_postgresql_one_tends_and_the_other_takes_its_place() {
    let Some(url) = testkit::postgres::url() else { return };
    let mut first = Bench::start_with(&["--database", url]);
    until("the first one tends", || engine(&first), |engine| engine == "ok");
    let address = first.install("hello", &["--set", "greeting=one"]);
    let mut second = Bench::start_with(&["--database", url]);
    until("the second one stands by", || engine(&second), |engine| engine == "standby");

    // What the second one accepts is carried out by the first one, where the processes are.
    second.run(&["upgrade", "hello", "--set", "greeting=two", "--wait"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers").1, "two");
    assert_eq!((applications(&first), applications(&second)), (1, 0));
    assert!(processes(&second.data()).iter().all(|(_, line)| !line.contains("\0edge\0")), "it starts no edge");
    assert_eq!(second.run(&["status", "hello", "--json"]).json()["state"], "live", "and finds nothing wrong");

    // The first one leaves: the second one goes on, on its own machine, with what is stored.
    first.stop_server();
    drop(first);
    until("the second one tends", || engine(&second), |engine| engine == "ok");
    until("it runs there", || applications(&second), |count| *count == 1);
    until("it answers", || get(&address, "/greeting").ok(), |got| got.as_ref().is_some_and(|got| got.1 == "two"));
    second.run(&["upgrade", "hello", "--set", "greeting=three", "--wait"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers").1, "three");
    second.run(&["delete", "hello", "--yes", "--wait"]).ok();
    second.stop_server();
}
