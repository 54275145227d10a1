//! Ending an Envoy that somebody else starts and ends, without a lost request: what the preStop
//! hook of its Pod waits for.
//!
//! First the Envoy says that it is not ready and closes each connection with its next answer. It
//! still takes new ones, because those who send them do not all know at once; so it waits a while,
//! and then until nobody is left. Then it takes no more, finishes what came last, and may be ended.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::admin::{Activity, EnvoyAdmin};
use super::drain::{insist, remains};
use crate::admin_client::AdminError;
use crate::bootstrap::AdminAddress;

/// How long what came last may take when nothing is left of the bound.
const LAST_REQUESTS_BOUND: Duration = Duration::from_millis(500);

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least: load balancers and other proxies need this long to hear of it.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

/// What is done, for who looks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The Envoy says that it is not ready; this much is under way.
    Unready(Activity),
    /// The least wait is over; this much is still under way.
    Waiting(Activity),
    /// It takes no more connections.
    Closed,
}

/// Why an Envoy could not be brought to an end.
#[derive(Debug, thiserror::Error)]
#[error("the Envoy cannot be drained: {0}")]
pub struct ShutdownError(#[from] AdminError);

/// Brings the Envoy whose admin interface is at `admin` to where it can be ended, and returns what
/// was still under way when the time was over; usually nothing.
///
/// # Errors
///
/// When the Envoy is gone, or does not answer until the time is over.
pub async fn shutdown(
    admin: &AdminAddress,
    bounds: Bounds,
    mut tell: impl FnMut(Step),
) -> Result<Activity, ShutdownError> {
    let start = Instant::now();
    let deadline = start + bounds.max;
    let admin = EnvoyAdmin::new(admin.clone());
    insist(deadline, || admin.close_connections_with_answers()).await?;
    tell(Step::Unready(insist(deadline, || admin.activity()).await?));
    sleep_until(deadline.min(start + bounds.min)).await;
    let mut told = None;
    remains(&admin, deadline, |activity| {
        if activity.connections > 0 && told != Some(activity) {
            told = Some(activity);
            tell(Step::Waiting(activity));
        }
        activity.connections == 0
    })
    .await?;
    let last = deadline.max(Instant::now() + LAST_REQUESTS_BOUND);
    insist(last, || admin.stop_listening()).await?;
    tell(Step::Closed);
    let last = deadline.max(Instant::now() + LAST_REQUESTS_BOUND);
    Ok(remains(&admin, last, |activity| activity.requests == 0).await?)
}
