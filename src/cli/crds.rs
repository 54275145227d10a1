//! `locum crds`: the CustomResourceDefinitions to install in a cluster that has none of Envoy
//! Gateway's.

use std::process::ExitCode;

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::options::Misuse;
use super::output::{FormatOption, write_documents};
use crate::resource::crds;

/// Print the CustomResourceDefinitions of the kinds that Locum brings along
///
/// Their names, groups and versions are Envoy Gateway's. Where Envoy Gateway has installed its own,
/// leave those as they are: Locum reads them, and Envoy Gateway needs every field of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum crds | kubectl apply --server-side -f -
  locum crds backends
  locum crds btp -o json")]
pub(super) struct Options {
    /// Only these: each by its plural, its kind, a short name or its full name
    names: Vec<String>,
    #[command(flatten)]
    form: FormatOption,
}

impl Options {
    /// Prints the definitions.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let chosen = chosen(&self.names)?;
        let documents: Vec<Value> = chosen.iter().map(crds::document).collect();
        write_documents(&documents, self.form.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The definitions that are called so; all, where no name is given.
pub(super) fn chosen(names: &[String]) -> Result<Vec<CustomResourceDefinition>, Misuse> {
    let mut chosen = crds::all();
    if let Some(unknown) = names
        .iter()
        .find(|name| !chosen.iter().any(|crd| crds::is_called(crd, name)))
    {
        let known: Vec<&str> = chosen
            .iter()
            .map(|crd| crd.spec.names.plural.as_str())
            .collect();
        let message = format!(
            "no definition is called {unknown:?}; there are {}",
            known.join(", ")
        );
        return Err(Misuse::new(message));
    }
    if !names.is_empty() {
        chosen.retain(|crd| names.iter().any(|name| crds::is_called(crd, name)));
    }
    Ok(chosen)
}
