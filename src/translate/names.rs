//! Names: the only place where the names of Envoy's objects are made.
//!
//! A name says what a thing is, in words a reader of `config_dump` knows again, and is the same in
//! every replica and after a restart. Nothing here depends on the content of a policy or a backend,
//! only on what they are called, so an edit updates the Envoy object in place.

use std::fmt::Write as _;

use crate::model::{ChainName, HeaderChanges, SecretName};
use crate::resource::ObjectName;

/// The longest name that is left as it is; a longer one keeps its beginning and gets a hash of the
/// whole.
const MAX_NAME: usize = 200;

/// The Envoy listener of one port of a Gateway: `<namespace>/<gateway>/<port>`.
pub fn listener(gateway: &ObjectName, port: u16) -> String {
    bounded(format!("{gateway}/{port}"))
}

/// The route configuration of one port of a Gateway, named as its listener is.
pub fn route_config(gateway: &ObjectName, port: u16) -> String {
    listener(gateway, port)
}

/// A virtual host, named for its domain, which is unique in its route configuration.
pub fn virtual_host(gateway: &ObjectName, port: u16, domain: &str) -> String {
    bounded(format!("{gateway}/{port}/{domain}"))
}

/// One match of one rule of an HTTPRoute, counted from 0:
/// `<namespace>/<route>/rule/<rule>/match/<match>`.
pub fn route(route: &ObjectName, rule: usize, matched: usize) -> String {
    bounded(format!("{route}/rule/{rule}/match/{matched}"))
}

/// The cluster of the service that counts for all proxies. No chain is called so: a chain's name has a
/// slash.
pub const RATE_LIMIT_SERVICE: &str = "rate-limit-service";

/// The locality of a member: `<kind>/<namespace>/<name>`, with `:<port>` where the reference chose
/// one.
pub fn member(kind: &str, backend: &ObjectName, port: Option<u16>) -> String {
    match port {
        Some(port) => format!("{kind}/{backend}:{port}"),
        None => format!("{kind}/{backend}"),
    }
}

/// The authorities that a Backend's endpoints are believed by: `Backend/<namespace>/<name>/ca`.
pub fn authorities(backend: &ObjectName) -> SecretName {
    SecretName(bounded(format!("Backend/{backend}/ca")))
}

/// The authorities that a proxy's own system believes: `system/ca`.
pub fn system_authorities() -> SecretName {
    SecretName("system/ca".into())
}

/// A Secret's certificate and key: `Secret/<namespace>/<name>`.
pub fn certificate(secret: &ObjectName) -> SecretName {
    SecretName(bounded(format!("Secret/{secret}")))
}

/// The cluster of one tier of an aggregate chain: `<chain>/tier/<tier>`.
pub fn tier_cluster(chain: &ChainName, tier: usize) -> String {
    bounded(format!("{}/tier/{tier}", chain.0))
}

/// What a chain's name says of one member.
#[derive(Clone, Copy, Debug)]
pub struct ChainMember<'a> {
    /// The kind that the reference says; nothing for a Backend, the kind that chains are mostly
    /// made of.
    pub kind: Option<&'a str>,
    pub backend: &'a ObjectName,
    pub port: Option<u16>,
    pub weight: u32,
    /// What the reference has changed of requests.
    pub headers: &'a HeaderChanges,
}

/// The name of a chain: `<namespace>/<member>,<member>*<weight>><standby>@<policy>`, tiers divided
/// by `>`. A member whose reference changes headers has a hash of the changes at its end, `~<hash>`.
///
/// `namespace` is the route's; members and policy say theirs only where it is another. Rules of a
/// namespace with the same members in the same order, and the same policy, so share one chain.
pub fn chain<'a>(
    namespace: &str,
    tiers: impl IntoIterator<Item = impl IntoIterator<Item = ChainMember<'a>>>,
    policy: Option<&ObjectName>,
) -> ChainName {
    ChainName(bounded(members(namespace, tiers, policy)))
}

/// The name of a chain whose tiers a FailoverPolicy says:
/// `<namespace>/<member>,<member>@<policy>+<failover policy>`.
///
/// `members` stand as in the rule, not in tiers: which of them is in which tier is content of the
/// policy.
pub fn ordered_chain<'a>(
    namespace: &str,
    members: impl IntoIterator<Item = ChainMember<'a>>,
    policy: Option<&ObjectName>,
    failover: &ObjectName,
) -> ChainName {
    let mut name = self::members(namespace, [members], policy);
    name.push('+');
    push_object(&mut name, namespace, failover);
    ChainName(bounded(name))
}

