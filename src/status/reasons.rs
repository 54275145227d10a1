//! The words of conditions and problems: condition types and reasons, each spelled once.
//!
//! Where Gateway API or Envoy Gateway has a word, it is theirs; the others are Locum's and as
//! stable.

/// Condition types.
pub mod kind {
    pub const ACCEPTED: &str = "Accepted";
    pub const PROGRAMMED: &str = "Programmed";
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    pub const CONFLICTED: &str = "Conflicted";
    /// Some rules of a route are served and some are refused.
    pub const PARTIALLY_INVALID: &str = "PartiallyInvalid";
    /// Whether any backend of a route has endpoints (Envoy Gateway's condition).
    pub const BACKENDS_AVAILABLE: &str = "BackendsAvailable";
    /// Whether a route's standbys can take over now, and are let (Locum's own condition).
    pub const FAILOVER_READY: &str = "locum.dev/FailoverReady";
    /// A policy has more ancestors than a status has room for (Envoy Gateway's condition).
    pub const AGGREGATED: &str = "Aggregated";
    /// A policy is merged with another (Envoy Gateway's condition, as are the next two).
    pub const MERGED: &str = "Merged";
    /// A narrower policy stands instead of this one somewhere.
    pub const OVERRIDDEN: &str = "Overridden";
    /// What a policy's owner should know of one that is accepted.
    pub const WARNING: &str = "Warning";
}

// Of more than one kind.
pub const ACCEPTED: &str = "Accepted";
pub const PROGRAMMED: &str = "Programmed";
pub const RESOLVED_REFS: &str = "ResolvedRefs";
pub const INVALID: &str = "Invalid";
pub const UNSUPPORTED_VALUE: &str = "UnsupportedValue";
pub const REF_NOT_PERMITTED: &str = "RefNotPermitted";
/// A proxy will not have what was made from the resource (Locum's word).
pub const REFUSED: &str = "Refused";

// GatewayClasses and Gateways.
pub const UNKNOWN_CONTROLLER: &str = "UnknownController";
pub const INVALID_PARAMETERS: &str = "InvalidParameters";
pub const GATEWAY_CLASS_NOT_FOUND: &str = "GatewayClassNotFound";
pub const LISTENERS_NOT_VALID: &str = "ListenersNotValid";
pub const UNSUPPORTED_ADDRESS: &str = "UnsupportedAddress";
/// No proxy serves the Gateway's present generation yet, or no Service leads to a listener.
pub const PENDING: &str = "Pending";
/// Nothing says where clients reach the Gateway.
pub const ADDRESS_NOT_ASSIGNED: &str = "AddressNotAssigned";

// Listeners.
pub const NO_CONFLICTS: &str = "NoConflicts";
pub const HOSTNAME_CONFLICT: &str = "HostnameConflict";
pub const PROTOCOL_CONFLICT: &str = "ProtocolConflict";
pub const PORT_UNAVAILABLE: &str = "PortUnavailable";
pub const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";
pub const INVALID_ROUTE_KINDS: &str = "InvalidRouteKinds";
pub const INVALID_CERTIFICATE_REF: &str = "InvalidCertificateRef";

// Routes and their parents.
pub const PARENT_NOT_FOUND: &str = "ParentNotFound";
pub const PARENT_NOT_SERVED: &str = "ParentNotServed";
pub const NO_PARENT: &str = "NoParent";
pub const NO_MATCHING_PARENT: &str = "NoMatchingParent";
pub const NO_MATCHING_LISTENER_HOSTNAME: &str = "NoMatchingListenerHostname";
pub const NOT_ALLOWED_BY_LISTENERS: &str = "NotAllowedByListeners";
pub const NO_READY_LISTENERS: &str = "NoReadyListeners";

// Backend references.
pub const INVALID_KIND: &str = "InvalidKind";
pub const BACKEND_NOT_FOUND: &str = "BackendNotFound";
/// Nothing to send requests to: no reference, or none whose weight is above zero.
pub const NO_BACKENDS: &str = "NoBackends";
pub const PORT_NOT_SPECIFIED: &str = "PortNotSpecified";
pub const PORT_NOT_FOUND: &str = "PortNotFound";
pub const INVALID_BACKEND_REF: &str = "InvalidBackendRef";
/// Envoy Gateway's word for TLS towards a backend that cannot be had as its Backend says.
pub const INVALID_BACKEND_TLS: &str = "InvalidBackendTLS";
pub const INVALID_ADDRESS: &str = "InvalidAddress";
pub const UNSUPPORTED_ADDRESS_MIX: &str = "UnsupportedAddressMix";
pub const UNSUPPORTED_PROTOCOL_MIX: &str = "UnsupportedProtocolMix";
/// Something that is said and changes nothing.
pub const NO_EFFECT: &str = "NoEffect";
/// An endpoint with TLS has no name to be asked for by.
pub const NO_SERVER_NAME: &str = "NoServerName";
/// A Service is known, its endpoints are not: whether its name leads anywhere, only DNS knows.
pub const LEFT_TO_DNS: &str = "LeftToDns";
pub const ENDPOINTS_NOT_FOUND: &str = "EndpointsNotFound";
/// A name inside the cluster of a Service that is not there.
pub const SERVICE_NOT_FOUND: &str = "ServiceNotFound";

// Policies.
pub const CONFLICTED: &str = "Conflicted";
pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
pub const AGGREGATED: &str = "Aggregated";
pub const MERGED: &str = "Merged";
pub const OVERRIDDEN: &str = "Overridden";
pub const DEPRECATED_FIELD: &str = "DeprecatedField";
/// A policy that guards its targets is not supported yet: they are closed.
pub const GUARD_NOT_SUPPORTED: &str = "GuardNotSupported";

// Chains that serve now, and may or may not when they must. Each has a code and a text in
// `problem/codes.rs`.
pub const READY: &str = "Ready";
/// The standby serves, and nothing is behind it.
pub const ACTIVE_WITHOUT_ENDPOINTS: &str = "ActiveWithoutEndpoints";
pub const STANDBY_WITHOUT_ENDPOINTS: &str = "StandbyWithoutEndpoints";
/// A FailoverPolicy keeps requests from a tier.
pub const TIER_DRAINED: &str = "TierDrained";
/// Every tier is drained, or has nothing.
pub const NOTHING_SERVES: &str = "NothingServes";
/// A tier's own health check where nothing is probed.
pub const NOT_PROBED: &str = "NotProbed";
pub const DETECTION_OFF: &str = "DetectionOff";
pub const EJECTION_LIMIT_TOO_LOW: &str = "EjectionLimitTooLow";
pub const EJECTION_LIMIT_LEFT_OUT: &str = "EjectionLimitLeftOut";
pub const THRESHOLD_OF_ONE: &str = "ThresholdOfOne";
pub const HANG_NOT_FOUND: &str = "HangNotFound";
/// Only the time limit of the whole request finds one.
pub const HANG_FOUND_LATE: &str = "HangFoundLate";
pub const RETRIES_OFF: &str = "RetriesOff";
pub const RETRIES_DO_NOT_REACH_STANDBY: &str = "RetriesDoNotReachStandby";
pub const BREAKER_BELOW_RETRIES: &str = "BreakerBelowRetries";
pub const ENDPOINT_IN_TWO_TIERS: &str = "EndpointInTwoTiers";
pub const POLICY_OVERRIDDEN: &str = "PolicyOverridden";
/// A name that no resolver knows, as far as `check --resolve` was told.
pub const NAME_NOT_RESOLVED: &str = "NameNotResolved";
