//! The codes of what may keep a chain from failing over: one table, from which `locum check
//! --codes`, `--explain` and the rules of SARIF are printed.
//!
//! A code never changes its meaning and is never used again for another one. What is simply wrong
//! with an object has its reason for a code.

use crate::status::reasons;

/// What one code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `LOC` and three digits.
    pub id: &'static str,
    /// The reason that conditions and problems give for it.
    pub reason: &'static str,
    /// What is found, in a few words.
    pub title: &'static str,
    /// What follows from it.
    pub why: &'static str,
    /// What to write, and where.
    pub mend: &'static str,
    /// Whether a chain is not ready to fail over with it.
    pub stands_against: bool,
}

/// All codes, in their order.
pub const CODES: [Code; 19] = [
    Code {
        id: "LOC101",
        reason: reasons::STANDBY_WITHOUT_ENDPOINTS,
        title: "A standby has no endpoint that could serve",
        why: "When the tiers before it fail, nothing takes over in this tier. Endpoints that are not \
              ready or draining count as none.",
        mend: "Bring up the Service's Pods, or correct the backendRef or the Backend's endpoints.",
        stands_against: true,
    },
    Code {
        id: "LOC102",
        reason: reasons::ACTIVE_WITHOUT_ENDPOINTS,
        title: "The first tier has no endpoint that could serve",
        why: "The standby serves already, and one tier fewer is behind it.",
        mend: "Bring up the Service's Pods, or correct the backendRef or the Backend's endpoints.",
        stands_against: true,
    },
    Code {
        id: "LOC103",
        reason: reasons::TIER_DRAINED,
        title: "A tier is drained",
        why: "A FailoverPolicy keeps every request from it, so it takes nothing over.",
        mend: "Take `drain` out of the tier in spec.tiers of the FailoverPolicy when the work is done.",
        stands_against: true,
    },
    Code {
        id: "LOC104",
        reason: reasons::ENDPOINT_IN_TWO_TIERS,
        title: "An endpoint is in two tiers",
        why: "It cannot stand in for itself: when it dies, both tiers are short of it.",
        mend: "Take it out of one of the two, in the rule's backendRefs or the Backends' endpoints.",
        stands_against: true,
    },
    Code {
        id: "LOC105",
        reason: reasons::NAME_NOT_RESOLVED,
        title: "A name does not resolve",
        why: "A member that DNS does not know has no endpoints. The names were looked up where `check \
              --resolve` ran, which may have another DNS than the proxies.",
        mend: "Correct the name there, or make it known to the proxies' DNS.",
        stands_against: true,
    },
    Code {
        id: "LOC106",
        reason: reasons::NOTHING_SERVES,
        title: "No tier serves",
        why: "A FailoverPolicy keeps every request from the tiers that could serve, so each is answered as a \
              last resort.",
        mend: "Take `drain` out of a tier that can serve, in spec.tiers of the FailoverPolicy.",
        stands_against: true,
    },
    Code {
        id: "LOC201",
        reason: reasons::DETECTION_OFF,
        title: "Nothing finds out that an endpoint has failed",
        why: "No threshold of passive detection can ever be reached and nothing is probed, so requests go to \
              a dead endpoint for as long as it is listed.",
        mend: "Write healthCheck.passive.consecutive5XxErrors or consecutiveGatewayErrors of 1 or more, or \
               healthCheck.active, in a BackendTrafficPolicy; or leave healthCheck out for Locum's defaults.",
        stands_against: true,
    },
    Code {
        id: "LOC202",
        reason: reasons::EJECTION_LIMIT_TOO_LOW,
        title: "The ejection limit keeps a tier from being taken out",
        why: "Envoy takes out so many percent of a cluster's endpoints, all its tiers counted together and \
              rounded down. The endpoints beyond that stay in, whatever they answer, and as long as one is in, \
              requests go to it. A name counts as one endpoint here, as many as it resolves to in Envoy.",
        mend: "Write healthCheck.passive.maxEjectionPercent: 100 in the BackendTrafficPolicy.",
        stands_against: true,
    },
    Code {
        id: "LOC203",
        reason: reasons::EJECTION_LIMIT_LEFT_OUT,
        title: "The ejection limit is left out, and Envoy Gateway's would keep a tier in",
        why: "Locum takes 100 percent. Envoy Gateway, and an API server with its definition of the policy, \
              fill in 10, so the same manifest cannot fail over there.",
        mend: "Write healthCheck.passive.maxEjectionPercent: 100 in the BackendTrafficPolicy, which means the \
               same everywhere.",
        stands_against: false,
    },
    Code {
        id: "LOC204",
        reason: reasons::THRESHOLD_OF_ONE,
        title: "One 500 of the application takes its endpoint out",
        why: "consecutive5XxErrors counts every 5xx. A single URL that answers 500 takes the endpoint out, \
              and then, tier by tier, all others that it is sent to. A note where nothing else counts failed \
              connections, since those are then found at the first.",
        mend: "Write consecutiveGatewayErrors: 1 and consecutive5XxErrors: 0 in healthCheck.passive: failed \
               connections, 502, 503 and 504 count, answers of 500 do not.",
        stands_against: false,
    },
    Code {
        id: "LOC205",
        reason: reasons::HANG_NOT_FOUND,
        title: "Nothing finds an endpoint that hangs",
        why: "An endpoint that takes connections and never answers fails only by a time limit, and none is \
              set that counts; it is not probed either. Requests to it hang for ever.",
        mend: "Write timeouts.backendRequest in the rule, or retry.perRetry.timeout or healthCheck.active in a \
               BackendTrafficPolicy.",
        stands_against: true,
    },
    Code {
        id: "LOC206",
        reason: reasons::HANG_FOUND_LATE,
        title: "An endpoint that hangs is found by the time limit of a whole request",
        why: "Each request to it until then is lost after the whole time, since none is left for another attempt.",
        mend: "Write timeouts.backendRequest in the rule, or retry.perRetry.timeout or healthCheck.active in a \
               BackendTrafficPolicy.",
        stands_against: false,
    },
    Code {
        id: "LOC207",
        reason: reasons::NOT_PROBED,
        title: "A tier's own health check does nothing",
        why: "A FailoverPolicy's tier changes the chain's active health check; there is none, or none that \
              has what is changed.",
        mend: "Write healthCheck.active in the BackendTrafficPolicy of the route.",
        stands_against: false,
    },
    Code {
        id: "LOC208",
        reason: reasons::LEFT_TO_DNS,
        title: "A Service's name is left to DNS",
        why: "The Service is known and its endpoints are not, so Envoy looks its name up. `check --resolve` says \
              whether that leads anywhere.",
        mend: "Add the Service's EndpointSlices to the manifests, or let the proxies ask the cluster's DNS.",
        stands_against: false,
    },
    Code {
        id: "LOC301",
        reason: reasons::RETRIES_OFF,
        title: "Requests are not tried again",
        why: "Those that meet a tier as it dies, before it is taken out, are lost.",
        mend: "Take retry.numRetries: 0 out of the BackendTrafficPolicy, or retry.attempts: 0 out of the \
               FailoverPolicy, or maxParallelRetries: 0 out of circuitBreaker.",
        stands_against: true,
    },
    Code {
        id: "LOC302",
        reason: reasons::RETRIES_DO_NOT_REACH_STANDBY,
        title: "The retries do not reach the last tier",
        why: "A request leaves a tier after numAttemptsPerPriority attempts. With too few retries, or without \
              that number, it never comes to a standby while the tier before it counts as well.",
        mend: "Write retry.numRetries of at least numAttemptsPerPriority times the tiers before the last, and \
               numAttemptsPerPriority of 1 or more; or leave both out.",
        stands_against: true,
    },
    Code {
        id: "LOC303",
        reason: reasons::BREAKER_BELOW_RETRIES,
        title: "The circuit breaker is smaller than the retries",
        why: "When a tier dies, everything under way is tried again at once. What goes beyond the limit is \
              answered 503, though a standby is well.",
        mend: "Raise maxParallelRetries and maxPendingRequests of circuitBreaker to what may be under way: the \
               lesser of maxParallelRequests and, in HTTP/1.1, maxConnections; or retryBudget to 100 percent.",
        stands_against: true,
    },
    Code {
        id: "LOC401",
        reason: reasons::POLICY_OVERRIDDEN,
        title: "A policy is overridden by a narrower one",
        why: "Of two policies the narrower holds alone, field by field nothing is inherited: detection, retries \
              and limits of the wider one are lost where the narrower does not repeat them.",
        mend: "Write mergeType: StrategicMerge in the route's BackendTrafficPolicy, or repeat the fields there.",
        stands_against: false,
    },
    Code {
        id: "LOC402",
        reason: reasons::CONFLICTED,
        title: "A policy does nothing: an older one has its target",
        why: "Of two policies for one target the older holds, whole.",
        mend: "Delete one of the two, or give it another target or sectionName.",
        stands_against: false,
    },
];

