//! What a `backendRef`'s filters change of the headers of requests that go to its backend.
//!
//! In: the filters of one reference. Out: [`HeaderChanges`], or what of them cannot be honoured.

use gateway_api::apis::experimental::httproutes::{
    HttpRouteRulesBackendRefs, HttpRouteRulesBackendRefsFiltersRequestHeaderModifier,
};

use super::rules::word;
use super::settings::Refusals;
use crate::model::HeaderChanges;

/// Headers that say where a request ends, what its connection is, or whose it is. They are the proxy's: one
/// that is wrong would have a backend read a client's body as the next request.
const OF_THE_CONNECTION: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
/// What Envoy says of itself, and takes as said by itself.
const ENVOYS: &str = "x-envoy-";
/// Its lines are no list that commas could divide.
const COOKIE: &str = "cookie";

/// What the filters of `spec` change, with the field below the reference and the reason of each that
/// cannot be honoured.
pub(super) fn changes(spec: &HttpRouteRulesBackendRefs, refusals: &mut Refusals) -> HeaderChanges {
    let mut changes = HeaderChanges::default();
    for (index, filter) in spec.filters.iter().flatten().enumerate() {
        let field = format!("filters[{index}]");
        if let Some(modifier) = &filter.request_header_modifier {
            let field = format!("{field}.requestHeaderModifier");
            apply(modifier, &field, &mut changes, refusals);
        } else {
            let name = word(&filter.r#type);
            let message = format!("Filter {name} of a backendRef is not supported yet.");
            refusals.push((field, message));
        }
    }
    changes
}

/// Of headers that are named more than once in a list the first counts, by Gateway API.
fn apply(
    modifier: &HttpRouteRulesBackendRefsFiltersRequestHeaderModifier,
    field: &str,
    changes: &mut HeaderChanges,
    refusals: &mut Refusals,
) {
    let is_usable = |name: &str, value: &str, place: (&str, usize), refusals: &mut Refusals| {
        let Some(fault) = fault(name, value) else {
            return true;
        };
        let (list, index) = place;
        refusals.push((format!("{field}.{list}[{index}]"), fault));
        false
    };
    for (index, name) in modifier.remove.iter().flatten().enumerate() {
        if is_usable(name, "", ("remove", index), refusals) {
            changes.taken.insert(name.to_ascii_lowercase());
        }
    }
    for (index, header) in modifier.set.iter().flatten().enumerate() {
        if is_usable(&header.name, &header.value, ("set", index), refusals) {
            let name = header.name.to_ascii_lowercase();
            changes.taken.insert(name.clone());
            let value = || header.value.clone();
            changes.given.entry(name).or_insert_with(value);
        }
    }
    let mut added = Vec::new();
    for (index, header) in modifier.add.iter().flatten().enumerate() {
        let name = header.name.to_ascii_lowercase();
        if name == COOKIE {
            let field = format!("{field}.add[{index}]");
            let message = "Header cookie cannot be added to: its lines are no list. Use set.";
            refusals.push((field, message.into()));
            continue;
        }
        let is_first = !added.contains(&name);
        if is_first && is_usable(&header.name, &header.value, ("add", index), refusals) {
            let given = changes.given.entry(name.clone());
            // Lines of one header are one list.
            given
                .and_modify(|value| *value = format!("{value},{}", header.value))
                .or_insert_with(|| header.value.clone());
            added.push(name);
        }
    }
}

/// Why a header cannot be changed, or cannot get the value.
fn fault(name: &str, value: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Some(format!(
            "Header name {name:?} cannot be used: letters, digits, \"-\", \"_\" and \".\" can."
        ));
    }
    let lower = name.to_ascii_lowercase();
    if OF_THE_CONNECTION.contains(&&*lower) || lower.starts_with(ENVOYS) {
        return Some(format!(
            "Header {lower} cannot be changed for one backend: it is the proxy's own. Take it out."
        ));
    }
    let control = value
        .chars()
        .any(|character| character.is_control() && character != '\t');
    control.then(|| {
        format!("The value of header {name} has a control character, which no header can have.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(filter: &str) -> (HeaderChanges, Vec<(String, String)>) {
        let spec = format!("{{\"name\": \"web\", \"filters\": [{filter}]}}");
        let spec = serde_json::from_str(&spec).expect("a reference");
        let mut refusals = Vec::new();
        (changes(&spec, &mut refusals), refusals)
    }

    #[test]
    fn a_header_that_is_set_is_taken_and_given_one_that_is_added_is_given() {
        let (changes, refusals) = read(
            r#"{"type": "RequestHeaderModifier", "requestHeaderModifier": {
                "set": [{"name": "X-One", "value": "1"}, {"name": "x-one", "value": "2"}],
                "add": [{"name": "x-one", "value": "3"}, {"name": "x-two", "value": "4"}],
                "remove": ["X-Two", "x-three"]}}"#,
        );
        assert_eq!(refusals, []);
        let given: Vec<_> = changes.given.iter().collect();
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [text("x-one", "1,3"), text("x-two", "4")];
        assert_eq!(
            given,
            expected.iter().map(|(n, v)| (n, v)).collect::<Vec<_>>()
        );
        let taken: Vec<_> = changes.taken.iter().map(String::as_str).collect();
        assert_eq!(taken, ["x-one", "x-three", "x-two"]);
    }

    #[test]
    fn what_cannot_be_a_header_of_one_backend_is_refused_with_its_field() {
        let filter = |change: &str| {
            let filter = format!(
                "{{\"type\": \"RequestHeaderModifier\", \"requestHeaderModifier\": {{{change}}}}}"
            );
            let (changes, refusals) = read(&filter);
            assert!(changes.is_empty(), "{change}");
            refusals.into_iter().map(|(field, _)| field).next()
        };
        let at = |list: &str| Some(format!("filters[0].requestHeaderModifier.{list}[0]"));
        assert_eq!(
            filter(r#""set": [{"name": "Host", "value": "a"}]"#),
            at("set")
        );
        assert_eq!(
            filter(r#""add": [{"name": "x'y", "value": "a"}]"#),
            at("add")
        );
        assert_eq!(
            filter(r#""add": [{"name": "x", "value": "a\nb"}]"#),
            at("add")
        );
        assert_eq!(filter(r#""remove": ["a b"]"#), at("remove"));
        for own in [
            "Content-Length",
            "transfer-encoding",
            "TE",
            "x-envoy-retry-on",
        ] {
            let changes = format!(r#""remove": ["{own}"]"#);
            assert_eq!(filter(&changes), at("remove"), "{own}");
        }
        assert_eq!(
            filter(r#""add": [{"name": "Cookie", "value": "a=1"}]"#),
            at("add")
        );
    }
}
