//! Envoy's own account of what it has, its `/config_dump`, held against what it was told.
//!
//! In: the answer's text, and resources as [`json::resource`] shows them. Out: what differs. It asks
//! no Envoy.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use crate::xds::descriptors;
use crate::xds::json::{self, Unreadable};
use crate::xds::kind::Kind;
use crate::xds::snapshot::Snapshot;
use crate::xds::virtual_hosts;

/// What to ask an Envoy for.
pub const PATH: &str = "/config_dump?include_eds";

const CONFIG_DUMP: &str = "envoy.admin.v3.ConfigDump";

/// Resources by kind and name, each as [`json::resource`] shows it.
pub type Contents = BTreeMap<(Kind, String), Value>;

/// What an Envoy says that it has.
#[derive(Clone, Debug)]
pub struct ConfigDump {
    /// `node.cluster` and `node.id`.
    node: Option<(String, String)>,
    /// What it has been told over xDS.
    answer: Value,
}

/// One way in which an Envoy has not what it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What kind of resource it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is different.
    pub how: How,
}

/// How what an Envoy has differs from what it was told.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// It has nothing of that name.
    Missing,
    /// It has something that it was not told, or was told to forget.
    Surplus,
    /// It has another form. Of endpoints both are what a dump can show of them.
    Changed {
        /// What it was told.
        told: Value,
        /// What it has.
        held: Value,
    },
    /// It has it and does not use it yet.
    Warming,
    /// It would not take its latest form, in Envoy's own words.
    Refused {
        /// Why.
        words: String,
    },
}

/// Where a kind stands in a dump: the list, the resource in its entry, the name in the resource.
const PLACES: [(Kind, &str, &str, &str); 6] = [
    (
        Kind::Cluster,
        "dynamic_active_clusters",
        "/cluster",
        "/name",
    ),
    (
        Kind::Endpoint,
        "dynamic_endpoint_configs",
        "/endpoint_config",
        "/cluster_name",
    ),
    (Kind::Secret, "dynamic_active_secrets", "/secret", "/name"),
    (
        Kind::Listener,
        "dynamic_listeners",
        "/active_state/listener",
        "/name",
    ),
    (Kind::Extension, "ecds_filters", "/ecds_filter", "/name"),
    (
        Kind::Route,
        "dynamic_route_configs",
        "/route_config",
        "/name",
    ),
];

/// What is not in use yet: the list, and the name in its entry.
const WARMING: [(Kind, &str, &str); 3] = [
    (Kind::Cluster, "dynamic_warming_clusters", "/cluster/name"),
    (Kind::Secret, "dynamic_warming_secrets", "/name"),
    (
        Kind::Listener,
        "dynamic_listeners",
        "/warming_state/listener/name",
    ),
];

/// What a snapshot tells an Envoy.
pub fn told(snapshot: &Snapshot) -> Contents {
    // Envoy shows virtual hosts in their route configuration, where it has put them.
    let shown = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::VirtualHost);
    let resources = shown.flat_map(|kind| snapshot.of_kind(kind));
    let shown = resources.map(|resource| {
        let key = (resource.kind, resource.name.to_string());
        let shown = match virtual_hosts::are_apart(resource) {
            true => {
                let hosts = virtual_hosts::of(snapshot, &resource.name);
                json::resource(&virtual_hosts::merged(resource, hosts, true))
            }
            false => json::resource(resource),
        };
        (key, shown)
    });
    shown.collect()
}