/// The code of a reason: that of the table, else the reason itself.
pub fn of(reason: &str) -> &str {
    in_table(reason).map_or(reason, |code| code.id)
}

/// What the table says of a code or of a reason.
pub fn in_table(code_or_reason: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| {
        code.id.eq_ignore_ascii_case(code_or_reason)
            || code.reason.eq_ignore_ascii_case(code_or_reason)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_and_a_reason_are_there_once_and_in_order() {
        assert!(CODES.is_sorted_by_key(|code| code.id));
        let ids: BTreeSet<_> = CODES.iter().map(|code| code.id).collect();
        let reasons: BTreeSet<_> = CODES.iter().map(|code| code.reason).collect();
        assert_eq!((ids.len(), reasons.len()), (CODES.len(), CODES.len()));
        for code in &CODES {
            let digits = code.id.strip_prefix("LOC").expect("LOC comes first");
            assert!(digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()));
            assert!(
                code.mend.ends_with('.') && code.why.ends_with('.'),
                "{}",
                code.id
            );
        }
    }

    #[test]
    fn what_is_not_in_the_table_has_its_reason_for_a_code() {
        assert_eq!(of(reasons::DETECTION_OFF), "LOC201");
        assert_eq!(of(reasons::BACKEND_NOT_FOUND), reasons::BACKEND_NOT_FOUND);
        assert_eq!(in_table("loc201"), in_table(reasons::DETECTION_OFF));
        assert_eq!(in_table(reasons::BACKEND_NOT_FOUND), None);
    }
}
