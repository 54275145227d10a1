//! Kubernetes as a source: watches over an API server.
//!
//! Out so far: [`Seen`], what the API server holds of the objects that carry a status.

mod seen;

pub use seen::{Observed, Refused, Seen};
