//! Ending an Envoy without losing what is under way.
//!
//! First each answer closes its connection and no new connection is taken; when nothing is under
//! way any more, or the bound is over, the process is told to end (Envoy does that at once,
//! whatever is under way).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Order;
use super::admin::{Activity, EnvoyAdmin};
use super::process::Process;
use crate::admin_client::AdminError;

/// How often an Envoy that drains is asked what is under way.
const POLL: Duration = Duration::from_millis(50);
/// Connections that carried no request for so long are taken for idle: their clients only keep them
/// for later.
const IDLE_GRACE: Duration = Duration::from_millis(500);
/// How long an Envoy may take to end once told to.
const TERM_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the kernel may take to end it then.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Drains the process, at most `bound`, and ends it. [`Order::End`] cuts the drain short.
pub(super) async fn drain_and_end(
    mut process: Process,
    admin: &EnvoyAdmin,
    bound: Duration,
    orders: &mut watch::Receiver<Order>,
) {
    if !bound.is_zero() {
        tokio::select! {
            () = drained(admin, bound) => {}
            _ = process.ended() => return,
            _ = orders.wait_for(|order| *order == Order::End) => {}
        }
    }
    process.terminate();
    if process.ends_within(TERM_TIMEOUT).await {
        return;
    }
    tracing::warn!(
        pid = process.pid,
        "Envoy does not end when told to and is killed"
    );
    process.kill();
    if !process.ends_within(KILL_TIMEOUT).await {
        tracing::error!(pid = process.pid, "Envoy cannot be killed");
    }
}

/// Waits until nothing is under way, at most `bound`.
async fn drained(admin: &EnvoyAdmin, bound: Duration) {
    let deadline = Instant::now() + bound;
    let told = async {
        insist(deadline, || admin.close_connections_with_answers()).await?;
        insist(deadline, || admin.stop_listening()).await
    };
    if let Err(error) = told.await {
        tracing::warn!(%error, "Envoy cannot be drained");
        return;
    }
    let mut quiet_since = None;
    let quiet = |activity: Activity| match activity {
        Activity { connections: 0, .. } => true,
        Activity { requests: 0, .. } => {
            quiet_since.get_or_insert_with(Instant::now).elapsed() >= IDLE_GRACE
        }
        _ => {
            quiet_since = None;
            false
        }
    };
    match remains(admin, deadline, quiet).await {
        Ok(Activity { requests: 0, .. }) => {}
        Ok(_) => tracing::warn!("requests are still under way at the end of --drain-timeout"),
        Err(error) => tracing::warn!(%error, "Envoy does not say what is under way"),
    }
}

/// Asks until there is an answer, at the longest until `deadline`. An Envoy whose main thread is
/// busy with a large configuration answers late, and to end it then would lose what is under way.
/// One that is gone is not asked again.
pub(super) async fn insist<T, F>(deadline: Instant, ask: impl Fn() -> F) -> Result<T, AdminError>
where
    F: Future<Output = Result<T, AdminError>>,
{
    loop {
        match ask().await {
            Err(error) if !error.is_gone() && Instant::now() < deadline => {
                tracing::debug!(%error, "asked again");
                sleep(POLL).await;
            }
            answered => return answered,
        }
    }
}

/// Asks what is under way until it is little enough, at the longest until `deadline`, and returns
/// what it was at last.
pub(super) async fn remains(
    admin: &EnvoyAdmin,
    deadline: Instant,
    mut enough: impl FnMut(Activity) -> bool,
) -> Result<Activity, AdminError> {
    loop {
        let activity = insist(deadline, || admin.activity()).await?;
        if enough(activity) || Instant::now() >= deadline {
            return Ok(activity);
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use super::*;

    /// Asks something that fails twice like this, and counts how often it was asked.
    async fn asked(failure: impl Fn() -> AdminError) -> (Result<u32, AdminError>, u32) {
        let count = Cell::new(0);
        let ask = || {
            count.set(count.get() + 1);
            let answer = match count.get() {
                ..=2 => Err(failure()),
                third => Ok(third),
            };
            async { answer }
        };
        let answer = insist(Instant::now() + Duration::from_secs(10), ask).await;
        (answer, count.get())
    }

    #[tokio::test]
    async fn an_envoy_that_is_busy_is_asked_again() {
        let (answer, count) = asked(|| AdminError::Silent(Duration::ZERO)).await;
        assert_eq!((answer.ok(), count), (Some(3), 3));
    }

    #[tokio::test]
    async fn one_that_is_gone_is_not() {
        let gone = || AdminError::Socket(io::ErrorKind::ConnectionRefused.into());
        let (answer, count) = asked(gone).await;
        assert!(answer.is_err_and(|error| error.is_gone()));
        assert_eq!(count, 1);
    }
}
