//! Manifests as a user has them: the failover page's, and those that a test or the demo adds, in a
//! folder that Locum watches.
//!
//! Out: files. A file appears, changes and goes in one step, so that no reader sees half of it.

mod chain;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

pub use chain::{
    PASSIVE_CHECK, Ref, backend, backend_fqdn, backend_ip, failover, policy, route, service,
    with_tls,
};

/// The failover page's manifests, in the order in which its reader applies them.
pub const PAGE: [(&str, &str); 5] = [
    ("0-gateway.yaml", include_str!("../page/0-gateway.yaml")),
    ("1-workloads.yaml", include_str!("../page/1-workloads.yaml")),
    ("2-backends.yaml", include_str!("../page/2-backends.yaml")),
    ("3-route.yaml", include_str!("../page/3-route.yaml")),
    ("4-policy.yaml", include_str!("../page/4-policy.yaml")),
];
/// What the page's reader applies to break `active`: its server is on another port then.
pub const BROKEN: (&str, &str) = (
    "5-active-broken.yaml",
    include_str!("../page/5-active-broken.yaml"),
);
/// The host that the page's route is for.
pub const HOST: &str = "www.example.com";
/// A path that it matches.
pub const PATH: &str = "/test";
/// Where the page's Gateway listens: port 80, which an unprivileged proxy binds 10000 higher.
pub const PORT: u16 = 10080;

/// A folder of manifests. It goes when dropped, unless it is kept.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
}

impl Folder {
    /// An empty folder.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("locum-manifests-")
            .tempdir()?;
        Ok(Self { folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a manifest, or puts it in the place of the one of that name.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, name: &str, content: &str) -> io::Result<()> {
        // Written beside the folder: what is half done has another name, and is not in it.
        let parent = self.path().parent().unwrap_or(self.path());
        let file = NamedTempFile::new_in(parent)?;
        fs::write(file.path(), content)?;
        file.persist(self.path().join(name))?;
        Ok(())
    }

    /// Takes a manifest away.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path().join(name))
    }

    /// Leaves the folder where it is when this value has gone.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// An HTTPRoute of the page's Gateway, one of many: `host-N.example.com` to the Backend `backend-N`.
pub fn numbered_route(number: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\n\
         metadata: {{name: route-{number}}}\n\
         spec:\n  \
           hostnames: [host-{number}.example.com]\n  \
           parentRefs: [{{name: eg}}]\n  \
           rules:\n    \
             - backendRefs:\n        \
               - {{group: gateway.envoyproxy.io, kind: Backend, name: backend-{number}, port: 3000}}\n"
    )
}

/// An EndpointSlice, as Kubernetes writes it for a Service: its addresses, which of them are ready,
/// one port.
///
/// All addresses must have the port of the first, as in a slice; an empty list makes an empty
/// slice.
pub fn endpoint_slice(service: &str, endpoints: &[(SocketAddr, bool)]) -> String {
    let mut slice = format!(
        "apiVersion: discovery.k8s.io/v1\n\
         kind: EndpointSlice\n\
         metadata:\n  \
           name: {service}-1\n  \
           labels:\n    \
             kubernetes.io/service-name: {service}\n\
         addressType: IPv4\n"
    );
    let Some((first, _)) = endpoints.first() else {
        return slice + "endpoints: []\nports: []\n";
    };
    slice.push_str("endpoints:\n");
    for (address, ready) in endpoints {
        slice.push_str(&format!(
            "  - addresses: [\"{}\"]\n    conditions: {{ready: {ready}, serving: {ready}, terminating: false}}\n",
            address.ip()
        ));
    }
    let port = first.port();
    slice + &format!("ports:\n  - name: http\n    port: {port}\n    protocol: TCP\n")
}
