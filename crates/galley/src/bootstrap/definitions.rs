//! The Gateway API's definitions, from the file of a release, for a cluster that has none.

use std::path::Path;

use galley_cluster::{ApplyOptions, Cluster, Home, Lock, PlanOptions};
use galley_problem::{Kind, Problem};
use serde_json::Value;

use super::{PATIENCE, holder, report};
use crate::{cli::cluster::Bootstrap, voice};

/// The group whose kinds are to be defined.
const GROUP: &str = "gateway.networking.k8s.io";
/// A release's file has less than 1 MiB.
const LIMIT: u64 = 16 << 20;

/// Applies the definitions in a file, unless this is a dry run; whether they are there now. They are part of what
/// `--remove` takes away.
///
/// # Errors
/// G0301 to G0306 for a file that cannot be read, G1123 for one that holds something else, G11xx if the cluster refuses.
pub async fn bring(cluster: &Cluster, file: &Path, args: &Bootstrap) -> Result<bool, Problem> {
    let objects = read(file)?;
    let options = PlanOptions { force: args.force_conflicts };
    let plan = cluster.plan(&objects, &options).await?;
    if args.dry_run {
        report::plan(&plan, &args.output)?;
        voice::talk("Notice: everything else can be planned once the Gateway API's definitions are there.");
        return Ok(false);
    }
    let lock = Lock::take(cluster, &Home::default(), &holder(), PATIENCE).await?;
    cluster.apply(&plan, &lock, &ApplyOptions::default(), &report::Lines).await?;
    lock.release().await?;
    Ok(true)
}

fn read(file: &Path) -> Result<Vec<Value>, Problem> {
    let size = std::fs::metadata(file).map_err(|e| crate::io(file, "reading", &e))?.len();
    if size > LIMIT {
        return Err(strange(file, &format!("It has {size} bytes.")));
    }
    let text = std::fs::read_to_string(file).map_err(|e| crate::io(file, "reading", &e))?;
    let documents = galley_yaml::parse_documents(&file.display().to_string(), &text)?;
    let objects: Vec<Value> =
        documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect();
    for object in &objects {
        let kind = object["kind"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        // Newer releases bring an admission policy that keeps older definitions from coming back.
        let known = match kind {
            "CustomResourceDefinition" => object["spec"]["group"] == GROUP,
            "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" => name.contains("gateway"),
            _ => false,
        };
        if !known {
            return Err(strange(file, &format!("{kind} {name} is in it.")));
        }
    }
    let of_routes = |object: &Value| object["metadata"]["name"] == format!("httproutes.{GROUP}");
    if !objects.iter().any(of_routes) {
        return Err(strange(file, "It does not define HTTPRoutes."));
    }
    Ok(objects)
}

fn strange(file: &Path, why: &str) -> Problem {
    let what = format!("{} is not the Gateway API's file of definitions.", file.display());
    Problem::new("G1123", Kind::Invalid, what)
        .because_of(why)
        .try_this("Take `standard-install.yaml` of a release of kubernetes-sigs/gateway-api.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    const ROUTES: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
        metadata: {name: httproutes.gateway.networking.k8s.io}\nspec: {group: gateway.networking.k8s.io}\n";

    #[test]
    fn only_the_gateway_apis_own_definitions_are_brought() {
        assert_eq!(read(file(&format!("# release\n---\n{ROUTES}---\n")).path()).unwrap().len(), 1);
        let more = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: evil}\n";
        let problem = read(file(&format!("{ROUTES}{more}")).path()).unwrap_err();
        assert_eq!(problem.code, "G1123");
        assert!(problem.causes[0].contains("Secret evil"), "{problem:?}");
        assert_eq!(read(file("").path()).unwrap_err().code, "G1123");
    }
}
