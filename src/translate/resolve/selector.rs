//! Label selectors, as Kubernetes evaluates them.

use std::collections::BTreeMap;

/// One of a selector's expressions, of whatever API type it comes from.
pub(super) struct Expression<'a> {
    pub key: &'a str,
    pub operator: &'a str,
    pub values: &'a [String],
}

/// Whether `labels` has every label of `wanted` and satisfies every expression. An operator that
/// Kubernetes does not know is never satisfied.
pub(super) fn selects<'a>(
    wanted: Option<&BTreeMap<String, String>>,
    mut expressions: impl Iterator<Item = Expression<'a>>,
    labels: &BTreeMap<String, String>,
) -> bool {
    wanted
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|expression| satisfied(&expression, labels))
}

fn satisfied(expression: &Expression<'_>, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(expression.key);
    match expression.operator {
        "In" => value.is_some_and(|value| expression.values.contains(value)),
        "NotIn" => value.is_none_or(|value| !expression.values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(operator: &str, values: &[&str]) -> bool {
        let labels = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        let values: Vec<String> = values.iter().map(|value| (*value).into()).collect();
        let expression = Expression {
            key: "tier",
            operator,
            values: &values,
        };
        selects(None, [expression].into_iter(), &labels)
    }

    #[test]
    fn expressions_are_evaluated_as_kubernetes_does() {
        assert!(outcome("In", &["gold", "silver"]));
        assert!(!outcome("In", &["silver"]));
        assert!(outcome("NotIn", &["silver"]));
        assert!(outcome("Exists", &[]));
        assert!(!outcome("DoesNotExist", &[]));
        assert!(!outcome("Sometimes", &["gold"]));
    }
}
