use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use skipper_core::{
    BoxFuture,
    port::{Error, ErrorKind, ResolveRequest, Resolved, Resolver},
    release::Source,
    spec::Spec,
};

use crate::fault::Gate;

const POISONED: &str = "nothing panics while it holds this lock";

/// Resolves what was rendered already to itself, and packages to the specs it was given for them.
#[derive(Debug, Clone, Default)]
pub struct FakeResolver {
    packages: Arc<Mutex<BTreeMap<(String, String), Spec>>>,
    gate: Gate,
}

impl FakeResolver {
    /// Another view, through another gate.
    #[must_use]
    pub fn through(&self, gate: Gate) -> Self {
        Self { gate, ..self.clone() }
    }

    /// Knows a package from now on.
    pub fn package(&self, name: &str, version: &str, spec: Spec) {
        self.packages.lock().expect(POISONED).insert((name.to_owned(), version.to_owned()), spec);
    }

    fn answer(&self, request: &ResolveRequest) -> Result<Resolved, Error> {
        if let Some((manifest, spec)) = request.rendered.clone() {
            return Ok(Resolved { manifest, spec });
        }
        let Source::Package { name, version, .. } = &request.source else {
            return Err(Error::new(ErrorKind::Permanent, "not-rendered", "there is nothing to resolve it from"));
        };
        let packages = self.packages.lock().expect(POISONED);
        match packages.get(&(name.clone(), version.clone())) {
            Some(spec) => Ok(Resolved { manifest: format!("# {name} {version}\n"), spec: spec.clone() }),
            None => Err(Error::new(
                ErrorKind::Permanent,
                "package-not-found",
                format!("there is no package {name} {version}"),
            )),
        }
    }
}

impl Resolver for FakeResolver {
    fn resolve<'a>(&'a self, request: &'a ResolveRequest) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("resolver.resolve", request.release_name.to_string()).await?;
            passing.leave(self.answer(request)).await
        })
    }
}
