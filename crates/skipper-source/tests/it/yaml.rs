use serde_json::json;
use skipper_source::yaml::{Input, emit, read, read_one};

#[track_caller]
fn value(text: &str) -> serde_json::Value {
    read_one(Input::plain("f.yml", text)).unwrap_or_else(|f| panic!("{f}")).expect("a document").to_value()
}

#[track_caller]
fn fault(text: &str) -> String {
    read(Input::plain("f.yml", text)).expect_err("must be refused").to_string()
}

#[test]
fn keys_stay_in_their_order_and_text_is_not_lost() {
    let text = "z: 1\na: 1.10\nm: {yes: no, on: 0x1F}\n'q': \"8080\"\nv: !!str 1\nw: !!float 1.10\nl: [~, null, '']\n";
    let expected = json!({
        "z": 1, "a": "1.10", "m": {"yes": "no", "on": "0x1F"}, "q": "8080", "v": "1", "w": 1.1, "l": [null, null, ""],
    });
    assert_eq!(value(text), expected);
    assert_eq!(value(text).to_string(), expected.to_string());
}

#[test]
fn several_documents_are_read_and_empty_ones_left_out() {
    let documents = read(Input::plain("f.yml", "---\na: 1\n---\n# nothing\n---\nb: 2\n...\n")).expect("valid");
    assert_eq!(
        documents.iter().map(skipper_source::yaml::Node::to_value).collect::<Vec<_>>(),
        [json!({"a": 1}), json!({"b": 2})]
    );
    assert_eq!(documents[1].at.line, 6);
    assert!(read_one(Input::plain("f.yml", "")).expect("valid").is_none());
    assert!(
        read_one(Input::plain("f.yml", "a: 1\n---\nb: 1\n")).expect_err("two").to_string().starts_with("f.yml:3:1: ")
    );
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    assert_eq!(
        value("a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\n"),
        json!({
            "a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 2}, "c": {"q": 3, "p": 1},
        })
    );
    assert_eq!(value("b: [&x {p: 1}, &y {p: 2, r: 3}]\nc: {<<: [*x, *y]}\n")["c"], json!({"p": 1, "r": 3}));
    assert_eq!(value("'<<': {a: 1}"), json!({"<<": {"a": 1}}));
}

#[test]
fn faults_name_their_place() {
    for (text, expected) in [
        ("a: 1\nb: 2\na: 3\n", "f.yml:3:1: the key `a` is set twice; it is first set in line 1"),
        ("a:\n  b: [1, 2\n", "f.yml:2:6: not valid YAML: unclosed bracket"),
        ("a: !foo 1\n", "f.yml:1:9: the tag !foo is not supported"),
        ("a: !!int x\n", "f.yml:1:10: `x` is not a value of type !!int"),
        ("? [1]\n: 2\n", "f.yml:1:3: a list or map cannot be a key"),
        ("a: *nope\n", "f.yml:1:4: not valid YAML"),
        ("a: &x [*x]\n", "f.yml:1:8: an alias refers to the node that it is in"),
        ("<<: 1\n", "f.yml:1:5: `<<` takes a map or a list of maps"),
    ] {
        let shown = fault(text);
        assert!(shown.starts_with(expected), "{text:?}: {shown}");
    }
}

#[test]
fn bombs_are_defused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(fault(&laughs).contains("unfolds to more than 32 MiB"));
    let quadratic = format!("a: &a {}\nb: [{}]\n", "x".repeat(20_000), vec!["*a"; 20_000].join(","));
    assert!(fault(&quadratic).contains("unfolds to more than 32 MiB"));
    for nested in ["[".repeat(100_000), "- ".repeat(10_000), "{a: ".repeat(10_000)] {
        let _ = read(Input::plain("f.yml", &nested));
    }
    assert!(fault(&"[".repeat(100_000)).contains("nested deeper than 64 levels"));
    assert!(fault(&" ".repeat(5 << 20)).contains("longer than 4 MiB"));
    assert!(fault(&"---\n- 1\n".repeat(2000)).contains("more than 1000 documents"));
}

#[test]
fn what_is_written_is_read_back_also_by_older_readers() {
    let tricky = [
        "",
        " ",
        "a b",
        "yes",
        "No",
        "ON",
        "y",
        "null",
        "~",
        "true",
        "1",
        "1.0",
        "1.10",
        "0x1F",
        "017",
        "1e3",
        "12:30:45",
        "2024-01-02",
        "-",
        "- a",
        "a: b",
        "a:b",
        "a:",
        ": a",
        "a #b",
        "a#b",
        "#a",
        "@a",
        "`a`",
        "%a",
        "!a",
        "&a",
        "*a",
        "?",
        "? a",
        "|",
        ">",
        "[a]",
        "{a}",
        "a,b",
        "'",
        "\"",
        "\\",
        "a\nb",
        "a\n",
        "\n",
        "a\n\n",
        "\na",
        " a\nb",
        "a \nb",
        "a\tb",
        "\ta",
        "a\r\nb",
        "\u{0}",
        "\u{1b}[0m",
        "\u{85}",
        "\u{2028}",
        "\u{feff}a",
        "é",
        "日本",
        "🎈",
        "\u{e000}",
        "---",
        "--- a",
        "...",
        "=",
        "<<",
        ".inf",
        ".5",
        "+1",
        "_1",
        "1_000",
        "a\n  b\n c",
        "--flag=x",
        "$HOME",
        "(x)",
        "sha256:abc",
        "10s",
        "256Mi",
        "0b1",
        "1.5.2",
        "1d",
        "\u{10FFFD}",
    ];
    for text in tricky {
        for value in [json!({"k": text}), json!([text, {"x": text}]), json!({text: [[text]]}), json!(text)] {
            let written = emit(&value);
            let again =
                read_one(Input::plain("f.yml", &written)).unwrap_or_else(|f| panic!("{text:?}: {f}\n{written}"));
            assert_eq!(again.expect("a document").to_value(), value, "{written}");
        }
    }
}
