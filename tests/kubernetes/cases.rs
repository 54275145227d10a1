//! The cases, by their subject.

mod mistakes;
mod others;
mod outage;
mod page;
mod replicas;
mod rig;
mod role;
mod rollouts;
mod routes;
mod trust;
mod witness;

use std::pin::Pin;

use crate::bench::Bench;

/// A case's work; it need not be sent, each case has a runtime of its own.
type Work<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A case: its name, the cluster that it needs, and what it does.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) run: for<'a> fn(&'a Bench) -> Work<'a>,
}

/// What cluster a case can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Any that has what the case's manifests ask for.
    AnyCluster,
    /// The project's own: it does to it what nobody does to a cluster of others.
    OwnCluster,
}

macro_rules! cases {
    ($($needs:ident $group:ident :: $case:ident),* $(,)?) => {
        [$(Case {
            name: stringify!($case),
            needs: Needs::$needs,
            run: |bench| Box::pin($group::$case(bench)),
        }),*]
    };
}

/// All cases, in the order in which they run: first that the cluster itself works.
pub(crate) fn all() -> Vec<Case> {
    Vec::from(cases![
        AnyCluster rig::a_pod_answers_through_an_outer_address,
        OwnCluster rig::a_name_leads_to_a_service_and_it_to_a_pod,
        OwnCluster rig::the_api_server_stops_and_comes_back,
        AnyCluster mistakes::what_a_definition_can_say_is_refused,
        AnyCluster replicas::the_leader_writes_what_another_replicas_envoy_acknowledged,
        AnyCluster replicas::a_leader_that_is_killed_is_followed_within_its_lease,
        AnyCluster replicas::a_leader_that_ends_hands_on,
        AnyCluster trust::replicas_make_one_certificate,
        AnyCluster trust::a_certificate_of_somebody_else_is_left_alone,
        AnyCluster trust::an_authority_that_is_due_hands_over,
        AnyCluster page::the_page_loses_nothing,
        AnyCluster rollouts::a_rollout_of_locum_is_not_noticed,
        OwnCluster rollouts::the_leader_dies_and_another_writes,
        AnyCluster rollouts::a_rollout_of_envoy_loses_nothing,
        AnyCluster rollouts::envoys_are_scaled_and_lose_nothing,
        OwnCluster outage::active_dies_while_the_api_server_is_away,
        AnyCluster mistakes::what_no_definition_can_say_stands_in_a_status,
        AnyCluster others::what_other_controllers_say_is_never_touched,
        AnyCluster routes::a_route_beside_200_others_is_404_until_it_serves,
        AnyCluster routes::a_thousand_routes_are_counted_and_leave_nothing,
        OwnCluster role::what_locum_asks_for_is_what_its_role_grants,
    ])
}
