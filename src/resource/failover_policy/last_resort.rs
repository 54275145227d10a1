//! What is answered when no tier can serve.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A media type with its parameters, in visible characters and single blanks.
const CONTENT_TYPE: &str = r"^[!-~]+/[!-~]+( [!-~]+)*$";

/// What the proxy answers when no tier can serve: each was tried or has no endpoint, or the proxy's
/// own limits are reached. An answer that a backend has given is passed on as it is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(self.status in [204, 205, 304])")
        .message("an answer of 204, 205 or 304 has no body, and a last resort has one: use another status")
)]
pub struct LastResort {
    /// The status code; not 204, 205 or 304, whose answers have no body.
    #[serde(default = "unavailable")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body, taken as it is written. Nothing said: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub body: Option<String>,
    /// The body's type.
    #[serde(default = "plain_text")]
    #[schemars(length(min = 3, max = 127), regex(pattern = CONTENT_TYPE))]
    pub content_type: String,
}

fn unavailable() -> u16 {
    503
}

fn plain_text() -> String {
    "text/plain; charset=utf-8".into()
}
