//! The database of an original server, as its two generations and the two versions of H2 write it.

use proptest::prelude::*;
use serde_json::json;
use skipper_source::original::{Original, Status, Tables, micros, read_h2, zip_of};

const OLD: &str = r#"
-- H2 1.4.196;
CREATE USER IF NOT EXISTS "SA" SALT '1' HASH '2;3' ADMIN;
CREATE CACHED TABLE PUBLIC.REPOSITORY(
    ID BIGINT NOT NULL, OBJECT_VERSION BIGINT, DESCRIPTION VARCHAR(255) DEFAULT 'a, (b)', LOCAL BOOLEAN, NAME VARCHAR(255),
    REPO_ORDER INTEGER, SOURCE_URL VARCHAR(255), URL VARCHAR(255), CONSTRAINT X CHECK (ID > 0)
);
INSERT INTO PUBLIC.REPOSITORY VALUES
(1, 0, NULL, FALSE, 'experimental', 0, NULL, 'http://example.org/repo'),
(2, 0, 'It''s ours; all of it', TRUE, 'local', 1, NULL, 'http://host:7577');
CREATE ALIAS IF NOT EXISTS SYSTEM_COMBINE_CLOB FOR "org.h2.command.dml.ScriptCommand.combineClob";
INSERT INTO SYSTEM_LOB_STREAM VALUES(0, 0, STRINGDECODE('\n---\napiVersion: v1\n# \u00fcber\n'), NULL);
INSERT INTO SYSTEM_LOB_STREAM VALUES(0, 1, 'kind: SpringBootApp', NULL);
INSERT INTO SYSTEM_LOB_STREAM VALUES(1, 0, NULL, '504b');
INSERT INTO PUBLIC.PACKAGE_METADATA(ID, NAME, VERSION, REPOSITORY_ID, PACKAGE_FILE) VALUES
(7, 'log', '1.0.0', 2, SYSTEM_COMBINE_BLOB(1)), (8, 'time', '2.0.0', 1, NULL);
INSERT INTO PUBLIC.STATUS(ID, PLATFORM_STATUS, STATUS_CODE) VALUES (3, '[]', 'DEPLOYED'), (4, NULL, 'DELETED');
INSERT INTO PUBLIC.INFO(ID, DESCRIPTION, LAST_DEPLOYED, STATUS_ID) VALUES
(5, 'Upgrade complete', TIMESTAMP '2017-10-27 16:39:03.5', 3), (6, 'Delete complete', NULL, 4);
INSERT INTO PUBLIC.RELEASE(ID, NAME, VERSION, INFO_ID, MANIFEST, PLATFORM_NAME, CONFIG_VALUES_STRING, PKG_JSON_STRING) VALUES
(11, 'mylog', 2, 5, SYSTEM_COMBINE_CLOB(0), 'default', 'a: 1', '{"metadata": {"name": "log", "version": "1.0.0"}}'),
(10, 'mylog', 1, 6, NULL, 'default', NULL, 'not json');
"#;

#[test]
fn a_script_of_the_first_generation_is_read() {
    let original = Original::from_tables(&read_h2(OLD).expect("it is a script"));
    let names: Vec<_> = original.repositories.iter().map(|r| (r.name.as_str(), r.local, r.order)).collect();
    assert_eq!(names, [("experimental", false, 0), ("local", true, 1)]);
    assert_eq!(original.repositories[1].description.as_deref(), Some("It's ours; all of it"));
    let packages: Vec<_> =
        original.packages.iter().map(|p| (p.name.as_str(), p.repository.as_str(), p.bytes.as_deref())).collect();
    assert_eq!(packages, [("log", "local", Some(&b"PK"[..])), ("time", "experimental", None)]);
    let versions: Vec<_> = original.releases.iter().map(|r| (r.version, r.status)).collect();
    assert_eq!(versions, [(1, Status::Deleted), (2, Status::Deployed)], "in order of versions");
    let newest = &original.releases[1];
    assert_eq!(newest.manifest.as_deref(), Some("\n---\napiVersion: v1\n# \u{fc}ber\nkind: SpringBootApp"));
    assert_eq!(newest.deployed_at, Some(1_509_122_343_500_000));
    assert_eq!((newest.values.as_deref(), newest.package_text("version")), (Some("a: 1"), Some("1.0.0")));
    assert!(original.warnings.iter().any(|warning| warning.contains("`mylog` version 1")), "{:?}", original.warnings);
}

