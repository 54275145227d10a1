//! The manifests that cases put in the place of the page's.

use locum_demo::manifests::{Ref, failover as ordered};

/// A FailoverPolicy for the page's route with a tier for each of these Backends; further fields of
/// its spec are indented by two.
pub(crate) fn failover(tiers: [&str; 2], fields: &str) -> String {
    ordered(&tiers.map(Ref::Backend), fields)
}
