use serde_json::{Value, json};
use skipper_source::{
    mustache::{Scope, parse, render},
    yaml::{Input, Node, Slots, read},
};

fn try_render(template: &str, values: &Value) -> Result<Vec<Value>, String> {
    let template = parse("t.yml", template).map_err(|f| f.to_string())?;
    let mut slots = Slots::new();
    let output = render(&template, &Scope::new(values, Some(values)), &mut slots).map_err(|f| f.to_string())?;
    let origin = |at| output.map.written(at);
    let input = Input { file: "t.yml", text: &output.text, slots: Some(&slots), origin: Some(&origin) };
    Ok(read(input).map_err(|f| f.to_string())?.iter().map(Node::to_value).collect())
}

#[track_caller]
fn check(template: &str, values: &Value, expected: &Value) {
    let documents = try_render(template, values).unwrap_or_else(|fault| panic!("{template}: {fault}"));
    assert_eq!(documents, std::slice::from_ref(expected), "{template}");
}

#[track_caller]
fn fault(template: &str, values: &Value) -> String {
    try_render(template, values).expect_err("must be refused")
}

#[test]
fn a_tag_alone_keeps_the_type_of_its_value() {
    for value in [
        json!(8080),
        json!(1.5),
        json!(true),
        json!("true"),
        json!("8080"),
        json!("1.10"),
        json!("no"),
        json!(""),
        json!("~"),
        json!("null"),
        json!([1, "2", {"a": "b: c"}]),
        json!({"a": {"b": [true, "true"]}}),
        json!("a: b # c"),
    ] {
        check("k: {{v}}", &json!({"v": value}), &json!({"k": value}));
        check("- {{v}}\n- [{{v}}, {x: {{v}}}]", &json!({"v": value}), &json!([value, [value, {"x": value}]]));
    }
}

#[test]
fn in_quotes_and_beside_text_a_value_is_text() {
    check("k: \"{{v}}\"", &json!({"v": 8080}), &json!({"k": "8080"}));
    check("k: '{{v}}'", &json!({"v": true}), &json!({"k": "true"}));
    check("k: {{v}}Mi", &json!({"v": 256}), &json!({"k": "256Mi"}));
    check("k: {{a}}.{{b}}", &json!({"a": 1, "b": 5}), &json!({"k": "1.5"}));
    check("k: --port={{v}}", &json!({"v": 1}), &json!({"k": "--port=1"}));
    check("{{v}}: x", &json!({"v": 8080}), &json!({"8080": "x"}));
    check("k: !!str {{v}}", &json!({"v": 8080}), &json!({"k": "8080"}));
    check("k: !!int {{v}}", &json!({"v": "8080"}), &json!({"k": 8080}));
    check("k: |\n  a {{v}}\n  b\n", &json!({"v": 1}), &json!({"k": "a 1\nb\n"}));
    assert!(fault("k: x{{v}}", &json!({"v": [1]})).contains("t.yml:1:4: a list cannot be part of a text"));
    assert!(fault("k: '{{v}}'", &json!({"v": {"a": 1}})).contains("a map cannot be part of a text"));
    assert!(fault("{{v}}: 1\na: 2", &json!({"v": "a"})).contains("set twice"));
}

#[test]
fn no_value_changes_the_document() {
    let nasty = [
        "a: b",
        "a #b",
        "# x",
        "'",
        "\"",
        "\\",
        "\n",
        "a\nb: c",
        "a\r\n\r\nb",
        "---\nx: 1",
        "- a",
        "[",
        "]",
        "{}",
        "{{x}}",
        "&a",
        "*a",
        "!!int 1",
        "|",
        ">",
        "%YAML 9",
        "? a",
        "<<",
        "@",
        "`",
        "\t",
        "\u{0}",
        "\u{1b}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        " a ",
        "\u{fffe}",
    ];
    for v in nasty {
        let values = json!({"v": v});
        check(
            "a: {{v}}\nb: \"{{v}}\"\nc: '{{v}}'\nd: x{{v}}y # {{v}}\ne: [{{v}}, {k: {{v}}}]\n",
            &values,
            &json!({
                "a": v, "b": v, "c": v, "d": format!("x{v}y"), "e": [v, {"k": v}],
            }),
        );
        check(
            "a: |\n  {{v}}\n  x{{v}}\nb: >-\n  p {{v}}\n  q\n",
            &values,
            &json!({
                "a": format!("{v}\nx{v}\n"), "b": format!("p {v} q"),
            }),
        );
    }
}

