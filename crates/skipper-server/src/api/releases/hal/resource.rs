//! What there is, in one table: index, searches, methods and profiles are made of it.

use http::Method;

/// A resource.
#[derive(Debug)]
pub(super) struct Resource {
    /// Its collection: a path segment, and the relation that leads there.
    pub(super) rel: &'static str,
    /// One of it: the relation of its own link.
    pub(super) item: &'static str,
    /// The name of its type.
    pub(super) title: &'static str,
    pub(super) fields: &'static [Field],
    pub(super) searches: &'static [Search],
    /// Methods beside GET, HEAD and OPTIONS.
    pub(super) on_collection: &'static [Method],
    pub(super) on_item: &'static [Method],
    /// Whether items can be had in short.
    pub(super) projects: bool,
    /// Whether 2.x has it as well.
    pub(super) in_v2: bool,
}

/// A field of a resource.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Its type in JSON.
    pub(super) kind: &'static str,
    /// Whether only 2.x has it.
    pub(super) only_v2: bool,
}

/// A search.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) name: &'static str,
    pub(super) parameters: &'static [&'static str],
    /// Whether 2.x has it as well.
    pub(super) in_v2: bool,
}

const fn field(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, only_v2: false }
}

const fn newer(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, only_v2: true }
}

const fn search(name: &'static str, parameters: &'static [&'static str], in_v2: bool) -> Search {
    Search { name, parameters, in_v2 }
}

pub(super) const RELEASES: Resource = Resource {
    rel: "releases",
    item: "release",
    title: "Release",
    fields: &[
        field("name", "string"),
        field("version", "integer"),
        field("info", "object"),
        field("pkg", "object"),
        field("configValues", "object"),
        field("manifest", "string"),
        field("platformName", "string"),
    ],
    searches: &[
        search("findByNameOrderByVersionDesc", &["name"], false),
        search("findByNameIgnoreCaseContainingOrderByNameAscVersionDesc", &["name"], true),
        search("findByNameAndVersionBetweenOrderByNameAscVersionDesc", &["name", "from", "to"], false),
        search("findTopByNameOrderByVersionDesc", &["name"], false),
        search("findByNameIgnoreCaseContaining", &["name"], false),
    ],
    on_collection: &[],
    on_item: &[],
    projects: false,
    in_v2: true,
};

pub(super) const DEPLOYERS: Resource = Resource {
    rel: "deployers",
    item: "deployer",
    title: "Deployer",
    fields: &[
        field("name", "string"),
        field("type", "string"),
        field("description", "string"),
        newer("options", "array"),
    ],
    searches: &[search("findByName", &["name"], true)],
    on_collection: &[],
    on_item: &[],
    projects: false,
    in_v2: true,
};

pub(super) const APP_DEPLOYER_DATAS: Resource = Resource {
    rel: "appDeployerDatas",
    item: "appDeployerData",
    title: "App deployer data",
    fields: &[field("releaseName", "string"), field("releaseVersion", "integer"), field("deploymentData", "string")],
    searches: &[search("findByReleaseNameAndReleaseVersion", &["releaseName", "releaseVersion"], false)],
    on_collection: &[],
    on_item: &[],
    projects: false,
    in_v2: false,
};

pub(super) const PACKAGE_METADATA: Resource = Resource {
    rel: "packageMetadata",
    item: "packageMetadata",
    title: "Package metadata",
    fields: &[
        field("apiVersion", "string"),
        field("origin", "string"),
        field("repositoryId", "integer"),
        newer("repositoryName", "string"),
        field("kind", "string"),
        field("name", "string"),
        newer("displayName", "string"),
        field("version", "string"),
        field("packageSourceUrl", "string"),
        field("packageHomeUrl", "string"),
        field("tags", "string"),
        field("maintainer", "string"),
        field("description", "string"),
        field("sha256", "string"),
        field("iconUrl", "string"),
    ],
    searches: &[
        search("findByName", &["name"], true),
        search("findByNameContainingIgnoreCase", &["name"], true),
        search("findByNameAndVersionOrderByApiVersionDesc", &["name", "version"], false),
        search("findFirstByNameOrderByVersionDesc", &["name"], false),
    ],
    on_collection: &[],
    on_item: &[Method::DELETE],
    projects: true,
    in_v2: true,
};

pub(super) const REPOSITORIES: Resource = Resource {
    rel: "repositories",
    item: "repository",
    title: "Repository",
    fields: &[
        field("name", "string"),
        field("url", "string"),
        field("sourceUrl", "string"),
        field("local", "boolean"),
        field("description", "string"),
        field("repoOrder", "integer"),
    ],
    searches: &[search("findByName", &["name"], true), search("findAllByOrderByRepoOrderDesc", &[], false)],
    on_collection: &[Method::POST],
    on_item: &[Method::PUT, Method::PATCH, Method::DELETE],
    projects: false,
    in_v2: true,
};

/// All of them, in the order of the index.
pub(super) const RESOURCES: [&Resource; 5] =
    [&RELEASES, &DEPLOYERS, &APP_DEPLOYER_DATAS, &PACKAGE_METADATA, &REPOSITORIES];

impl Resource {
    pub(super) fn fields(&self, v2: bool) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| v2 || !field.only_v2)
    }

    pub(super) fn searches(&self, v2: bool) -> impl Iterator<Item = &Search> {
        self.searches.iter().filter(move |search| search.in_v2 || !v2)
    }

    /// `?page,size,sort` and, where it has one, the projection.
    pub(super) const fn template(&self) -> &'static str {
        if self.projects { "{?page,size,sort,projection}" } else { "{?page,size,sort}" }
    }
}

impl Search {
    /// The template of its parameters.
    pub(super) fn template(&self, projects: bool) -> String {
        let projection = projects.then_some("projection");
        let names: Vec<&str> = self.parameters.iter().copied().chain(projection).collect();
        if names.is_empty() { String::new() } else { format!("{{?{}}}", names.join(",")) }
    }
}
