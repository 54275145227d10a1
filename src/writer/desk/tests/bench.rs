//! An API server in memory, and a time that goes where something happens next.

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::*;
use crate::resource::ObjectName;
use crate::source::kubernetes::Observed as SeenObject;
use crate::status::observations::{Progress, Proxy};
use crate::status::{GatewayStatus, ListenerStatus};

pub(super) const OWN: &str = "locum.dev/gatewayclass-controller";

pub(super) fn route_key(index: usize) -> Key {
    Key::new(Kind::HttpRoute, "default", &format!("route-{index}"))
}

pub(super) fn gateway_key() -> Key {
    Key::new(Kind::Gateway, "default", "eg")
}

/// The objects that the API server holds.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) objects: BTreeMap<Key, SeenObject>,
    version: u64,
}

impl Objects {
    fn put(&mut self, key: &Key, status: Value, by: Option<&str>) -> SeenObject {
        self.version += 1;
        let object = SeenObject {
            api_version: key.api_version().into(),
            uid: key.to_string(),
            resource_version: self.version.to_string(),
            generation: Some(1),
            status,
            written_by: by.map(str::to_owned),
            refused: None,
        };
        self.objects.insert(key.clone(), object.clone());
        object
    }

    /// Someone else writes; the object as a watch will bring it.
    pub(super) fn write_unseen(&mut self, key: &Key, status: Value) -> SeenObject {
        self.put(key, status, None)
    }

    pub(super) fn status(&self, key: &Key) -> Value {
        self.objects[key].status.clone()
    }

    fn patch(&mut self, write: &Write) -> Result<SeenObject, Failure> {
        let object = self.objects.get(&write.key).ok_or(Failure::Gone)?;
        if object.resource_version != write.resource_version {
            return Err(Failure::Conflict);
        }
        let mut status = object.status.as_object().cloned().unwrap_or_default();
        for (field, value) in write.status.as_object().expect("a patch of fields") {
            status.insert(field.clone(), value.clone());
        }
        Ok(self.put(&write.key, status.into(), Some(FIELD_MANAGER)))
    }
}

/// A desk and all that is around it.
pub(super) struct Bench {
    pub(super) now: Duration,
    pub(super) desk: Desk,
    pub(super) seen: Seen,
    pub(super) server: Objects,
    pub(super) statuses: Statuses,
    /// How long a request takes.
    pub(super) latency: Duration,
    /// What requests come to, all or those of one object.
    pub(super) failing: Option<fn(&Write) -> Failure>,
    pub(super) failing_only: Option<Key>,
    /// Whether the watch brings Locum's own writes.
    pub(super) is_watched: bool,
    pub(super) attempts: usize,
    /// Those that succeeded.
    pub(super) writes: Vec<(Duration, Write)>,
    pub(super) most_under_way: usize,
    pub(super) most_of_one: usize,
    under_way: Vec<(Duration, Begun)>,
}

impl Bench {
    fn new() -> Self {
        let seen = Seen::default();
        let metrics = Metrics::register(&mut Registry::default());
        let controllers: Arc<[String]> = [OWN.to_owned()].into();
        Self {
            now: Duration::ZERO,
            desk: Desk::new(seen.clone(), controllers, metrics),
            seen,
            server: Objects::default(),
            statuses: Statuses::new(),
            latency: Duration::from_millis(1),
            failing: None,
            failing_only: None,
            is_watched: true,
            attempts: 0,
            writes: Vec::new(),
            most_under_way: 0,
            most_of_one: 0,
            under_way: Vec::new(),
        }
    }

    /// Routes without a status, each of which shall have one.
    pub(super) fn with_routes(count: usize) -> Self {
        let mut bench = Self::new();
        bench.add_routes(count);
        bench.look();
        bench
    }

    /// A Gateway whose status is as it shall be.
    pub(super) fn with_gateway() -> Self {
        let mut bench = Self::new();
        bench.put(&gateway_key(), Value::Null);
        bench.attach(0);
        bench.advance(60 * SECOND);
        bench.writes.clear();
        bench
    }

    pub(super) fn add_routes(&mut self, count: usize) {
        for index in 0..count {
            self.put(&route_key(index), Value::Null);
            self.want_unseen(index, "Fine.");
        }
    }

    fn put(&mut self, key: &Key, status: Value) {
        let object = self.server.put(key, status, None);
        self.seen.set(key.clone(), object);
    }

    /// A route's condition shall have this message.
    pub(super) fn want(&mut self, index: usize, message: &str) {
        self.want_unseen(index, message);
        self.look();
    }

    /// The same, and nobody looks.
    pub(super) fn want_unseen(&mut self, index: usize, message: &str) {
        let parent = ParentStatus {
            parent: ParentRef {
                group: Kind::Gateway.group().into(),
                kind: Kind::Gateway.name().into(),
                namespace: None,
                name: "eg".into(),
                section_name: None,
                port: None,
            },
            controller_name: OWN.into(),
            conditions: vec![Condition::yes(
                reasons::kind::ACCEPTED,
                reasons::ACCEPTED,
                message,
            )],
        };
        let status = Status {
            observed_generation: Some(1),
            body: StatusBody::Route(vec![parent]),
        };
        self.statuses.insert(route_key(index), status);
    }