#[test]
fn raw_tags_paste_text() {
    check("a: {{{v}}}", &json!({"v": "[1, 2]"}), &json!({"a": [1, 2]}));
    check("a: {{& v }}", &json!({"v": {"x": "y: z"}}), &json!({"a": {"x": "y: z"}}));
    check("{{{v}}}\nb: 1", &json!({"v": "a: 1.10"}), &json!({"a": "1.10", "b": 1}));
    assert!(fault("k: 1\n{{{v}}}\n", &json!({"v": "x: 1\ny: [\nz: 2"})).starts_with("t.yml:"));
}

#[test]
fn sections_repeat_skip_and_go_inwards() {
    let values = json!({
        "yes": true, "no": false, "nil": null, "none": [], "empty": "", "zero": 0, "map": {}, "m": {"x": 1, "l": [5, 6]},
        "list": [{"n": "a"}, {"n": "b", "extra": true}], "x": "outer", "words": ["p", "q", "r"],
    });
    for (name, truth) in
        [("yes", true), ("no", false), ("nil", false), ("none", false), ("empty", true), ("zero", true), ("map", true)]
    {
        let template = format!("k: [{{{{#{name}}}}}t{{{{/{name}}}}}{{{{^{name}}}}}f{{{{/{name}}}}}]");
        check(&template, &values, &json!({"k": [if truth { "t" } else { "f" }]}));
    }
    check(
        "{{#list}}\n- {n: {{n}}, x: {{x}}{{#extra}}, e: 1{{/extra}}}\n{{/list}}\n",
        &values,
        &json!([
            {"n": "a", "x": "outer"}, {"n": "b", "x": "outer", "e": 1},
        ]),
    );
    check("k: \"{{#words}}{{.}}{{^-last}}, {{/-last}}{{/words}}\"", &values, &json!({"k": "p, q, r"}));
    check("{{#words}}\n- {{-index}}{{#-first}}!{{/-first}}\n{{/words}}", &values, &json!(["1!", 2, 3]));
    check("{{#m}}\na: {{x}}\nb: {{l.1}}\n{{/m}}\nc: {{m.x}}", &values, &json!({"a": 1, "b": 6, "c": 1}));
    check("{{#m.entrySet}}\n{{key}}: {{value}}\n{{/m.entrySet}}", &values, &json!({"x": 1, "l": [5, 6]}));
}

#[test]
fn lines_of_tags_alone_disappear_with_either_line_end() {
    for end in ["\n", "\r\n"] {
        let template = ["a: |", "  x", "  {{#yes}}", "  y", "  {{/yes}}", "  {{! gone }}", "  z", ""].join(end);
        check(&template, &json!({"yes": true}), &json!({"a": "x\ny\nz\n"}));
        let template =
            ["{{! a", "comment }}", "a: 1", "  {{#yes}} {{/yes}} ", "b: 2{{! x }}", "{{=<% %>=}}", "c: <%yes%>"]
                .join(end);
        check(&template, &json!({"yes": true}), &json!({"a": 1, "b": 2, "c": true}));
    }
}

#[test]
fn delimiters_can_be_changed() {
    check(
        "{{=<% %>=}}\na: '{{x}}'\nb: <% x %>\n<%={{ }}=%>\nc: {{x}}",
        &json!({"x": 1}),
        &json!({"a": "{{x}}", "b": 1, "c": 1}),
    );
}

