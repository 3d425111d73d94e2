//! Releases as Kubernetes objects.

use galley_problem::{Kind, Problem};
use galley_release_types::{GROUP, PIPELINE_NAMESPACE, Release, ReleaseSpec, ReleaseStatus, VERSION};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};

use crate::api_problem;

/// How often a change is tried again after somebody else changed the record first.
const ATTEMPTS: usize = 20;

/// Reads and writes Releases.
#[derive(Clone)]
pub struct Records {
    api: Api<DynamicObject>,
}

/// A release with its name and the moment it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Name of the object.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The record itself.
    pub release: Release,
}

impl Records {
    /// Releases of the pipeline's namespace.
    pub fn new(client: Client) -> Self {
        Records { api: Api::namespaced_with(client, PIPELINE_NAMESPACE, &Self::resource()) }
    }

    /// The kind, for watchers.
    pub fn resource() -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, "Release"), "releases")
    }

    /// The underlying API, for watchers.
    pub fn api(&self) -> &Api<DynamicObject> {
        &self.api
    }

    /// The release of this name, if there is one.
    ///
    /// # Errors
    /// G1001 if the API server refuses, G1002 if the object is not a Release.
    pub async fn find(&self, name: &str) -> Result<Option<Recorded>, Problem> {
        let object = self.api.get_opt(name).await.map_err(|e| api_problem("to show the release", &e))?;
        object.map(|object| recorded(&object)).transpose()
    }

    /// The release of this name.
    ///
    /// # Errors
    /// As [`Records::find`], and G1003 if there is none.
    pub async fn get(&self, name: &str) -> Result<Recorded, Problem> {
        self.find(name).await?.ok_or_else(|| {
            Problem::new("G1003", Kind::NotFound, format!("There is no release `{name}`."))
                .try_this("`galley release list` shows the ones there are.")
        })
    }

    /// All releases, newest first.
    ///
    /// # Errors
    /// As [`Records::find`].
    pub async fn list(&self) -> Result<Vec<Recorded>, Problem> {
        let list = self
            .api
            .list(&ListParams::default())
            .await
            .map_err(|e| api_problem("to list the releases", &e))?;
        let mut all = list.items.iter().map(recorded).collect::<Result<Vec<_>, _>>()?;
        all.sort_by(|a, b| (&b.created, &b.name).cmp(&(&a.created, &a.name)));
        Ok(all)
    }

    /// Makes the release unless it is there already.
    ///
    /// # Errors
    /// As [`Records::find`].
    pub async fn ensure(&self, name: &str, spec: &ReleaseSpec) -> Result<Recorded, Problem> {
        if let Some(known) = self.find(name).await? {
            return Ok(known);
        }
        let mut object = DynamicObject::new(name, &Self::resource());
        object.data = serde_json::json!({ "spec": spec });
        match self.api.create(&PostParams::default(), &object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(api_problem("to make the release", &error)),
        }
        self.get(name).await
    }

    /// Changes the status; the change is repeated on the newest state when somebody else was quicker, so it must say
    /// what to change and not rely on what it saw before.
    ///
    /// # Errors
    /// As [`Records::get`], and G1004 if others keep changing the record.
    pub async fn update(
        &self,
        name: &str,
        mut change: impl FnMut(&mut ReleaseStatus),
    ) -> Result<Recorded, Problem> {
        for _ in 0..ATTEMPTS {
            let object = match self.api.get_opt(name).await {
                Ok(Some(object)) => object,
                Ok(None) => return self.get(name).await,
                Err(error) => return Err(api_problem("to show the release", &error)),
            };
            let before = recorded(&object)?;
            let mut status = before.release.status.clone();
            change(&mut status);
            if status == before.release.status {
                return Ok(before);
            }
            let mut wanted = object;
            wanted.data["status"] = serde_json::to_value(&status).map_err(|e| damaged(name, &e))?;
            match self.api.replace_status(name, &PostParams::default(), &wanted).await {
                Ok(stored) => return recorded(&stored),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(api_problem("to change the release", &error)),
            }
        }
        Err(Problem::new(
            "G1004",
            Kind::Conflict,
            format!("The release `{name}` keeps being changed by others."),
        )
        .try_this("Try again."))
    }
}

fn recorded(object: &DynamicObject) -> Result<Recorded, Problem> {
    let name = object.name_any();
    let release: Release = serde_json::from_value(object.data.clone()).map_err(|e| damaged(&name, &e))?;
    let created = object.creation_timestamp().map(|time| time.0.to_string()).unwrap_or_default();
    Ok(Recorded { name, created, release })
}

fn damaged(name: &str, error: &serde_json::Error) -> Problem {
    Problem::new("G1002", Kind::Invalid, format!("The object `{name}` is not a Release as Galley knows it."))
        .because(error)
}
