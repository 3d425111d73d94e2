//! Registered models, versions and aliases.

use galley_mlflow::{KeyValue, ModelVersion, RegisteredModel, filter};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Client, Error, Result,
    call::Repeat,
    runs::{absent_is_none, tag_is},
};

#[derive(Deserialize)]
struct OneModel {
    registered_model: RegisteredModel,
}

#[derive(Deserialize)]
struct OneVersion {
    model_version: ModelVersion,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    model_versions: Vec<ModelVersion>,
    #[serde(default)]
    next_page_token: Option<String>,
}

impl Client {
    /// The registered model of this name, made if it does not exist.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn get_or_create_registered_model(&self, name: &str) -> Result<RegisteredModel> {
        if let Some(model) = self.registered_model(name).await? {
            return Ok(model);
        }
        let what = format!("make the registered model `{name}`");
        let made: Result<OneModel> =
            self.post(&what, "registered-models/create", &json!({ "name": name }), Repeat::IfUnsent).await;
        match made {
            Ok(one) => Ok(one.registered_model),
            // Somebody else made it in between.
            Err(error) if error.is_taken() => self.registered_model(name).await?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// The registered model of this name.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn registered_model(&self, name: &str) -> Result<Option<RegisteredModel>> {
        let what = format!("read the registered model `{name}`");
        let found: Result<OneModel> = self.get(&what, "registered-models/get", &[("name", name)]).await;
        absent_is_none(found.map(|one| one.registered_model))
    }

    /// Makes a version.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn create_model_version(
        &self,
        name: &str,
        source: &str,
        run_id: &str,
        tags: &[KeyValue],
    ) -> Result<ModelVersion> {
        let body = json!({ "name": name, "source": source, "run_id": run_id, "tags": tags });
        let what = format!("register a version of `{name}`");
        Ok(self
            .post::<OneVersion>(&what, "model-versions/create", &body, Repeat::IfUnsent)
            .await?
            .model_version)
    }

    /// A version by its number.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn get_version(&self, name: &str, version: &str) -> Result<Option<ModelVersion>> {
        let what = format!("read version {version} of `{name}`");
        let found: Result<OneVersion> =
            self.get(&what, "model-versions/get", &[("name", name), ("version", version)]).await;
        absent_is_none(found.map(|one| one.model_version))
    }

    /// The version that an alias points at.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn version_by_alias(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>> {
        let what = format!("read the alias `{alias}` of `{name}`");
        let found: Result<OneVersion> =
            self.get(&what, "registered-models/alias", &[("name", name), ("alias", alias)]).await;
        absent_is_none(found.map(|one| one.model_version))
    }

    /// The highest version with this tag.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn find_version_by_tag(
        &self,
        name: &str,
        key: &str,
        value: &str,
    ) -> Result<Option<ModelVersion>> {
        let filter = format!("{} AND {}", name_is(name)?, tag_is(key, value)?);
        Ok(self.search_versions(&filter, &["version_number DESC"], 1).await?.into_iter().next())
    }

    /// The highest versions of a registered model, highest first.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn latest_versions(&self, name: &str, at_most: usize) -> Result<Vec<ModelVersion>> {
        self.search_versions(&name_is(name)?, &["version_number DESC"], at_most).await
    }

    /// Versions, page after page.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn search_versions(
        &self,
        filter: &str,
        order_by: &[&str],
        at_most: usize,
    ) -> Result<Vec<ModelVersion>> {
        let mut found: Vec<ModelVersion> = Vec::new();
        let mut token = String::new();
        while found.len() < at_most {
            let wanted = (at_most - found.len()).min(1000).to_string();
            let mut query = vec![("filter", filter), ("max_results", wanted.as_str())];
            query.extend(order_by.iter().map(|order| ("order_by", *order)));
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let page: Versions = self.get("search model versions", "model-versions/search", &query).await?;
            found.extend(page.model_versions);
            match page.next_page_token {
                Some(next) if !next.is_empty() && next != token => token = next,
                _ => break,
            }
        }
        found.truncate(at_most);
        Ok(found)
    }

    /// Points an alias at a version, wherever it pointed before.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<()> {
        let body = json!({ "name": name, "alias": alias, "version": version });
        let what = format!("set the alias `{alias}` of `{name}`");
        self.post::<Value>(&what, "registered-models/alias", &body, Repeat::Always).await.map(drop)
    }

    /// Removes an alias; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn delete_alias(&self, name: &str, alias: &str) -> Result<()> {
        let body = json!({ "name": name, "alias": alias });
        let what = format!("remove the alias `{alias}` of `{name}`");
        let done: Result<Value> =
            self.call(&what, Method::DELETE, "registered-models/alias", &body, Repeat::Always).await;
        match done {
            Err(error) if !error.is_absent() => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets a tag of a version.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn set_version_tag(&self, name: &str, version: &str, key: &str, value: &str) -> Result<()> {
        let body = json!({ "name": name, "version": version, "key": key, "value": value });
        let what = format!("tag version {version} of `{name}`");
        self.post::<Value>(&what, "model-versions/set-tag", &body, Repeat::Always).await.map(drop)
    }

    /// Where a version's files are.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn version_uri(&self, name: &str, version: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Uri {
            artifact_uri: String,
        }
        let what = format!("find the files of version {version} of `{name}`");
        let query = [("name", name), ("version", version)];
        Ok(self.get::<Uri>(&what, "model-versions/get-download-uri", &query).await?.artifact_uri)
    }
}

fn name_is(name: &str) -> Result<String> {
    let quoted = filter::quote(name).ok_or_else(|| {
        Error::Request(format!("the model `{name}` cannot be searched for: its name holds quotes"))
    })?;
    Ok(format!("name = {quoted}"))
}
