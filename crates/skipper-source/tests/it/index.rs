//! `index.yml`, as it is found out there.

use skipper_source::{
    IndexEntry, IndexFault,
    index::{entries, write},
};

#[track_caller]
fn read(text: &str) -> (Vec<IndexEntry>, Vec<IndexFault>) {
    let (good, bad): (Vec<_>, Vec<_>) = entries(text).partition(Result::is_ok);
    (good.into_iter().filter_map(Result::ok).collect(), bad.into_iter().filter_map(Result::err).collect())
}

#[track_caller]
fn one(text: &str) -> IndexEntry {
    let (mut good, bad) = read(text);
    assert_eq!((good.len(), bad.len()), (1, 0), "{good:?} {bad:?}");
    good.remove(0)
}

fn names(entries: &[IndexEntry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{}-{}", entry.name, entry.version)).collect()
}

#[test]
fn an_index_is_one_document_for_each_version() {
    let (good, bad) = read(
        "# what we offer\n---\napiVersion: v1\nkind: skipper\norigin: samples\nname: log\nversion: 1.0.0\n\
         packageSourceUrl: https://example.org/log\npackageHomeUrl: http://example.org/\ntags: logging, sink\n\
         maintainer: https://example.org/me\ndescription: The log sink.\nappVersion: unknown\n\n---\nname: log\nversion: 1.10\n",
    );
    assert_eq!(bad, []);
    assert_eq!(names(&good), ["log-1.0.0", "log-1.10"]);
    assert_eq!(good[0].tags, ["logging", "sink"]);
    assert_eq!(good[0].tags_text.as_deref(), Some("logging, sink"));
    assert_eq!(good[0].api_version.as_deref(), Some("v1"));
    assert_eq!(good[0].home.as_deref(), Some("http://example.org/"));
}

#[test]
fn empty_documents_and_unknown_keys_are_passed_over() {
    let (good, bad) = read(
        "\n---\n---\n# nothing\n---\n~\n---\nname: a\nversion: 1.0.0\nfuture: {deep: [1, {name: no}]}\n? [odd, key]\n: version\n\
         ---\n---\nname: b\nversion: '2.0.0'\ntags: [x, y]\n---\n...\n",
    );
    assert_eq!(bad, []);
    assert_eq!(names(&good), ["a-1.0.0", "b-2.0.0"]);
    assert_eq!(good[1].tags, ["x", "y"]);
    assert_eq!(good[1].tags_text.as_deref(), Some("x, y"));
    assert_eq!(read(""), (vec![], vec![]));
}

#[test]
fn tags_that_name_classes_are_passed_over() {
    let text = "%YAML 1.1\n--- !!org.springframework.cloud.skipper.domain.PackageMetadata\napiVersion: null\n\
        description: null\nmaintainer: bob\nname: myapp\norigin: null\npackageFile: null\nversion: 1.0.0\n";
    let entry = one(text);
    assert_eq!((entry.name.as_str(), entry.description, entry.origin), ("myapp", None, None));
    one("!!javax.script.ScriptEngineManager\nname: myapp\nversion: !!str 1.0.0\n");
}

#[test]
fn a_broken_document_costs_nothing_but_itself() {
    let (good, bad) = read(
        "---\nname: a\nversion: 1.0.0\n---\nname: [\n---\nname: b\n---\n- name: c\n---\njust text\n---\n\
         name: ../d\nversion: 1.0.0\n---\nname: e\nversion: ../1\n---\nname: f\nversion: 1.0.0\n...\nname: g\nversion: 1.0.0\n",
    );
    assert_eq!(names(&good), ["a-1.0.0", "f-1.0.0", "g-1.0.0"]);
    let places: Vec<_> = bad.iter().map(|fault| (fault.document, fault.line)).collect();
    assert_eq!(places, [(2, 4), (3, 6), (4, 8), (5, 10), (6, 12), (7, 15)]);
    assert!(bad[1].to_string().contains("`version` of `b` is missing"), "{}", bad[1]);
    let (_, bad) = read("---\nname: [x]\nversion: 1.0.0\n---\nname: x\nversion: {a: b}\n");
    let told: Vec<_> = bad.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("`name` is a list, and text is expected"), "{told:?}");
    assert!(told[1].contains("`version` is a map, and text is expected"), "{told:?}");
    let (_, bad) = read("--- !!javax.script.ScriptEngineManager [!!java.net.URLClassLoader [[]]]\n");
    assert!(bad[0].to_string().contains("names the Java class `javax.script.ScriptEngineManager`"), "{}", bad[0]);
}

