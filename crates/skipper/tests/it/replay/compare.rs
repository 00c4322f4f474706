//! Whether an answer is what was recorded: field by field, in order, with the kinds of numbers, and with rules for what varies.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value};

/// What may differ at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing is looked at, not even whether it is there.
    Any,
    /// The same kind of value: null, boolean, integer, number, text, list or object.
    Kind,
    /// The same text but for the digits in it: times, durations, ports.
    Digits,
    /// An id of that collection: each recorded one stands for one of ours, always the same.
    Id(&'static str),
    /// An address, whose ids belong to the collection named before them.
    Href,
    /// A text that is JSON itself, compared like the rest.
    Inside,
    /// An object that may have more fields.
    More,
    /// An object that may have more fields, in any order.
    Loose,
}

/// Rules by the last segments of a path; `*` stands for any segment. The first one that fits counts.
#[derive(Debug, Clone)]
pub(super) struct Rules(pub(super) Vec<(&'static str, Rule)>);

impl Rules {
    /// These rules, after those.
    pub(super) fn with(&self, first: &[(&'static str, Rule)]) -> Self {
        Self(first.iter().copied().chain(self.0.iter().copied()).collect())
    }

    /// Whether nothing is looked at there.
    pub(super) fn pass_over(&self, place: &str) -> bool {
        self.at(&[place.to_owned()]) == Some(Rule::Any)
    }

    fn at(&self, path: &[String]) -> Option<Rule> {
        let fits = |pattern: &str| {
            let wanted: Vec<&str> = pattern.split('/').collect();
            wanted.len() <= path.len()
                && wanted.iter().rev().zip(path.iter().rev()).all(|(wanted, is)| *wanted == "*" || wanted == is)
        };
        self.0.iter().find(|(pattern, _)| fits(pattern)).map(|(_, rule)| *rule)
    }
}

/// Which of our ids stands for which recorded one.
#[derive(Debug, Default, Clone)]
pub(super) struct Ids {
    ours: BTreeMap<(String, String), String>,
    recorded: BTreeMap<(String, String), String>,
}

impl Ids {
    /// Pairs the two, unless one of them already stands for another one.
    fn pair(&mut self, collection: &str, recorded: &str, ours: &str) -> bool {
        let collection = if collection == "install" { "packageMetadata" } else { collection };
        let mut is = |map: fn(&mut Self) -> &mut BTreeMap<_, _>, key: &str, value: &str| {
            let known = map(self).entry((collection.to_owned(), key.to_owned())).or_insert_with(|| value.to_owned());
            *known == value
        };
        is(|ids| &mut ids.ours, recorded, ours) & is(|ids| &mut ids.recorded, ours, recorded)
    }

    /// A request's path with our ids; one that was never seen becomes one that cannot be there.
    pub(super) fn translate(&self, path: &str) -> String {
        let mut before = String::new();
        let mut out = Vec::new();
        for part in path.split('/') {
            let (id, rest) = part.split_at(part.find('?').unwrap_or(part.len()));
            let collection = if before == "install" { "packageMetadata" } else { before.as_str() };
            out.push(if is_id(id) && COLLECTIONS.contains(&collection) {
                let known = self.ours.get(&(collection.to_owned(), id.to_owned()));
                format!("{}{rest}", known.map_or("987654", String::as_str))
            } else {
                part.to_owned()
            });
            before = part.to_owned();
        }
        out.join("/")
    }
}

const COLLECTIONS: &[&str] = &["packageMetadata", "repositories", "releases", "deployers", "appDeployerDatas"];

fn is_id(text: &str) -> bool {
    let uuid = text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    uuid || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Compares, and says what differs, a line for each place.
pub(super) fn compare(recorded: &Value, ours: &Value, rules: &Rules, ids: &mut Ids) -> Vec<String> {
    let mut walk = Walk { rules, ids, path: Vec::new(), found: Vec::new() };
    walk.value(recorded, ours);
    walk.found
}

struct Walk<'a> {
    rules: &'a Rules,
    ids: &'a mut Ids,
    path: Vec<String>,
    found: Vec<String>,
}

impl Walk<'_> {
    fn note(&mut self, what: &str) {
        let path = if self.path.is_empty() { "the body".to_owned() } else { self.path.join("/") };
        self.found.push(format!("{path}: {what}"));
    }

    fn differs(&mut self, recorded: &Value, ours: &Value) {
        self.note(&format!("recorded {}, ours {}", short(recorded), short(ours)));
    }

    fn under(&mut self, segment: String, recorded: &Value, ours: &Value) {
        self.path.push(segment);
        self.value(recorded, ours);
        self.path.pop();
    }

    fn value(&mut self, recorded: &Value, ours: &Value) {
        let rule = self.rules.at(&self.path);
        if rule == Some(Rule::Any) {
            return;
        }
        if kind(recorded) != kind(ours) {
            return self.differs(recorded, ours);
        }
        let same = match (rule, recorded, ours) {
            (Some(Rule::Kind), _, _) | (Some(Rule::Digits), Value::Number(_), _) => true,
            (Some(Rule::Digits), Value::String(a), Value::String(b)) => digits(a) == digits(b),
            (Some(Rule::Id(collection)), _, _) => {
                recorded.is_null() || self.ids.pair(collection, &plain(recorded), &plain(ours))
            }
            (Some(Rule::Href), Value::String(a), Value::String(b)) => self.same_href(a, b),
            (Some(Rule::Inside), Value::String(a), Value::String(b)) => {
                match (serde_json::from_str(a), serde_json::from_str(b)) {
                    (Ok(a), Ok(b)) => self.under("(inside)".to_owned(), &a, &b),
                    _ => self.note(&format!("is not JSON: {b}")),
                }
                true
            }
            (_, Value::Object(a), Value::Object(b)) => {
                self.object(a, b, rule);
                true
            }
            (_, Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    self.note(&format!("recorded {} items, ours {}", a.len(), b.len()));
                }
                for (n, (a, b)) in a.iter().zip(b).enumerate() {
                    self.under(n.to_string(), a, b);
                }
                true
            }
            _ => recorded == ours,
        };
        if !same {
            self.differs(recorded, ours);
        }
    }

    fn object(&mut self, recorded: &Map<String, Value>, ours: &Map<String, Value>, rule: Option<Rule>) {
        let more = matches!(rule, Some(Rule::More | Rule::Loose));
        for (key, value) in recorded {
            if let Some(other) = ours.get(key) {
                self.under(key.clone(), value, other);
            } else {
                self.path.push(key.clone());
                if self.rules.at(&self.path) != Some(Rule::Any) {
                    self.note(&format!("missing, recorded {}", short(value)));
                }
                self.path.pop();
            }
        }
        for (key, value) in ours.iter().filter(|(key, _)| !more && !recorded.contains_key(*key)) {
            self.path.push(key.clone());
            if self.rules.at(&self.path) != Some(Rule::Any) {
                self.note(&format!("not recorded, ours {}", short(value)));
            }
            self.path.pop();
        }
        let shared = |one: &Map<String, Value>, other: &Map<String, Value>| {
            one.keys().filter(|key| other.contains_key(*key)).cloned().collect::<Vec<_>>()
        };
        let (a, b) = (shared(recorded, ours), shared(ours, recorded));
        if a != b && rule != Some(Rule::Loose) {
            self.note(&format!("fields in another order: recorded {}, ours {}", a.join(" "), b.join(" ")));
        }
    }

    fn same_href(&mut self, recorded: &str, ours: &str) -> bool {
        // The documentation's tool put it there.
        let (recorded, ours) = (recorded.replace("{&sort}", ""), ours.replace("{&sort}", ""));
        let parts = |text: &str| {
            let mut parts = vec![String::new()];
            for c in text.chars() {
                if "/?{".contains(c) {
                    parts.push(String::new());
                }
                if c != '/' {
                    parts.last_mut().expect("it has one").push(c);
                }
            }
            parts
        };
        let (a, b) = (parts(&recorded), parts(&ours));
        a.len() == b.len()
            && a.iter().zip(&b).enumerate().all(|(n, (x, y))| {
                let before = n.checked_sub(1).and_then(|n| a.get(n)).map_or("", String::as_str);
                let known = COLLECTIONS.contains(&before) || before == "install";
                x == y && !(known && is_id(x)) || (is_id(x) && is_id(y) && known && self.ids.pair(before, x, y))
            })
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The text with each run of digits made one `0`.
fn digits(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('0') {
            out.push('0');
        }
    }
    out
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    let mut out: String = text.chars().take(600).collect();
    if out.len() < text.len() {
        let _ = write!(out, "… ({} bytes)", text.len());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "cases read better without it")]
    fn found(recorded: Value, ours: Value, rules: &[(&'static str, Rule)]) -> Vec<String> {
        compare(&recorded, &ours, &Rules(rules.to_vec()), &mut Ids::default())
    }

    #[test]
    fn what_is_the_same_has_no_differences() {
        let value = json!({"a": [1, {"b": null}], "c": "x", "d": 1.5});
        assert_eq!(found(value.clone(), value, &[]), [""; 0]);
    }

    #[test]
    fn every_difference_is_told_with_its_place() {
        let cases = [
            (json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), "a/b: recorded 1, ours 2"),
            (json!({"a": 1}), json!({"a": "1"}), "a: recorded 1, ours \"1\""),
            (json!({"a": 1}), json!({"a": 1.0}), "a: recorded 1, ours 1.0"),
            (json!({"a": null}), json!({"a": ""}), "a: recorded null, ours \"\""),
            (json!({"a": 1, "b": 2}), json!({"a": 1}), "b: missing, recorded 2"),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), "b: not recorded, ours 2"),
            (
                json!({"a": 1, "b": 2}),
                json!({"b": 2, "a": 1}),
                "the body: fields in another order: recorded a b, ours b a",
            ),
            (json!([1, 2]), json!([1]), "the body: recorded 2 items, ours 1"),
            (json!([{"a": 1}]), json!([{"a": true}]), "0/a: recorded 1, ours true"),
            (json!({}), json!([]), "the body: recorded {}, ours []"),
        ];
        for (recorded, ours, line) in cases {
            assert_eq!(found(recorded, ours, &[]), [line]);
        }
    }

    #[test]
    fn rules_hold_where_they_are_meant_and_nowhere_else() {
        let rules = &[("info/at", Rule::Digits), ("pid", Rule::Kind), ("junk", Rule::Any), ("*/open", Rule::More)];
        let recorded = json!({"info": {"at": "10:05 ms 7"}, "at": "1", "pid": 7, "junk": 1, "x": {"open": {"a": 1}}});
        let same = json!({"info": {"at": "9:15 ms 312"}, "at": "1", "pid": 8, "x": {"open": {"a": 1, "b": 2}}});
        assert_eq!(found(recorded.clone(), same, rules), [""; 0]);
        let loose = &[("*/open", Rule::Loose)];
        let in_any_order = |text: &str| json!({"x": {"open": serde_json::from_str::<Value>(text).expect("JSON")}});
        let (recorded_order, our_order) = (in_any_order(r#"{"a":1,"b":2}"#), in_any_order(r#"{"c":3,"b":2,"a":1}"#));
        assert_eq!(found(recorded_order.clone(), our_order.clone(), loose), [""; 0]);
        assert_eq!(found(recorded_order, our_order, &[("*/open", Rule::More)]).len(), 1);
        let other = json!({"info": {"at": "9h15"}, "at": "2", "pid": "8", "junk": {}, "x": {"open": {"b": 1}}});
        let lines = found(recorded, other, rules);
        let places: Vec<_> = lines.iter().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(places, ["info/at", "at", "pid", "x/open/a"], "{lines:#?}");
    }

    #[test]
    fn an_id_stands_for_one_and_the_same_all_along() {
        let rules = &[("id", Rule::Id("repositories")), ("href", Rule::Href)];
        let item = |id: u32, href: &str| json!({"id": id, "href": format!("http://h/api/repositories/{href}")});
        assert_eq!(
            found(json!([item(1, "1"), item(2, "2")]), json!([item(7, "7"), item(9, "9{&sort}")]), rules),
            [""; 0]
        );
        assert_eq!(found(json!([item(1, "1")]), json!([item(7, "8")]), rules).len(), 1);
        assert_eq!(found(json!([item(1, "1"), item(2, "2")]), json!([item(7, "7"), item(7, "7")]), rules).len(), 2);
        assert_eq!(found(json!({"href": "http://h/api/a/1"}), json!({"href": "http://h/api/a/2"}), rules).len(), 1);
        assert_eq!(found(json!({"href": "http://h/api/a"}), json!({"href": "http://i/api/a"}), rules).len(), 1);
        assert_eq!(found(json!({"href": "http://h/a{?b,c}"}), json!({"href": "http://h/a{?b}"}), rules).len(), 1);
    }

    #[test]
    fn a_request_is_asked_with_our_ids() {
        let mut ids = Ids::default();
        let rules = Rules(vec![("href", Rule::Href)]);
        let recorded = json!({"href": "http://h/api/packageMetadata/2{?projection}"});
        let ours = json!({"href": "http://h/api/packageMetadata/31{?projection}"});
        assert_eq!(compare(&recorded, &ours, &rules, &mut ids), [""; 0]);
        assert_eq!(ids.translate("/api/install/2"), "/api/install/31");
        assert_eq!(ids.translate("/api/packageMetadata/2?projection=x"), "/api/packageMetadata/31?projection=x");
        assert_eq!(ids.translate("/api/packageMetadata/5"), "/api/packageMetadata/987654");
        assert_eq!(ids.translate("/api/rollback/r/1"), "/api/rollback/r/1");
    }

    #[test]
    fn json_in_a_text_is_looked_into() {
        let rules = &[("p", Rule::Inside), ("(inside)/port", Rule::Kind)];
        let with = |text: &str| json!({"p": text});
        assert_eq!(found(with(r#"{"port":1,"a":2}"#), with(r#"{"port":5,"a":2}"#), rules), [""; 0]);
        assert_eq!(found(with(r#"{"a":2}"#), with(r#"{"a":3}"#), rules), ["p/(inside)/a: recorded 2, ours 3"]);
        assert_eq!(found(with("{}"), with("no"), rules), ["p: is not JSON: no"]);
    }
}