impl ConfigDump {
    /// Reads the answer to [`PATH`].
    ///
    /// What was told over xDS is read as the messages that it is and written again, so that both
    /// sides of a comparison have been written by the same hand. What an Envoy's own file says is
    /// left out: it may hold extensions of any kind.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let mut dump: Value = serde_json::from_str(text)?;
        let sections = dump["configs"].as_array_mut().map(std::mem::take);
        let (bootstrap, mut sections): (Vec<Value>, Vec<Value>) = sections
            .unwrap_or_default()
            .into_iter()
            .partition(|section| !section["bootstrap"].is_null());
        for section in sections.iter_mut().filter_map(Value::as_object_mut) {
            section.retain(|field, _| !field.starts_with("static_"));
        }
        let descriptor = descriptors::message(CONFIG_DUMP)
            .ok_or_else(|| Unreadable::UnknownType(CONFIG_DUMP.to_owned()))?;
        let answer = json!({ "configs": sections });
        let message = DynamicMessage::deserialize(descriptor, answer)?;
        Ok(Self {
            node: bootstrap.first().and_then(node),
            answer: json::message(CONFIG_DUMP, &message.encode_to_vec())?,
        })
    }

    /// What the Envoy calls itself: `node.cluster` and `node.id`.
    pub fn node(&self) -> Option<(&str, &str)> {
        let (cluster, id) = self.node.as_ref()?;
        Some((cluster, id))
    }

    /// How what the Envoy has differs from what it was told, by kind and name.
    pub fn differences(&self, told: &Contents) -> Vec<Difference> {
        let checked = health_checked(told);
        let held = self.held(&checked);
        let mut differences = self.in_trouble();
        for ((kind, name), shown) in told {
            let told = comparable(*kind, name, shown, &checked);
            let how = match held.get(&(*kind, name.clone())) {
                // Said already, and why.
                None if differences.iter().any(|each| each.is_of(*kind, name)) => continue,
                None => How::Missing,
                Some(held) if *held == told => continue,
                Some(held) => How::Changed {
                    told,
                    held: held.clone(),
                },
            };
            differences.push(Difference {
                kind: *kind,
                name: name.clone(),
                how,
            });
        }
        let surplus = held.into_keys().filter(|key| !is_expected(key, told));
        differences.extend(surplus.map(|(kind, name)| Difference {
            kind,
            name,
            how: How::Surplus,
        }));
        differences.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        differences
    }

    fn sections(&self) -> impl Iterator<Item = &Value> {
        list(&self.answer, "configs")
    }

    /// What the Envoy uses, in the form of [`comparable`].
    fn held(&self, checked: &BTreeSet<&str>) -> Contents {
        let mut contents = Contents::new();
        for section in self.sections() {
            for (kind, field, resource, name) in PLACES {
                for entry in list(section, field) {
                    // A listener that only warms has no active state.
                    let Some(resource) = entry.pointer(resource) else {
                        continue;
                    };
                    let name = text(resource, name);
                    let shown = comparable(kind, &name, resource, checked);
                    contents.insert((kind, name), shown);
                }
            }
        }
        contents
    }

    /// What is not in use yet, and what was refused.
    fn in_trouble(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        for section in self.sections() {
            for (kind, field, name) in WARMING {
                let warming = list(section, field).filter_map(|entry| entry.pointer(name));
                found.extend(warming.map(|name| Difference {
                    kind,
                    name: name.as_str().unwrap_or_default().to_owned(),
                    how: How::Warming,
                }));
            }
            for (kind, field, resource, name) in PLACES {
                for entry in list(section, field) {
                    let Some(words) = entry.pointer("/error_state/details") else {
                        continue;
                    };
                    let name = match entry.pointer(resource) {
                        Some(resource) => text(resource, name),
                        None => text(entry, "/name"),
                    };
                    let words = words.as_str().unwrap_or_default().to_owned();
                    let how = How::Refused { words };
                    found.push(Difference { kind, name, how });
                }
            }
        }
        found
    }
}

impl Difference {
    fn is_of(&self, kind: Kind, name: &str) -> bool {
        self.kind == kind && self.name == name
    }
}

fn node(section: &Value) -> Option<(String, String)> {
    let node = section.pointer("/bootstrap/node")?;
    let (cluster, id) = (node["cluster"].as_str()?, node["id"].as_str()?);
    Some((cluster.to_owned(), id.to_owned()))
}

