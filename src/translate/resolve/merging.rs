//! Merging: a route's policy laid over the one of its Gateway, as `mergeType` says.
//!
//! In: two specs. Out: one, without targets. Objects are merged field by field, the route's fields
//! win, and a list of the route's stands instead of the Gateway's. `StrategicMerge` merges the lists
//! whose items have a type of their own item by item.

use serde_json::{Map, Value};

use crate::resource::traffic_policy::{BackendTrafficPolicySpec, MergeType};

/// Lists that a strategic merge merges by their items' `type`.
const BY_TYPE: [&str; 3] = ["compression", "compressor", "httpUpgrade"];
/// What says where a policy holds, not what it does.
const TARGETS: [&str; 4] = ["targetRef", "targetRefs", "targetSelectors", "mergeType"];

/// `over` merged into `under`; or why the outcome is no policy.
pub(super) fn merged(
    under: &BackendTrafficPolicySpec,
    over: &BackendTrafficPolicySpec,
    how: MergeType,
) -> Result<BackendTrafficPolicySpec, String> {
    let mut spec = fields(under);
    let mut over = fields(over);
    if how == MergeType::StrategicMerge {
        for field in BY_TYPE {
            if let (Some(Value::Array(under)), Some(Value::Array(over))) =
                (spec.get(field), over.get_mut(field))
            {
                *over = by_type(under, over);
            }
        }
    }
    merge(&mut spec, over);
    serde_json::from_value(Value::Object(spec)).map_err(|error| error.to_string())
}

/// What a policy says, without where it holds.
pub(super) fn fields(spec: &BackendTrafficPolicySpec) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(spec) else {
        unreachable!("a spec is an object");
    };
    fields.retain(|name, _| !TARGETS.contains(&name.as_str()));
    fields
}

fn merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// Items of both, those of one type merged. Those of `over` keep their order, and stand before those
/// of `under` that come after them there.
fn by_type(under: &[Value], over: &[Value]) -> Vec<Value> {
    let place = |item: &Value| under.iter().position(|known| known["type"] == item["type"]);
    let mut rest = under.iter().enumerate().filter(|(_, item)| {
        let mut over = over.iter();
        !over.any(|other| other["type"] == item["type"])
    });
    let mut next = rest.next();
    let mut items = Vec::new();
    for item in over {
        let place = place(item);
        while let (Some((index, before)), Some(place)) = (next, place)
            && index < place
        {
            items.push(before.clone());
            next = rest.next();
        }
        let mut merged = place.map_or_else(|| item.clone(), |place| under[place].clone());
        if let (Value::Object(merged), Value::Object(item)) = (&mut merged, item) {
            merge(merged, item.clone());
        }
        items.push(merged);
    }
    items.extend(next.into_iter().chain(rest).map(|(_, item)| item.clone()));
    items
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn both(how: MergeType, under: Value, over: Value) -> Value {
        let spec = |value: Value| serde_json::from_value(value).expect("a spec");
        let merged = merged(&spec(under), &spec(over), how).expect("a policy");
        Value::Object(fields(&merged))
    }

    #[test]
    fn fields_of_the_route_win_and_the_others_stay() {
        let under = json!({"timeout": {"tcp": {"connectTimeout": "5s"}, "http": {"requestTimeout": "1s"}},
                           "useClientProtocol": true});
        let over = json!({"mergeType": "JSONMerge", "timeout": {"http": {"requestTimeout": "2s"}}});
        for how in [MergeType::JsonMerge, MergeType::StrategicMerge] {
            assert_eq!(
                both(how, under.clone(), over.clone()),
                json!({"timeout": {"tcp": {"connectTimeout": "5s"}, "http": {"requestTimeout": "2s"}},
                       "useClientProtocol": true})
            );
        }
    }

    #[test]
    fn lists_with_types_are_merged_item_by_item_where_that_is_asked_for() {
        let under =
            json!({"compressor": [{"type": "Gzip", "minContentLength": 100}, {"type": "Zstd"}]});
        let over = json!({"compressor": [{"type": "Brotli"}, {"type": "Gzip", "gzip": {}}]});
        let types = |value: &Value| -> Vec<String> {
            let items = value["compressor"].as_array().expect("a list");
            items.iter().map(|item| item["type"].to_string()).collect()
        };
        let merged = both(MergeType::StrategicMerge, under.clone(), over.clone());
        assert_eq!(types(&merged), ["\"Brotli\"", "\"Gzip\"", "\"Zstd\""]);
        assert_eq!(merged["compressor"][1]["minContentLength"], 100);
        let replaced = both(MergeType::JsonMerge, under, over);
        assert_eq!(types(&replaced), ["\"Brotli\"", "\"Gzip\""]);
    }
}