fn members<'a>(
    namespace: &str,
    tiers: impl IntoIterator<Item = impl IntoIterator<Item = ChainMember<'a>>>,
    policy: Option<&ObjectName>,
) -> String {
    let mut name = String::with_capacity(MAX_NAME / 2);
    name.push_str(namespace);
    name.push('/');
    for (index, tier) in tiers.into_iter().enumerate() {
        if index > 0 {
            name.push('>');
        }
        for (index, member) in tier.into_iter().enumerate() {
            if index > 0 {
                name.push(',');
            }
            push_member(&mut name, namespace, &member);
        }
    }
    if let Some(policy) = policy {
        name.push('@');
        push_object(&mut name, namespace, policy);
    }
    name
}

fn push_member(name: &mut String, namespace: &str, member: &ChainMember<'_>) {
    if let Some(kind) = member.kind {
        name.push_str(kind);
        name.push('/');
    }
    push_object(name, namespace, member.backend);
    if let Some(port) = member.port {
        name.push(':');
        name.push_str(&port.to_string());
    }
    if member.weight != 1 {
        name.push('*');
        name.push_str(&member.weight.to_string());
    }
    if !member.headers.is_empty() {
        let _ = write!(name, "~{:016x}", hash(member.headers));
    }
}

/// A number for what is changed of headers: equal for equal changes, in every process.
fn hash(changes: &HeaderChanges) -> u64 {
    let mut text = String::new();
    for name in &changes.taken {
        let _ = writeln!(text, "{name}");
    }
    for (name, value) in &changes.given {
        let _ = writeln!(text, "{name}: {value}");
    }
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

fn push_object(name: &mut String, namespace: &str, object: &ObjectName) {
    if &*object.namespace != namespace {
        name.push_str(&object.namespace);
        name.push('/');
    }
    name.push_str(&object.name);
}

/// `name`, or its beginning and a hash of all of it where it is too long.
fn bounded(name: String) -> String {
    if name.len() <= MAX_NAME {
        return name;
    }
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    let mut end = MAX_NAME - 17;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{hash:016x}", &name[..end])
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    static NO_CHANGES: HeaderChanges = HeaderChanges {
        taken: BTreeSet::new(),
        given: BTreeMap::new(),
    };

    fn named<'a>(backend: &'a ObjectName, weight: u32) -> ChainMember<'a> {
        ChainMember {
            kind: None,
            backend,
            port: None,
            weight,
            headers: &NO_CHANGES,
        }
    }

    #[test]
    fn a_chain_is_named_for_its_members_and_policy() {
        let active = ObjectName::new("default", "active");
        let passive = ObjectName::new("dr", "passive");
        let policy = ObjectName::new("default", "watch");
        let service = ChainMember {
            kind: Some("Service"),
            port: Some(80),
            ..named(&active, 1)
        };
        let tiers = [vec![service, named(&active, 3)], vec![named(&passive, 1)]];
        assert_eq!(
            chain("default", tiers, Some(&policy)).0,
            "default/Service/active:80,active*3>dr/passive@watch"
        );
    }

    #[test]
    fn a_chain_that_a_failover_policy_orders_is_named_for_the_rule_and_the_policies() {
        let (web, other) = (
            ObjectName::new("default", "web"),
            ObjectName::new("dr", "other"),
        );
        let (watch, order) = (
            ObjectName::new("default", "watch"),
            ObjectName::new("default", "order"),
        );
        let members = || [named(&web, 1), named(&other, 2)];
        let name = |policy| ordered_chain("default", members(), policy, &order).0;
        assert_eq!(name(Some(&watch)), "default/web,dr/other*2@watch+order");
        assert_eq!(name(None), "default/web,dr/other*2+order");
    }

    #[test]
    fn a_member_whose_requests_are_changed_is_named_for_the_changes() {
        let active = ObjectName::new("default", "active");
        let name = |value: &str| {
            let headers = HeaderChanges {
                given: [("x-a".to_owned(), value.to_owned())].into(),
                ..HeaderChanges::default()
            };
            let member = ChainMember {
                headers: &headers,
                ..named(&active, 1)
            };
            chain("default", [[member]], None).0
        };
        assert!(name("1").starts_with("default/active~"), "{}", name("1"));
        assert_eq!(name("1").len(), "default/active~".len() + 16);
        assert_ne!(name("1"), name("2"));
    }

    #[test]
    fn a_long_name_is_cut_and_stays_unlike_others() {
        let one = listener(&ObjectName::new("default", &"g".repeat(253)), 80);
        let two = listener(&ObjectName::new("default", &"g".repeat(253)), 81);
        assert_eq!(one.len(), MAX_NAME);
        assert_ne!(one, two);
    }
}
