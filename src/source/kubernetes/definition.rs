//! The definition of a kind: whether it is installed, and in which version it is served.
//!
//! In: the kind's CustomResourceDefinition. Out: what is certain. An API server that starts knows
//! its definitions before it serves what they define.

use serde_json::Value;

use super::api::{Failure, Server};
use super::target::Watched;

/// What is certain about a kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Definition {
    /// It is not installed.
    Absent,
    /// The best of the versions that are served and read.
    Serves(&'static str),
}

/// Looks for the definition of a kind.
pub(super) async fn definition(watched: Watched, server: &Server) -> Result<Definition, Failure> {
    match server.get(&watched.definition_path()).await {
        Ok(found) => best(watched, &found),
        Err(failure) if failure.is_absence_of(&watched.resource()) => Ok(Definition::Absent),
        Err(failure) => Err(failure),
    }
}

fn best(watched: Watched, found: &Value) -> Result<Definition, Failure> {
    let versions = found["spec"]["versions"].as_array().into_iter().flatten();
    let served: Vec<&str> = versions
        .filter(|version| version["served"] == true)
        .filter_map(|version| version["name"].as_str())
        .collect();
    let mut read = watched.versions().iter().copied();
    match read.find(|version| served.contains(version)) {
        Some(version) => Ok(Definition::Serves(version)),
        None => Err(Failure::OtherVersions {
            resource: watched.resource(),
            served: served.join(", "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::Kind;

    fn of(versions: Value) -> Result<Definition, Failure> {
        let found = json!({"spec": {"versions": versions}});
        best(Watched::Kind(Kind::ReferenceGrant), &found)
    }

    #[test]
    fn the_best_version_that_is_served_is_taken() {
        let old = json!([{"name": "v1beta1", "served": true}, {"name": "v1", "served": false}]);
        assert_eq!(of(old).unwrap(), Definition::Serves("v1beta1"));
        let both = json!([{"name": "v1beta1", "served": true}, {"name": "v1", "served": true}]);
        assert_eq!(of(both).unwrap(), Definition::Serves("v1"));
    }

    #[test]
    fn versions_that_nobody_reads_are_named() {
        let failure = of(json!([{"name": "v7", "served": true}])).unwrap_err();
        assert!(failure.to_string().contains("v7"), "{failure}");
    }
}
