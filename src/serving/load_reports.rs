//! The load reporting service: Envoy says each second what it sent where.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::load_stats::v3 as load_stats;
use futures::{Stream, StreamExt, stream};
use load_stats::load_reporting_service_server::LoadReportingService;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::serving::{REPORT_INTERVAL, Reporter, Serving};
use crate::trust::Peer;
use crate::xds::proxy::{Admission, Proxy};
use crate::xds::wire;

/// How long a proxy may take to say who it is.
const FIRST_MESSAGE_BOUND: Duration = Duration::from_secs(15);

/// The service; what it hears goes to the books of [`Serving`].
#[derive(Clone)]
pub struct LoadReports {
    serving: Arc<Serving>,
    admission: Admission,
}

impl LoadReports {
    /// A service that enters what it hears in `serving`.
    pub fn new(serving: Arc<Serving>, admission: Admission) -> Self {
        Self { serving, admission }
    }
}

/// One stream, and from its first message on who reports.
struct Reports {
    serving: Arc<Serving>,
    admission: Admission,
    peer: Peer,
    requests: Streaming<load_stats::LoadStatsRequest>,
    known: Option<(Proxy, Reporter)>,
}

impl Reports {
    /// What is to be sent next: how to report, after the first message, and then nothing until the
    /// stream ends.
    async fn next(&mut self) -> Result<Option<load_stats::LoadStatsResponse>, Status> {
        let Some((proxy, reporter)) = &self.known else {
            let first = timeout(FIRST_MESSAGE_BOUND, self.requests.message()).await;
            let first =
                first.map_err(|_| Status::deadline_exceeded("no load report in time"))??;
            let Some(first) = first else { return Ok(None) };
            let proxy = self.admission.admit(first.node.as_ref())?;
            self.peer.may_be_proxy_of(&proxy.gateway)?;
            let reporter = self.serving.reporter(&proxy.gateway);
            reporter.report(&first.cluster_stats);
            self.known = Some((proxy, reporter));
            return Ok(Some(how_to_report()));
        };
        while let Some(report) = self.requests.message().await? {
            proxy.must_be(report.node.as_ref())?;
            reporter.report(&report.cluster_stats);
        }
        Ok(None)
    }
}

/// Everything, every [`REPORT_INTERVAL`].
fn how_to_report() -> load_stats::LoadStatsResponse {
    load_stats::LoadStatsResponse {
        send_all_clusters: true,
        load_reporting_interval: Some(wire::duration(REPORT_INTERVAL)),
        report_endpoint_granularity: true,
        ..Default::default()
    }
}

#[tonic::async_trait]
impl LoadReportingService for LoadReports {
    type StreamLoadStatsStream =
        Pin<Box<dyn Stream<Item = Result<load_stats::LoadStatsResponse, Status>> + Send>>;

    async fn stream_load_stats(
        &self,
        request: Request<Streaming<load_stats::LoadStatsRequest>>,
    ) -> Result<Response<Self::StreamLoadStatsStream>, Status> {
        let peer = Peer::of(&request);
        let left = peer.line().left();
        let reports = Reports {
            serving: self.serving.clone(),
            admission: self.admission,
            peer,
            requests: request.into_inner(),
            known: None,
        };
        let responses = stream::try_unfold(reports, async |mut reports| {
            let next = reports.next().await?;
            Ok(next.map(|next| (next, reports)))
        });
        Ok(Response::new(Box::pin(responses.take_until(left))))
    }
}