    /// So many routes are attached to the Gateway's listener.
    pub(super) fn attach(&mut self, routes: i32) {
        let listener = ListenerStatus {
            name: "http".into(),
            envoy_name: "default/eg/80".into(),
            attached_routes: routes,
            supported_kinds: Vec::new(),
            conditions: Vec::new(),
        };
        let gateway = GatewayStatus {
            conditions: Vec::new(),
            listeners: vec![listener],
            addresses: Vec::new(),
            controller_name: Some(OWN.into()),
        };
        let status = Status {
            observed_generation: Some(1),
            body: StatusBody::Gateway(gateway),
        };
        self.statuses.insert(gateway_key(), status);
        self.look();
    }

    /// The Gateway's class does not exist any more.
    pub(super) fn take_class_away(&mut self) {
        let reason = reasons::GATEWAY_CLASS_NOT_FOUND;
        let gateway = GatewayStatus {
            conditions: vec![Condition::no(reasons::kind::ACCEPTED, reason, "Gone.")],
            listeners: Vec::new(),
            addresses: Vec::new(),
            controller_name: None,
        };
        let status = Status {
            observed_generation: Some(1),
            body: StatusBody::Gateway(gateway),
        };
        self.statuses.insert(gateway_key(), status);
        self.look();
    }

    /// What a route's condition says on the API server.
    pub(super) fn message(&self, key: &Key) -> String {
        let status = self.server.status(key);
        let parents = status["parents"].as_array();
        let own = |entry: &&Value| entry["controllerName"] == OWN;
        let own = parents.into_iter().flatten().find(own);
        let own = own.expect("Locum's entry");
        let message = own["conditions"][0]["message"].as_str();
        message.expect("a message").to_owned()
    }

    fn moment(&self) -> Moment {
        Moment {
            elapsed: self.now,
            clock: Timestamp::UNIX_EPOCH + self.now,
        }
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn look(&mut self) {
        let progress = Progress::Acknowledged { generation: 1 };
        let proxy = Proxy {
            progress,
            connected: true,
        };
        let gateway = ObjectName::new("default", "eg");
        let observed = Observed {
            complete: true,
            proxies: [(gateway, [("a".into(), proxy)].into())].into(),
            ..Observed::default()
        };
        self.desk.look(self.moment(), &self.statuses, &observed);
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.begin();
            let ended = self.under_way.iter().map(|(ends, _)| *ends).min();
            let next = [self.desk.wake(), ended].into_iter().flatten().min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => break,
            }
            while let Some(place) = self
                .under_way
                .iter()
                .position(|(ends, _)| *ends <= self.now)
            {
                let (_, begun) = self.under_way.remove(place);
                self.end(begun);
            }
        }
        self.now = end;
    }

    fn begin(&mut self) {
        for begun in self.desk.begin(self.moment()) {
            self.attempts += 1;
            self.under_way.push((self.now + self.latency, begun));
        }
        self.most_under_way = self.most_under_way.max(self.under_way.len());
        for (_, begun) in &self.under_way {
            let key = &begun.write.key;
            let of_one = self
                .under_way
                .iter()
                .filter(|(_, other)| other.write.key == *key);
            self.most_of_one = self.most_of_one.max(of_one.count());
        }
    }

    fn end(&mut self, begun: Begun) {
        let key = begun.write.key.clone();
        let fails = self.failing_only.as_ref().is_none_or(|only| *only == key);
        let result = match self.failing.filter(|_| fails) {
            Some(failing) => Err(failing(&begun.write)),
            None => self.server.patch(&begun.write),
        };
        if let Ok(object) = &result {
            self.writes.push((self.now, begun.write.clone()));
            if self.is_watched {
                self.seen.set(key, object.clone());
            }
        }
        let result = result.map(|object| Written {
            resource_version: object.resource_version,
            generation: object.generation,
            status: object.status,
        });
        let succeeded = result.is_ok();
        self.desk.finish(self.moment(), begun, result);
        if succeeded && self.is_watched {
            self.look();
        }
    }
}

/// A JSON value is what an API server keeps, nulls left out.
#[test]
fn the_server_in_memory_takes_a_patch_only_from_the_newest() {
    let mut server = Objects::default();
    let key = route_key(0);
    let first = server.put(&key, json!({"a": 1}), None);
    let write = |version: &str| Write {
        key: key.clone(),
        api_version: first.api_version.clone(),
        resource_version: version.into(),
        status: json!({"b": 2}),
    };
    assert_eq!(server.patch(&write("0")), Err(Failure::Conflict));
    let patched = server.patch(&write(&first.resource_version));
    assert_eq!(
        patched.map(|object| object.status),
        Ok(json!({"a": 1, "b": 2}))
    );
}
