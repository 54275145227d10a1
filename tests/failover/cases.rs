//! The cases, by what goes wrong.

mod absent;
mod answers;
mod checks;
mod credentials;
mod double;
mod edits;
mod endpoints;
mod example;
mod locum;
mod names;
mod outage;
mod rescue;
mod silence;
mod start;
mod steering;
mod tls;

use std::pin::Pin;

use crate::bench::Bench;

/// A case's work; it need not be sent, each case has a runtime of its own.
type Work = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A case: its name, whether it runs in a namespace of its own, and what it does.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) inside: bool,
    pub(crate) run: fn(Bench) -> Work,
}

macro_rules! cases {
    ($($inside:literal $group:ident :: $case:ident),* $(,)?) => {
        [$(Case {
            name: stringify!($case),
            inside: $inside,
            run: |bench| Box::pin($group::$case(bench)),
        }),*]
    };
}

/// All cases; those that take long come first, so that they run beside the short ones.
pub(crate) fn all() -> Vec<Case> {
    Vec::from(cases![
        false outage::the_page_loses_nothing,
        false outage::no_policy_at_all_loses_nothing,
        false outage::a_post_is_lost_only_in_flight_and_never_executed_twice,
        true names::active_ip_and_passive_name,
        true names::active_service_and_passive_name,
        true names::active_name_and_passive_ip,
        true names::active_resolves_late,
        true silence::vanished_packets_with_a_timeout_per_try_lose_nothing,
        true silence::vanished_packets_with_no_policy_are_bounded,
        false silence::a_hang_with_a_timeout_per_try_loses_nothing,
        false silence::a_hang_with_no_policy_is_bounded,
        false answers::active_answers_503,
        false answers::active_answers_503_which_is_retried,
        false answers::active_breaks_off_and_is_taken_out,
        false answers::one_bad_url_touches_no_other,
        false answers::one_bad_url_under_the_pages_policy_loses_no_other,
        false double::two_of_three_tiers_die_at_once,
        false outage::both_die_and_one_returns,
        false outage::one_of_three_dies_and_the_standby_gets_nothing,
        false outage::a_closed_loop_loses_nothing,
        false locum::a_dead_locum_changes_nothing,
        false edits::fifty_edits_lose_nothing,
        false edits::a_new_port_is_served_without_loss,
        false endpoints::an_emptied_slice_loses_nothing,
        false endpoints::pods_that_turn_unready_lose_nothing,
        false absent::the_standby_deleted,
        false absent::the_standby_invalid,
        false absent::the_standby_without_endpoints,
        false absent::active_missing,
        false absent::active_invalid,
        false absent::active_without_endpoints,
        false steering::a_policy_comes_and_goes,
        true steering::a_policy_over_names_comes_and_goes,
        false steering::a_tier_under_its_threshold_spills,
        false steering::a_pin_ends_by_itself,
        false steering::pinned_and_the_pinned_dies_with_locum,
        true steering::pinned_names_and_the_pinned_dies_with_locum,
        false steering::a_drained_tier_gets_nothing_whatever_dies,
        true steering::drained_names_get_nothing_whatever_dies,
        false checks::two_hundred_rules_share_a_cluster_and_its_probes,
        false checks::a_tier_is_probed_at_a_path_of_its_own,
        true checks::a_tier_has_a_connect_timeout_of_its_own,
        false rescue::a_body_of_a_mebibyte_is_rescued,
        false rescue::answers_of_429_go_on_to_the_next_tier,
        false rescue::a_last_resort_is_answered_when_all_are_gone,
        true example::the_three_tiers_of_the_example,
        false tls::backends_with_tls_fail_over,
        false tls::authorities_and_certificates_are_renewed,
        false tls::a_certificate_for_another_name_is_a_failed_backend,
        false credentials::a_credential_stays_with_its_tier,
        true credentials::a_credential_stays_with_its_cluster,
        false start::the_first_answer_comes_soon,
        false start::a_thousand_routes_start_and_change,
    ])
}