#[test]
fn what_is_set_twice_counts_as_the_last_and_aliases_are_followed() {
    let entry = one("name: a\nname: b\nversion: &v 1.0.0\norigin: *v\ndescription: |\n  two\n  lines\n");
    assert_eq!(entry.name.as_str(), "b");
    assert_eq!(entry.origin.as_deref(), Some("1.0.0"));
    assert_eq!(entry.description.as_deref(), Some("two\nlines\n"));
}

#[test]
fn every_document_is_bounded() {
    let deep = format!("---\nname: a\nversion: 1.0.0\nx: {}{}\n", "[".repeat(100), "]".repeat(100));
    let long = format!("---\nname: a\nversion: 1.0.0\nx: {}\n", "x".repeat(300 << 10));
    let version = format!("---\nname: a\nversion: {}\n", "1".repeat(101));
    let (good, bad) = read(&format!("{deep}{long}{version}---\nname: b\nversion: 1.0.0\n"));
    assert_eq!(names(&good), ["b-1.0.0"]);
    assert_eq!(bad.len(), 3, "{bad:?}");
}

#[test]
fn a_digest_is_taken_and_what_is_none_is_told_from_none() {
    let digest = "0123456789abcdef".repeat(4);
    let entry = one(&format!("name: a\nversion: 1.0.0\nsha256: {digest}\nhome: x\niconUrl: 'javascript:alert(1)'\n"));
    assert_eq!(entry.sha256.map(|sha| sha.to_string()), Some(digest.clone()));
    assert_eq!(entry.icon, None);
    let said = |sha256: &str| {
        let entry = one(&format!("name: a\nversion: 1.0.0\nhome: &l [a]\nsha256: {sha256}\ntags: x\n"));
        assert_eq!(entry.tags, ["x"], "{sha256}");
        (entry.sha256.map(|sha| sha.to_string()), entry.sha256_wrong)
    };
    let good = Some(digest.clone());
    for text in [digest.clone(), format!("'{digest} '"), format!("' sha256:{}\t'", digest.to_uppercase())] {
        assert!(said(&text).0.is_some() && said(&text).1.is_none(), "{text}");
    }
    assert_eq!(said(&format!("\"\\n{digest}\\n\"")), (good, None));
    for text in ["", "~", "null", "''", "'  '"] {
        assert_eq!(said(text), (None, None), "{text}");
    }
    for text in ["soon", "xyz", "1", &digest[1..], &format!("{digest}0"), "'null'"] {
        assert_eq!(said(text), (None, Some(text.trim_matches('\'').to_owned())), "{text}");
    }
    for text in [format!("[{digest}]"), format!("{{a: {digest}}}"), "*l".to_owned(), "[]".to_owned()] {
        assert_eq!(said(&text), (None, Some("…".to_owned())), "{text}");
    }
}

#[test]
fn what_is_written_reads_back() {
    let text = "---\napiVersion: skipper.spring.io/v1\nname: a\nversion: '1.10'\ndescription: \"two\\nlines: # yes\"\n\
        tags: x, y\ndisplayName: 'null'\nsha256: '0000000000000000000000000000000000000000000000000000000000000000'\n";
    let (first, _) = read(&format!("{text}---\nname: b\nversion: 1e3\n---\nname: c\nversion: 1.0.0\nsha256: [soon]\n"));
    let mut out = String::new();
    first.iter().for_each(|entry| write(&mut out, entry));
    let (again, bad) = read(&out);
    assert_eq!(bad, []);
    assert_eq!(again, first);
}

/// How long a large one takes: `cargo test -p skipper-source --test it index -- --ignored --nocapture`.
#[test]
#[ignore = "takes a few seconds and proves nothing"]
fn figures() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for n in 0..100_000 {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: skipper\norigin: samples-package-repository\nname: package-{}\nversion: 1.{}.0\n\
             packageSourceUrl: https://example.org/package/tree/v1\npackageHomeUrl: http://example.org/\ntags: logging, sink\n\
             maintainer: https://example.org/me\ndescription: The log sink uses the application logger to output data.\n\n",
            n / 10,
            n % 10
        );
    }
    let begin = std::time::Instant::now();
    let (good, bad) = read(&text);
    println!("{} MiB, {} entries, {} faults: {:?}", text.len() >> 20, good.len(), bad.len(), begin.elapsed());
}
