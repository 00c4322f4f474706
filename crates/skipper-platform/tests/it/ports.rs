use std::net::TcpListener;

use skipper_core::port::ErrorKind;

use crate::world::{FIXTURE, PATIENCE, World, deployment, eventually, kill, port, script};

#[tokio::test]
async fn a_taken_fixed_port_is_refused_with_the_name_of_its_holder() {
    let world = World::new();
    // Not any free one: those are given to outgoing connections too.
    let number = world.ports.take("test", None).expect("one is free");
    let held = TcpListener::bind(("127.0.0.1", number)).expect("it is free");
    let mut it = deployment(&[FIXTURE, "serve"]);
    it.app.ports = vec![port("http")];
    it.app.ports[0].fixed = Some(number);
    let error = world.launch(&it, 1).await.expect_err("it is taken");
    assert_eq!((error.code(), error.kind()), ("port-taken", ErrorKind::Permanent));
    assert!(error.chain().contains(&format!("(pid {})", std::process::id())), "{}", error.chain());
    drop(held);
    let instance = world.start(&it).await;
    assert_eq!(instance.addresses["http"].port(), number);
    eventually("it listens", || std::net::TcpStream::connect(instance.addresses["http"]).is_ok()).await;

    let mut other = it.clone();
    other.id = skipper_core::deployment::DeploymentId::from_stored("another");
    let error = world.launch(&other, 1).await.expect_err("the first one has it");
    assert!(error.chain().contains("release shop (revision 1, instance 0"), "{}", error.chain());
}

#[tokio::test]
async fn an_instance_keeps_its_port_unless_somebody_took_it() {
    let world = World::new();
    let mut it = script("exit 1");
    it.app.ports = vec![port("http"), port("admin")];
    let first = world.start(&it).await;
    world.ended(&it).await;
    let second = world.start(&it).await;
    assert_eq!(first.addresses, second.addresses);
    world.ended(&it).await;
    let thief = TcpListener::bind(first.addresses["http"]).expect("nobody listens");
    let third = world.start(&it).await;
    assert_ne!(first.addresses["http"], third.addresses["http"]);
    assert_eq!(first.addresses["admin"], third.addresses["admin"]);
    drop(thief);
}

#[tokio::test]
async fn a_port_is_not_given_to_another_while_its_instance_is_down() {
    let world = World::new();
    let mut it = deployment(&[FIXTURE, "serve"]);
    it.app.ports = vec![port("http")];
    let number = world.start(&it).await.addresses["http"].port();
    kill(world.app_pid(&it), "KILL");
    world.ended(&it).await;
    let given: Vec<u16> = (0..100).map_while(|_| world.ports.take("other", None).ok()).collect();
    assert!(given.len() >= 60 && !given.contains(&number));
    world.platform.remove_orphan(&it.id, PATIENCE).await.expect("it can be removed");
    assert_eq!(world.ports.take("other", None).ok(), Some(number));
}
