use serde_json::json;
use skipper_source::values::{check_schema, combine, merge, parse_file};

#[test]
fn maps_merge_and_everything_else_replaces() {
    let base = json!({"a": 1, "m": {"x": 1, "y": {"p": 1}}, "l": [1, 2], "gone": {"z": 1}, "same": "s"});
    let over = json!({"a": "one", "m": {"y": {"q": 2}}, "l": [3], "gone": null, "new": {"k": null, "v": 1}});
    let merged = json!({"a": "one", "m": {"x": 1, "y": {"p": 1, "q": 2}}, "l": [3], "same": "s", "new": {"v": 1}});
    assert_eq!(merge(&base, &over), merged);
    assert_eq!(combine(&base, &json!(null)), base);
    // Kept for the next layer: a null of a later `--set` must still take away what the package has.
    assert_eq!(combine(&json!({"x": 1}), &json!({"gone": null})), json!({"x": 1, "gone": null}));
    assert_eq!(merge(&base, &combine(&json!({"gone": {"z": 2}}), &json!({"gone": null}))).get("gone"), None);
}

#[test]
fn a_values_file_is_a_map() {
    assert_eq!(parse_file("v.yml", "").expect("valid"), json!({}));
    assert_eq!(parse_file("v.yml", "# nothing\n").expect("valid"), json!({}));
    assert_eq!(parse_file("v.json", r#"{"a": {"b": [1, "1.10"]}}"#).expect("valid"), json!({"a": {"b": [1, "1.10"]}}));
    assert!(parse_file("v.yml", "- 1").expect_err("a list").to_string().contains("v.yml:1:1: values are a map"));
    assert!(parse_file("v.yml", "a: 1\na: 2").expect_err("twice").to_string().contains("v.yml:2:1"));
}

#[test]
fn the_schema_names_every_fault_with_its_path() {
    let schema = json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {"port": {"type": "integer", "maximum": 10}, "l": {"items": {"type": "string"}}, "name": {}, "ratio": {"type": "number"}},
    });
    let shown = check_schema("s.json", &schema, &json!({"port": 11, "l": ["a", 2], "nmae": 1, "ratio": "1.50"}))
        .expect_err("invalid")
        .to_string();
    for part in [
        "port: 11 is greater",
        "l[1]: 2 is not of type",
        "values: ",
        "'nmae' was unexpected); did you mean `name`?",
        "\"name\" is a required",
        "ratio: \"1.50\" is not",
        "shortest form",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(check_schema("s.json", &schema, &json!({"name": "x", "port": 10})).is_ok());
}

#[test]
fn a_schema_fetches_nothing_and_cannot_run_for_ever() {
    let remote = json!({"$ref": "https://example.org/schema.json"});
    assert!(check_schema("s.json", &remote, &json!({})).expect_err("remote").to_string().contains("s.json"));
    let file = json!({"$ref": "file:///etc/passwd"});
    assert!(check_schema("s.json", &file, &json!({})).is_err());
    let slow = json!({"properties": {"a": {"pattern": "^(a+)+$"}}});
    assert!(check_schema("s.json", &slow, &json!({"a": format!("{}!", "a".repeat(5000))})).is_err());
    assert!(check_schema("s.json", &json!({"type": "nonsense"}), &json!({})).is_err());
    let _ = check_schema("s.json", &json!({"$ref": "#"}), &json!({}));
}
