//! Laws that hold for any input.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;
use skipper_core::time::Millis;
use skipper_source::{
    app::{
        self, Environment, Text, duration_text, edit, merge, parse_cpus, parse_duration, parse_memory, parse_statuses,
        show,
    },
    fuzz,
};

use super::{CONTAINER, POD, SERVER, WORKER, good, server, try_app, vars};

/// Texts of all three files, in lines that are shuffled and broken.
fn lines() -> impl Strategy<Value = String> {
    let known: Vec<String> =
        [SERVER, CONTAINER, WORKER, POD, "kind = \"pod\"\nmanifest = \"/pod.yaml\"\n[preview]\nenabled = true\n"]
            .iter()
            .flat_map(|text| text.lines().map(str::to_owned))
            .collect();
    let line = prop_oneof![6 => select(known), 1 => "\\PC{0,20}", 1 => "[\\[\\]{}=\"'.,a0 \n\\\\-]{0,10}"];
    vec(line, 0..40).prop_map(|lines| lines.join("\n"))
}

fn seconds() -> impl Strategy<Value = Option<u32>> {
    option::of(1_u32..1000)
}

/// `[health]` and `[deploy]` of either side.
fn shared() -> impl Strategy<Value = Shared> {
    (seconds(), seconds(), seconds(), option::of(any::<bool>()), seconds())
}

type Shared = (Option<u32>, Option<u32>, Option<u32>, Option<bool>, Option<u32>);

fn written((interval, start, retries, recreate, drain): &Shared) -> String {
    let key = |name: &str, value: &Option<u32>| value.map_or_else(String::new, |n| format!("{name} = \"{n}s\"\n"));
    let retries = retries.map_or_else(String::new, |n| format!("retries = {n}\n"));
    let strategy = match recreate {
        Some(true) => "strategy = \"recreate\"\n",
        Some(false) => "strategy = \"blue-green\"\n",
        None => "",
    };
    format!(
        "[health]\n{}{}{retries}[deploy]\n{strategy}{}",
        key("interval", interval),
        key("start_period", start),
        key("drain_timeout", drain)
    )
}

