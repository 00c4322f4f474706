use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use skipper_core::{
    name::SecretName,
    port::Launch,
    rollout::plan::Instances,
    secret::{SecretValue, SecretValues},
    spec::SecretUse,
};

use crate::{
    remote::here_and_far,
    world::{PATIENCE, World, eventually, generation, keepers_of, script},
};

here_and_far! {
    a_command_in_an_instance_is_bounded_in_time_and_output,
    a_secret_file_cannot_be_put_elsewhere,
    secrets_reach_the_process_and_nobody_else,
}

const IN_ENV: &str = "correct-horse-battery";
const IN_FILE: &str = "staple-of-the-day";

async fn secrets_reach_the_process_and_nobody_else() {
    let world = World::new();
    let mut it = script("[ \"$PASSWORD\" = \"$(cat $SKIPPER_SECRETS_DIR/key.pem)\" ]; echo $? > got; exec sleep 600");
    let (env, file) = (SecretName::new("password").expect("valid"), SecretName::new("key").expect("valid"));
    it.app.secrets = vec![
        SecretUse::Env { secret: env.clone(), var: "PASSWORD".to_owned() },
        SecretUse::File { secret: file.clone(), file: "key.pem".to_owned() },
    ];
    let error = world.launch(&it, 1).await.expect_err("no value is given");
    assert_eq!(error.code(), "secret-missing");
    let secrets =
        SecretValues::from([(env, SecretValue::new(IN_ENV.to_owned())), (file, SecretValue::new(IN_FILE.to_owned()))]);
    let launch =
        Launch { deployment: &it, instances: Instances::first(1), secrets: &secrets, generation: generation(1) };
    world.platform.launch(launch, PATIENCE).await.expect("it runs");
    let folder = world.folder(&it, 0);
    eventually("it has looked", || folder.join("work/got").exists()).await;

    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let secret_file = folder.join("secrets/key.pem");
    assert_eq!((mode(&folder), mode(&folder.join("secrets")), mode(&secret_file)), (0o700, 0o700, 0o400));
    assert_eq!(fs::read_to_string(&secret_file).expect("it is ours"), IN_FILE);
    assert_eq!(files_with(world.dir.path(), IN_ENV), Vec::<String>::new());
    assert_eq!(files_with(world.dir.path(), IN_FILE), [secret_file.display().to_string()]);
    let keeper = keepers_of(&it)[0];
    for (pid, file) in [(keeper, "cmdline"), (keeper, "environ"), (world.app_pid(&it), "cmdline")] {
        let text = fs::read(format!("/proc/{pid}/{file}")).expect("it runs");
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains(IN_ENV) && !text.contains(IN_FILE), "{file} of {pid}: {text}");
    }
    // A command in its surroundings has them too.
    let words = ["sh", "-c", "echo $PASSWORD; pwd"].map(str::to_owned);
    let ran = world.platform.exec(&it, 0.into(), &words, PATIENCE).await.expect("it runs");
    let work = fs::canonicalize(folder.join("work")).expect("it is there");
    assert_eq!((ran.code, ran.output), (Some(0), format!("{IN_ENV}\n{}\n", work.display())));

    crate::world::kill(world.app_pid(&it), "KILL");
    world.ended(&it).await;
    assert!(!secret_file.exists(), "no secret file without a process");
}

fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("it is ours").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)) {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn a_secret_file_cannot_be_put_elsewhere() {
    let world = World::new();
    let mut it = script("exec sleep 600");
    let name = SecretName::new("key").expect("valid");
    it.app.secrets = vec![SecretUse::File { secret: name.clone(), file: "../../escaped".to_owned() }];
    let secrets = SecretValues::from([(name, SecretValue::new("x".to_owned()))]);
    let launch =
        Launch { deployment: &it, instances: Instances::first(1), secrets: &secrets, generation: generation(1) };
    assert_eq!(world.platform.launch(launch, PATIENCE).await.expect_err("it leads out").code(), "name-invalid");
}

async fn a_command_in_an_instance_is_bounded_in_time_and_output() {
    let world = World::new();
    let it = script("exec sleep 600");
    let words = |text: &str| ["sh", "-c", text].map(str::to_owned);
    let soon = std::time::Duration::from_millis(300);
    assert_eq!(
        world.platform.exec(&it, 0.into(), &words("true"), soon).await.expect_err("nothing runs").code(),
        "not-running"
    );
    world.start(&it).await;
    let ran = world
        .platform
        .exec(&it, 0.into(), &words("head -c 3000000 /dev/zero; exit 4"), PATIENCE)
        .await
        .expect("it runs");
    assert_eq!((ran.code, ran.output.len()), (Some(4), 1 << 20));
    let error = world
        .platform
        .exec(&it, 0.into(), &words("echo waiting; sleep 600 & sleep 600"), soon)
        .await
        .expect_err("it hangs");
    assert_eq!(error.code(), "exec-timeout");
    eventually("what it started is gone", || crate::world::processes_of(&it).len() == 1).await;
    let missing =
        world.platform.exec(&it, 0.into(), &["/no/such".to_owned()], soon).await.expect_err("it is not there");
    assert_eq!(missing.code(), "exec-failed");
}