/// Whether the Envoy may have this.
fn is_expected(key: &(Kind, String), told: &Contents) -> bool {
    let (kind, name) = key;
    told.contains_key(key)
        || match kind {
            // Envoy shows endpoints of clusters that get none over EDS, too.
            Kind::Endpoint => told.contains_key(&(Kind::Cluster, name.clone())),
            // Its own certificates come from files.
            Kind::Secret => true,
            _ => false,
        }
}

/// The clusters whose hosts Envoy probes: their health is what it finds.
fn health_checked(contents: &Contents) -> BTreeSet<&str> {
    let clusters = contents
        .iter()
        .filter(|((kind, _), shown)| *kind == Kind::Cluster && !shown["health_checks"].is_null());
    clusters.map(|((_, name), _)| name.as_str()).collect()
}

/// A resource in a form that Envoy's dump can show.
fn comparable(kind: Kind, name: &str, resource: &Value, checked: &BTreeSet<&str>) -> Value {
    match kind {
        Kind::Endpoint => endpoints(resource, checked.contains(name)),
        Kind::Secret => without_files(resource),
        _ => resource.clone(),
    }
}

/// A secret as Envoy's dump can show it: what stands in a file is as hidden there as what does not.
fn without_files(secret: &Value) -> Value {
    match secret {
        Value::Object(fields) if fields.contains_key("filename") => json!({"inline_bytes": HIDDEN}),
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (name.clone(), without_files(value)))
                .collect()
        }
        other => other.clone(),
    }
}

/// `[redacted]` as JSON shows bytes.
const HIDDEN: &str = "W3JlZGFjdGVkXQ==";

/// What Envoy shows where nothing is said of the factor.
const OVERPROVISIONING: u64 = 140;

/// Endpoints as Envoy's dump can show them: it makes them up from its hosts, so a locality without
/// hosts is not there, and hosts have an order of their own. Of several with one address it keeps
/// the first, in whatever locality or priority.
fn endpoints(assignment: &Value, is_checked: bool) -> Value {
    let localities = list(assignment, "endpoints");
    let hosts = localities
        .flat_map(|locality| list(locality, "lb_endpoints").map(move |it| (locality, it)));
    let mut seen = BTreeSet::new();
    let hosts = hosts.filter(|(_, host)| seen.insert(host["endpoint"]["address"].to_string()));
    let hosts = hosts.map(|(locality, host)| shown_host(locality, host, is_checked));
    let hosts: BTreeSet<String> = hosts.collect();
    let factor = assignment.pointer("/policy/overprovisioning_factor");
    json!({
        "hosts": hosts,
        "overprovisioning_factor": factor.and_then(Value::as_u64).unwrap_or(OVERPROVISIONING),
    })
}

