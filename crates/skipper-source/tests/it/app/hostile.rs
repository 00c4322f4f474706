//! What nobody writes who means well.

use skipper_source::app;

use super::{load, try_app, with};

#[test]
fn hostile_texts_are_refused_and_not_died_of() {
    let deep_arrays = format!("x = {}{}", "[".repeat(60_000), "]".repeat(60_000));
    let deep_keys = format!("{}x = 1", "a.".repeat(100_000));
    let deep_tables = format!("[{}x]", "a.".repeat(100_000));
    let deep_inline = format!("x = {}1{}", "{a=".repeat(50_000), "}".repeat(50_000));
    let long = "#".repeat(300 << 10);
    let many = "[[volumes]]\n".repeat(20_000);
    let many_keys: String = (0..20_000).map(|n| format!("k{n} = 1\n")).collect();
    for text in [
        deep_arrays.as_str(),
        &deep_keys,
        &deep_tables,
        &deep_inline,
        &long,
        &many,
        &many_keys,
        "\0",
        "a = \"\0\"",
        "\u{feff}[app",
        "x = 1\nx = 2",
        "[a]\n[a]",
        "= =",
        "\"",
        "'''",
        "app = 5",
        "app = []",
        "[[app]]",
    ] {
        assert!(try_app(text, &[]).is_err());
        assert!(load(text, &[], &[]).server.is_err());
        assert!(app::repo("r", text).is_err());
    }
}

#[test]
fn hostile_values_are_refused() {
    let long = "a".repeat(300);
    let names = ["..", "../x", "-x", "a/b", "a\\u0000b", "", " ", "ä", "a.preview.b", "a b", long.as_str()];
    for name in names {
        let text = format!("health = {{}}\n[app]\nname = \"{name}\"\nimage = \"a\"\n");
        assert!(app::file("f", name, &text, app::Environment::new(&Default::default())).is_err(), "{name}");
    }
    for lines in [
        "health = { path = \"/a b\" }",
        "health = { path = \"/a\\u0000\" }",
        "health = { path = \"/\\n\" }",
        "health = { interval = 2 }",
        "health = { retries = -1 }",
        "health = { retries = 4294967296 }",
        "health = { retries = \"5\" }",
        "health = { timeout = \"99999999999999999h\" }",
        "health = { path = \"/x\", tcp = true }",
        "health = {}\nresources = { memory = \"-1\" }",
        "health = {}\nresources = { memory = 1 }",
        "health = {}\nresources = { cpus = nan }",
        "health = {}\nresources = { cpus = inf }",
        "health = {}\nnetwork = { name = \"a/b\" }",
        "health = {}\nenv = { \"A=B\" = \"x\" }",
        "health = {}\nenv = { A = [1] }",
        "health = {}\nenv = { A = \"\\u0000\" }",
        "health = {}\nenv_file = { path = \"/etc/../shadow\" }",
        "health = {}\nvolumes = [{ host_path = \"/a\", mount_path = \"/b\" }, { host_path = \"/c\", mount_path = \"/b/\" }]",
        "health = {}\nvolumes = [{ host_path = \"/a/../..\", mount_path = \"/b\" }]",
        "health = {}\nvolumes = {}",
        "health = []",
    ] {
        assert!(try_app(&with(lines), &[]).is_err(), "{lines}");
    }
}

#[test]
fn a_variable_cannot_blow_up_a_value() {
    let many = "${A}".repeat(20_000);
    let text = with(&format!("health = {{}}\nenv = {{ X = \"{many}\" }}\n"));
    let told = try_app(&text, &[("A", &"x".repeat(60_000))]).expect_err("too long").to_string();
    assert!(told.contains("longer than 64 KiB") && told.len() < 1000, "{told}");
}