#[test]
fn a_script_of_the_second_generation_is_read() {
    let script = r#"
        CREATE CACHED TABLE "PUBLIC"."SKIPPER_RELEASE"("ID" CHARACTER VARYING(10), "NAME" VARCHAR);
        INSERT INTO "PUBLIC"."SKIPPER_REPOSITORY"("ID", "NAME", "LOCAL", "URL") VALUES (1, U&'l\006fcal \d83d\de00 \\', TRUE, '');
        INSERT INTO "PUBLIC"."SKIPPER_PACKAGE_FILE" ("ID", "PACKAGE_BYTES") VALUES (9, X'504b03');
        INSERT INTO "PUBLIC"."SKIPPER_PACKAGE_METADATA"("ID", "NAME", "VERSION", "REPOSITORY_ID", "PACKAGEFILE_ID")
            VALUES (3, 'tiny', '1.0.0', 1, 9);
        INSERT INTO "PUBLIC"."SKIPPER_MANIFEST"("ID", "DATA") VALUES (4, CAST('"kind": "x"' AS VARCHAR));
        INSERT INTO "PUBLIC"."SKIPPER_STATUS"("ID", "STATUS_CODE") VALUES (5, 'FAILED');
        INSERT INTO "PUBLIC"."SKIPPER_INFO"("ID", "STATUS_ID", "LAST_DEPLOYED")
            VALUES (6, 5, TIMESTAMP WITH TIME ZONE '2024-09-13 10:00:00+02');
        INSERT INTO "PUBLIC"."SKIPPER_RELEASE"("ID", "NAME", "VERSION", "INFO_ID", "MANIFEST_ID") VALUES (7, 'r1', 3, 6, 4);"#;
    let original = Original::from_tables(&read_h2(script).expect("it is a script"));
    assert_eq!(original.repositories[0].name, "local \u{1f600} \\");
    assert_eq!(original.packages[0].bytes.as_deref(), Some(&b"PK\x03"[..]));
    let release = &original.releases[0];
    assert_eq!((release.version, release.status), (3, Status::Failed));
    assert_eq!(release.manifest.as_deref(), Some("\"kind\": \"x\""));
    assert_eq!(release.deployed_at, Some(1_726_214_400_000_000));
}

#[test]
fn rows_of_another_database_are_read_alike() {
    let mut tables = Tables::default();
    tables.add_json("skipper_repository", &[json!({"id": 1, "name": "local", "local": true})]);
    tables.add_json(
        "skipper_package_metadata",
        &[
            json!({"id": 2, "name": "a", "version": "1", "repository_id": 1}),
            json!({"id": 3, "name": "b", "version": "1", "repository_id": 1, "package_file": "\\x504b"}),
        ],
    );
    let original = Original::from_tables(&tables);
    assert_eq!(original.packages.iter().map(|p| p.bytes.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(original.warnings.len(), 1, "no releases: {:?}", original.warnings);
}

#[test]
fn what_is_no_script_is_told_with_its_line() {
    let told = |script: &str| read_h2(script).expect_err("it is broken").to_string();
    assert!(told("\n\nINSERT INTO A(B) VALUES ('open").starts_with("line 3: a quoted text"), "{}", told("\n\n'"));
    assert!(told("INSERT INTO A(B) VALUES (NOW())").contains("name is expected"));
    assert!(told("INSERT INTO A(B) VALUES (RANDOM(1))").contains("`random`"));
    assert!(told("INSERT INTO A VALUES (1)").contains("columns of `a`"));
}

#[test]
fn a_package_is_made_anew_from_what_a_release_kept() {
    let package = json!({
        "metadata": {"apiVersion": "v1", "kind": "skipper", "name": "log", "version": "1.0.0", "origin": null},
        "templates": [{"name": "log.yml", "data": "kind: {{x}}\n"}],
        "configValues": {"raw": "x: 1\n"},
        "dependencies": [{"metadata": {"name": "time", "version": "2.0.0"}, "templates": [], "dependencies": []}],
    });
    let zip = zip_of(package.as_object().expect("an object")).expect("it has a name");
    let archive = skipper_source::Archive::from_zip(&zip).expect("a package");
    assert!(archive.values_file().is_some() && archive.templates().len() == 1 && archive.packages().len() == 1);
    let evil = json!({"metadata": {"name": "a", "version": "1"}, "templates": [{"name": "../x", "data": ""}]});
    assert!(zip_of(evil.as_object().expect("an object")).is_none());
}

#[test]
fn times_are_read_as_databases_write_them() {
    assert_eq!(micros("1970-01-01 00:00:00"), Some(0));
    assert_eq!(micros("2024-02-29T12:30:15.25Z"), Some(1_709_209_815_250_000));
    assert_eq!(micros("2024-02-29 12:30:15+05:30"), Some(1_709_209_815_000_000 - 19_800_000_000));
    for wrong in ["", "2024", "2024-13-01 00:00:00", "2024-01-01 25:00:00", "x-y-z a:b:c"] {
        assert_eq!(micros(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_script_makes_the_reader_panic(script in r"(?s)(INSERT INTO A\(B\) VALUES \(|[A-Z(),;'X\\u0-9 \n-])*") {
        let _ = read_h2(&script).map(|tables| Original::from_tables(&tables));
    }

    #[test]
    fn no_time_makes_the_reader_panic(text in r"[0-9TZ:+. -]{0,30}") {
        let _ = micros(&text);
    }

    #[test]
    fn a_text_comes_back_as_it_was(text in r"(?s)[^\x00]{0,60}") {
        let script = format!("INSERT INTO REPOSITORY(ID, NAME) VALUES (1, '{}')", text.replace('\'', "''"));
        let original = Original::from_tables(&read_h2(&script).expect("it is a script"));
        prop_assert_eq!(original.repositories.first().map(|r| r.name.as_str()), Some(text.as_str()).filter(|t| !t.is_empty()));
    }
}