fn shown_host(locality: &Value, host: &Value, is_checked: bool) -> String {
    let endpoint = &host["endpoint"];
    let status = match host["health_status"].as_str() {
        _ if is_checked => "as found",
        // Nothing said against it.
        None | Some("UNKNOWN") => "HEALTHY",
        // Shown alike: neither gets a new request.
        Some("DRAINING") => "UNHEALTHY",
        Some(status) => status,
    };
    format!(
        "priority {} locality {} weight {}: {} {} {}",
        locality["priority"],
        locality["locality"]["region"],
        // Shown as 0 where none is given.
        locality["load_balancing_weight"].as_u64().unwrap_or(0),
        endpoint["address"],
        endpoint["hostname"],
        status,
    )
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn text(value: &Value, at: &str) -> String {
    let text = value.pointer(at).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Envoy's answer with these sections beside its bootstrap.
    fn dump(sections: &[Value]) -> ConfigDump {
        let mut configs = vec![json!({
            "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
            "bootstrap": {
                "node": { "id": "one", "cluster": "default/eg" },
                "stats_sinks": [{ "typed_config": { "@type": "type.googleapis.com/of.nobody" } }],
            },
        })];
        configs.extend_from_slice(sections);
        ConfigDump::read(&json!({ "configs": configs }).to_string()).expect("a dump")
    }

    fn clusters(sections: Value) -> Value {
        let mut clusters = sections;
        clusters["@type"] = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump".into();
        clusters
    }

    fn cluster(name: &str, timeout: &str) -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": name,
            "connect_timeout": timeout,
        })
    }

    fn differences(active: &[Value], more: Value, told: &[Value]) -> Vec<(String, How)> {
        let active: Vec<Value> = active.iter().map(|it| json!({ "cluster": it })).collect();
        let mut section = more;
        section["dynamic_active_clusters"] = active.into();
        let told = told
            .iter()
            .map(|it| ((Kind::Cluster, text(it, "/name")), it.clone()))
            .collect();
        let differences = dump(&[clusters(section)]).differences(&told);
        differences
            .into_iter()
            .map(|difference| (difference.name, difference.how))
            .collect()
    }

    #[test]
    fn an_envoy_says_who_it_is_whatever_its_own_file_holds() {
        assert_eq!(dump(&[]).node(), Some(("default/eg", "one")));
    }

    #[test]
    fn what_is_equal_is_no_difference_however_it_is_written() {
        let [a, written] = ["2s", "2.0s"].map(|timeout| cluster("a", timeout));
        assert_eq!(differences(&[written], json!({}), &[a]), []);
    }

    #[test]
    fn every_difference_is_named() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| cluster(name, "2s"));
        let changed = cluster("b", "3s");
        let warming = json!({ "dynamic_warming_clusters": [{ "cluster": d }] });
        let found = differences(&[changed.clone(), c], warming, &[a, b.clone(), d]);
        let expected = [
            ("a", How::Missing),
            (
                "b",
                How::Changed {
                    told: b,
                    held: changed,
                },
            ),
            ("c", How::Surplus),
            ("d", How::Warming),
        ];
        assert_eq!(found, expected.map(|(name, how)| (name.to_owned(), how)));
    }

    #[test]
    fn a_refusal_has_envoys_words() {
        let section = json!({
            "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
            "dynamic_listeners": [{
                "name": "80",
                "error_state": { "details": "no such filter" },
            }],
        });
        let found = dump(&[section]).differences(&Contents::new());
        let expected = Difference {
            kind: Kind::Listener,
            name: "80".into(),
            how: How::Refused {
                words: "no such filter".into(),
            },
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn endpoints_are_compared_by_what_a_dump_shows_of_them() {
        let of = |status: &str| {
            json!({
                "cluster_name": "a",
                "endpoints": [{ "priority": 1, "lb_endpoints": [{
                    "endpoint": { "address": { "pipe": { "path": "/a" } } },
                    "health_status": status,
                }] }],
            })
        };
        let held = |status: &str| {
            let section = json!({
                "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
                "dynamic_endpoint_configs": [{ "endpoint_config": {
                    "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
                    "cluster_name": "a",
                    "endpoints": of(status)["endpoints"],
                } }],
            });
            let told = [((Kind::Endpoint, "a".to_owned()), of("UNKNOWN"))];
            dump(&[section]).differences(&told.into())
        };
        assert_eq!(held("HEALTHY"), []);
        assert_eq!(held("UNHEALTHY").len(), 1);
    }

    #[test]
    fn of_several_endpoints_with_one_address_the_first_counts() {
        let locality = |region: &str, priority: u32, paths: &[&str]| {
            let host = |path| json!({ "endpoint": { "address": { "pipe": { "path": path } } } });
            let hosts: Vec<_> = paths.iter().map(host).collect();
            json!({
                "locality": { "region": region },
                "priority": priority,
                "lb_endpoints": hosts,
            })
        };
        let of = |localities: &[Value]| endpoints(&json!({ "endpoints": localities }), false);
        let told = of(&[
            locality("one", 0, &["/a", "/b"]),
            locality("two", 0, &["/a", "/c"]),
            locality("three", 1, &["/c"]),
        ]);
        let first = of(&[
            locality("two", 0, &["/c"]),
            locality("one", 0, &["/b", "/a"]),
        ]);
        let last = of(&[
            locality("one", 0, &["/b"]),
            locality("two", 0, &["/a", "/c"]),
        ]);
        assert_eq!(told, first);
        assert_ne!(told, last);
    }
}