/// 200 cases, or as many as `PROPTEST_CASES` asks for.
fn cases() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = asked.cases.max(200);
    ProptestConfig { cases, failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn durations_are_read_as_they_are_written(millis in 0_u64..=3650 * 86_400_000) {
        prop_assert_eq!(parse_duration(&duration_text(Millis(millis))), Ok(Millis(millis)));
    }

    #[test]
    fn quantities_are_read_or_refused(text in "\\PC{0,30}", odd in "[0-9.,smhdkgMiB -]{0,12}") {
        for text in [text, odd] {
            let _ = parse_cpus(&text);
            let _ = parse_memory(&text);
            if let Ok(ranges) = parse_statuses(&text) {
                prop_assert!(!ranges.is_empty() && ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            }
            if let Ok(span) = parse_duration(&text) {
                prop_assert_eq!(parse_duration(&duration_text(span)), Ok(span));
            }
        }
    }

    #[test]
    fn no_value_of_the_environment_is_more_than_a_value(value in any::<String>(), key in "[^\0]{1,40}") {
        let text = CONTAINER.replace("[app]", "[app]\nsecret = \"${KEY}\"") + "\n[env]\nBEFORE = \"1\"\nX = \"a${V}b${V}\"\n";
        let plain = try_app(&text, &[("V", ""), ("KEY", "k")]).unwrap_or_else(|faults| panic!("{faults}"));
        match try_app(&text, &[("V", &value), ("KEY", &key)]) {
            Ok(mut app) => {
                prop_assert_eq!(app.env["X"].expose(), format!("a{value}b{value}"));
                prop_assert_eq!(app.keys[0].expose(), &key);
                app.env.insert("X".to_owned(), plain.env["X"].clone());
                app.keys.clone_from(&plain.keys);
                prop_assert_eq!(app, plain);
            }
            Err(_) => prop_assert!(value.contains('\0')),
        }
    }

    #[test]
    fn of_two_sides_the_server_wins_key_by_key(ours in shared(), theirs in shared(), read_only in any::<(bool, bool)>(), port in option::of(1_u16..)) {
        let volume = |read_only: bool| format!("[[volumes]]\nmount_path = \"/d\"\nread_only = {read_only}\n");
        let app = good(&format!(
            "[app]\nname = \"a\"\nimage = \"acme/a\"\n[routing]\ndomain = \"a.org\"\nport = 81\n{}{}host_path = \"/h\"\n",
            written(&ours), volume(read_only.0)
        ));
        let port_line = port.map_or_else(String::new, |port| format!("[routing]\nport = {port}\n"));
        let repo = format!("[app]\nname = \"a\"\n{port_line}{}{}", written(&theirs), volume(read_only.1));
        let (repo, _) = app::repo("r", &repo).unwrap_or_else(|faults| panic!("{faults}"));
        let server = server(SERVER, &[("SLIP_SECRET", "s")]);
        let (merged, _) = merge(&app, Some(&repo), &server).unwrap_or_else(|faults| panic!("{faults}"));
        let secs = |ours: Option<u32>, theirs: Option<u32>, default: u32| Millis::secs(ours.or(theirs).unwrap_or(default).into());
        prop_assert_eq!(merged.health.interval, secs(ours.0, theirs.0, 2));
        prop_assert_eq!(merged.health.start_period, secs(ours.1, theirs.1, 10));
        prop_assert_eq!(merged.health.retries, ours.2.or(theirs.2).unwrap_or(5));
        prop_assert_eq!(merged.recreate, ours.3.or(theirs.3).unwrap_or(false));
        prop_assert_eq!(merged.drain, secs(ours.4, theirs.4, 30));
        prop_assert_eq!(merged.routes[0].port, Some(port.unwrap_or(81)));
        prop_assert_eq!(merged.volumes[0].read_only, read_only.0 || read_only.1);
        let (alone, _) = merge(&app, None, &server).unwrap_or_else(|faults| panic!("{faults}"));
        let (nothing, _) = app::repo("r", "[app]\nname = \"a\"\n").unwrap_or_else(|faults| panic!("{faults}"));
        prop_assert_eq!(&merge(&app, Some(&nothing), &server).expect("fits").0, &alone, "an empty file is no file");
        prop_assert_eq!(&alone.volumes[0].host_path, "/h");
    }

    #[test]
    fn what_the_api_sets_is_what_is_read(env in proptest::collection::btree_map("[A-Z_]{1,8}", "[^\0$]{0,30}", 0..5), port in 1_u16..) {
        let none = vars(&[]);
        let text = CONTAINER.to_owned() + "\n# kept\n[env]\nA = \"old\" # beside\n";
        let body = json!({"env": env, "port": port});
        let edited = edit(&text, "shop", &body, Environment::new(&none)).unwrap_or_else(|faults| panic!("{faults}"));
        let read: BTreeMap<String, Text> = env.iter().map(|(k, v)| (k.clone(), Text::Plain(v.clone()))).collect();
        prop_assert_eq!(&edited.app.env, &read);
        prop_assert_eq!(edited.app.routes[0].port, Some(port));
        prop_assert!(edited.text.contains("# kept"));
        let shown = show("shop", &edited.text).unwrap_or_else(|faults| panic!("{faults}"));
        prop_assert_eq!(&shown["env"], &json!(env));
        let again = edit(&edited.text, "shop", &body, Environment::new(&none)).unwrap_or_else(|faults| panic!("{faults}"));
        prop_assert_eq!(again.text, edited.text, "twice is once");
    }

    #[test]
    fn any_text_is_read_or_refused(text in lines(), named in lines()) {
        fuzz::app_toml(text.as_bytes());
        let whole = format!("app = {{ name = \"a\", image = \"acme/a\" }}\nhealth = {{}}\n{}", named.replace("[app]", "").replace("[health]", ""));
        fuzz::app_toml(whole.as_bytes());
    }
}

#[test]
fn the_seeds_of_fuzzing_are_understood() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/app_toml");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).expect("there") {
        let bytes = std::fs::read(entry.expect("readable").path()).expect("readable");
        fuzz::app_toml(&bytes);
        read += 1;
    }
    assert!(read >= 3);
}