#[test]
fn unknown_names_are_named_all_with_the_nearest_known_one() {
    let values = json!({"greeting": "x", "server": {"port": 1, "host": "h"}, "list": [1], "nil": null, "t": "s"});
    for (template, expected) in [
        ("a: 1\nb: {{greting}}", "t.yml:2:4: greting: `greting` is not known; did you mean `greeting`?"),
        ("a: {{server.prot}}", "`server.prot` is not known; in `server`: did you mean `port`?"),
        ("a: {{port}}", "did you mean `server.port`?"),
        ("a: {{t.x}}", "`t` is neither a map nor a list"),
        ("a: {{list.3}}", "`list` is a list of 1"),
        ("a: {{nil}}", "`nil` has no value; set it with --set nil=…"),
        ("a: {{-index}}", "only inside a section over a list"),
        ("{{#greting}}x{{/greting}}", "t.yml:1:1: greting: `greting` is not known; did you mean `greeting`?"),
        ("{{^servr.port}}x{{/servr.port}}", "did you mean `server.port`?"),
    ] {
        let shown = fault(template, &values);
        assert!(shown.contains(expected), "{template}: {shown}");
    }
    let both = fault("a: {{x1}}\n\nb: {{x2}}\n", &values);
    assert!(both.contains("t.yml:1:4: x1") && both.contains("t.yml:3:4: x2"), "{both}");
}

#[test]
fn faults_of_the_document_are_where_the_template_has_them() {
    let template = "{{! one }}\n{{#l}}\n- a: 1\n  a: {{.}}\n{{/l}}\n";
    assert!(fault(template, &json!({"l": [1]})).starts_with("t.yml:4:3: the key `a` is set twice"));
    let shown = fault("k: {{v}}\nx: {{v}} {{v}} !\n bad: [\n", &json!({"v": "a long value"}));
    assert!(shown.starts_with("t.yml:3:") || shown.starts_with("t.yml:2:"), "{shown}");
}

#[test]
fn what_is_no_template_is_refused_with_its_place() {
    for (template, expected) in [
        ("a: {{x", "t.yml:1:4: this tag is not closed in its line; `}}` is missing"),
        ("a: {{x\n}}", "t.yml:1:4: this tag is not closed in its line"),
        ("{{! x", "t.yml:1:1: this tag is not closed; `}}` is missing"),
        ("{{{x}}", "`}}}` is missing"),
        ("\n {{#a}}\n{{#b}}\n{{/a}}", "t.yml:4:1: `a` is closed here, but `b` from line 3 is open"),
        ("{{/a}}", "`a` is closed here but was never opened"),
        ("{{#a}}", "the section `a` is never closed"),
        ("{{> part}}", "partials are not supported"),
        ("{{<parent}}", "not supported"),
        ("{{a b}}", "`a b` is not a name"),
        ("{{}}", "`` is not a name"),
        ("{{a..b}}", "is not a name"),
        ("{{=x=}}", "delimiters are changed"),
        ("{{=== ===}}", "delimiters are changed"),
        ("a: \u{10FFF0}0\u{10FFF1}", "t.yml:1:1: the characters U+10FFF0"),
    ] {
        let shown = fault(template, &json!({}));
        assert!(shown.contains(expected), "{template}: {shown}");
    }
    assert!(fault("a: {{{v}}}", &json!({"v": "\u{10FFF0}0\u{10FFF1}"})).contains("reserved"));
    let values = json!({"v": "\u{10FFF0}0\u{10FFF1}"});
    check("a: {{v}}\nb: x{{v}}", &values, &json!({"a": values["v"], "b": "x\u{10FFF0}0\u{10FFF1}"}));
}

#[test]
fn everything_is_bounded() {
    let deep = format!("{}{}", "{{#a}}".repeat(40), "{{/a}}".repeat(40));
    assert!(fault(&deep, &json!({"a": true})).contains("nested deeper than 32"));
    assert!(fault(&"x".repeat(2 << 20), &json!({})).contains("longer than 1024 KiB"));
    assert!(fault(&"{{a}}".repeat(20_001), &json!({"a": 1})).contains("more than 20000 tags"));
    let list: Vec<u8> = vec![0; 400];
    let turns = "{{#l}}{{#l}}{{/l}}{{/l}}";
    assert!(fault(turns, &json!({"l": list})).contains("more than 100000 times"));
    let long = "x".repeat(100_000);
    let output = format!("{{{{#l}}}}{long}{{{{/l}}}}");
    assert!(fault(&output, &json!({"l": list})).contains("longer than 4 MiB"));
    let large: Vec<u32> = (0..50_000).collect();
    assert!(fault("{{#l}}\n- {{v}}\n{{/l}}", &json!({"l": list, "v": large})).contains("more than 16 MiB"));
}
