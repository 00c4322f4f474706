use serde_json::json;
use skipper_core::name::{PackageName, RepositoryName};
use skipper_store::{IndexRow, NewPackage, NewRepository, PackageMatch, PackageOrder, RepositoryKind, Store, Words};

use crate::{contract, samples::provenance, world::World};

contract! {
    pages_are_in_order_and_what_is_built_in_comes_last
    packages_are_found_by_name_and_version
}

async fn upload(store: &Store, name: &str, version: &str) {
    let new = NewPackage {
        repository: RepositoryName::new("local").expect("a name"),
        name: PackageName::new(name).expect("a name"),
        version: version.into(),
        version_key: format!("{version:>10}"),
        metadata: json!({}),
        words: Words::default(),
        archive: vec![1],
    };
    store.package_upload(new, &provenance()).await.expect("uploaded");
}

/// Two that are built in, and three others.
async fn filled(store: &Store) {
    let built_in = NewRepository {
        name: RepositoryName::new("experimental").expect("a name"),
        kind: RepositoryKind::BuiltIn,
        url: None,
        source_url: None,
        description: None,
        order: Some(0),
    };
    let row = |num: i64, version: &str| IndexRow {
        num: Some(num),
        name: PackageName::new("Hello").expect("a name"),
        version: version.into(),
        version_key: format!("{version:>10}"),
        sha256: None,
        metadata: json!({}),
        words: Words::default(),
        stamp: version.into(),
    };
    let rows = vec![row(-20, "1.0.0"), row(-19, "1.0.1")];
    store.repository_build_in(built_in, "digest", rows, &provenance()).await.expect("built in");
    for (name, version) in [("pear", "9.0.0"), ("apple", "10.0.0"), ("pear", "8.0.0")] {
        upload(store, name, version).await;
    }
}

async fn pages_are_in_order_and_what_is_built_in_comes_last(world: &World) {
    let store = &world.store;
    filled(store).await;
    let page = async |order, built_in, limit, offset| {
        let page = store.package_page(order, built_in, limit, offset).await.expect("a page");
        let names: Vec<_> = page.packages.iter().map(|one| format!("{}-{}", one.name, one.version)).collect();
        (names.join(" "), page.total)
    };
    let added = PackageOrder::Added;
    let all = "pear-9.0.0 apple-10.0.0 pear-8.0.0 Hello-1.0.0 Hello-1.0.1";
    assert_eq!(page(added, true, 20, 0).await, (all.to_owned(), 5));
    assert_eq!(page(added, true, 2, 2).await, ("pear-8.0.0 Hello-1.0.0".to_owned(), 5));
    assert_eq!(page(added, true, 2, 4).await, ("Hello-1.0.1".to_owned(), 5));
    assert_eq!(page(added, true, 2, 1 << 62).await, (String::new(), 5));
    assert_eq!(page(added, false, 20, 0).await, ("pear-9.0.0 apple-10.0.0 pear-8.0.0".to_owned(), 3));
    let name = |descending| PackageOrder::Name { descending };
    let version = |descending| PackageOrder::Version { descending };
    assert_eq!(page(name(false), false, 20, 0).await.0, "apple-10.0.0 pear-9.0.0 pear-8.0.0");
    assert_eq!(page(name(true), true, 3, 1).await, ("pear-9.0.0 apple-10.0.0 Hello-1.0.1".to_owned(), 5));
    assert_eq!(page(version(false), false, 20, 0).await.0, "pear-8.0.0 pear-9.0.0 apple-10.0.0");
    assert_eq!(page(version(true), true, 1, 0).await, ("apple-10.0.0".to_owned(), 5));
}

async fn packages_are_found_by_name_and_version(world: &World) {
    let store = &world.store;
    filled(store).await;
    let found = async |filter| {
        let found = store.package_find(filter, 20).await.expect("no error");
        found.iter().map(|one| one.version.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(PackageMatch::Named("pear")).await, ["9.0.0", "8.0.0"]);
    assert_eq!(found(PackageMatch::Named("PEAR")).await, [""; 0]);
    assert_eq!(found(PackageMatch::Version("pear", "8.0.0")).await, ["8.0.0"]);
    assert_eq!(found(PackageMatch::Containing("P")).await, ["9.0.0", "10.0.0", "8.0.0"]);
    assert_eq!(found(PackageMatch::Containing("ell")).await, ["1.0.0", "1.0.1"]);
    assert_eq!(found(PackageMatch::Containing("%")).await, [""; 0]);
    let built_in = store.package_by_num(-20).await.expect("no error").expect("there");
    assert_eq!((built_in.name.as_str(), built_in.version.as_str()), ("Hello", "1.0.0"));
    assert_eq!(store.package_by_num(0).await.expect("no error"), None);
}
