//! Files as a source, on a real file system.

mod load;
mod strange;
mod watch;

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::resource::Object;

fn backend(name: &str, port: u16) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata:\n  name: {name}\nspec:\n  \
         endpoints:\n    - fqdn:\n        hostname: {name}.example.com\n        port: {port}\n"
    )
}

fn route(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\nspec:\n  \
         parentRefs:\n    - name: eg\n  hostnames:\n    - {name}.example.com\n  rules:\n    - matches:\n        \
         - path:\n            type: PathPrefix\n            value: /\n      backendRefs:\n        - name: \
         svc\n          port: 80\n"
    )
}

/// A directory and the source that reads it.
struct Fixture {
    directory: TempDir,
    files: Files,
}

impl Fixture {
    fn new(contents: &[(&str, String)]) -> Self {
        let directory = TempDir::new().unwrap();
        for (name, text) in contents {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let files = Files::new(vec![directory.path().to_owned()], "default".into());
        Self { directory, files }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.directory.path().join(name)).unwrap();
    }

    fn load(&mut self) -> Update {
        self.files.load().unwrap()
    }
}

/// The changes in words: `+Backend default/a:80`, `-Backend default/a`, `synced`.
fn words(update: &Update) -> Vec<String> {
    let word = |change: &Change| match change {
        Change::Applied(Object::Backend(backend)) => {
            let endpoint = backend.spec.endpoints[0].fqdn.as_ref().unwrap();
            format!(
                "+{}:{}",
                backend.metadata.name.as_ref().unwrap(),
                endpoint.port
            )
        }
        Change::Applied(object) => format!("+{}", object.key()),
        Change::Deleted(key) => format!("-{}", key.object.name),
        Change::Synced => "synced".into(),
        Change::Passed(time) => time.to_string(),
    };
    update.changes.iter().map(word).collect()
}

/// The errors in short: `file:line field reason`.
fn errors(update: &Update) -> Vec<String> {
    let errors = update
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    errors
        .map(|finding| {
            let location = finding.location.as_ref().unwrap();
            let file = location.file.file_name().unwrap_or_default();
            format!(
                "{}:{} {} {}",
                file.display(),
                location.line,
                finding.field,
                finding.reason
            )
        })
        .collect()
}
