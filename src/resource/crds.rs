//! The CustomResourceDefinitions of the kinds that Locum brings along, made from their Rust types.
//!
//! Names, groups and versions of Backend and BackendTrafficPolicy are Envoy Gateway's, so that what
//! it has installed serves too.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Number, Value};

use super::schema::crd;
use super::{Backend, BackendTrafficPolicy, FailoverPolicy};

/// Each definition, by name.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        crd::<Backend>(),
        crd::<BackendTrafficPolicy>(),
        crd::<FailoverPolicy>(),
    ]
}

/// The definition as a person would write it: whole numbers without a fraction, each description
/// on one line.
pub fn document(crd: &CustomResourceDefinition) -> Value {
    let mut value = serde_json::to_value(crd).expect("a CRD is JSON");
    tidy(&mut value);
    value
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole;
            }
        }
        _ => {}
    }
}

/// The same number as an integer, if it is one. Limits are floating-point numbers in a CRD's type.
fn whole(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    let whole = format!("{float:.0}").parse::<i64>().ok()?;
    (float.fract() == 0.0).then(|| whole.into())
}

/// Whether a user who says `word` means this definition: its name, plural, singular, kind or a
/// short name, in any case.
pub fn is_called(crd: &CustomResourceDefinition, word: &str) -> bool {
    let names = &crd.spec.names;
    let full = crd.metadata.name.iter();
    let kind = [&names.plural, &names.kind].into_iter();
    let short = names.short_names.iter().flatten();
    full.chain(kind)
        .chain(&names.singular)
        .chain(short)
        .any(|name| name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specification(crd: &CustomResourceDefinition) -> Value {
        document(crd)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            .clone()
    }

    /// Calls `visit` with each schema below `schema` and its path.
    fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&Value, &str)) {
        visit(schema, path);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(property, &format!("{path}.{name}"), visit);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&schema[inner], &format!("{path}[]"), visit);
            }
        }
    }

    #[test]
    fn every_field_is_explained() {
        for crd in all() {
            let mut silent = Vec::new();
            walk(&specification(&crd), "spec", &mut |schema, path| {
                if !path.ends_with("[]") && schema["description"].as_str().is_none() {
                    silent.push(path.to_owned());
                }
            });
            assert!(silent.is_empty(), "{}: {silent:?}", crd.spec.names.kind);
        }
    }

    #[test]
    fn every_schema_has_one_type() {
        for crd in all() {
            let mut wrong = Vec::new();
            walk(&specification(&crd), "spec", &mut |schema, path| {
                let typed = schema["type"].is_string();
                if !typed && schema["x-kubernetes-int-or-string"] != true {
                    wrong.push(path.to_owned());
                }
            });
            assert!(wrong.is_empty(), "{}: {wrong:?}", crd.spec.names.kind);
        }
    }

    #[test]
    fn limits_are_whole_numbers() {
        for crd in all() {
            let text = document(&crd).to_string();
            assert!(text.contains(r#""maximum":65535,"#) && !text.contains(".0,"));
        }
    }

    #[test]
    fn definitions_are_found_by_every_name() {
        let backend = crd::<Backend>();
        for word in [
            "backends.gateway.envoyproxy.io",
            "backends",
            "backend",
            "Backend",
            "be",
        ] {
            assert!(is_called(&backend, word), "{word}");
        }
        assert!(!is_called(&backend, "btp"));
    }
}
