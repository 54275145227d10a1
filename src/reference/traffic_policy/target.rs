//! What a policy is for.

use crate::reference::{Row, below};

const OTHER_KINDS: &str = "are not supported; HTTPRoute and Gateway are";

pub(super) fn rows() -> Vec<Row> {
    let merge = vec![
        Row::words(
            "mergeType",
            "what the route's policy leaves out is as its Gateway's policy says",
        )
        .absent("not merged: the narrowest policy holds alone"),
    ];
    let parts = [
        merge,
        vec![Row::like("targetRef", "spec.targetRefs")],
        below("targetRefs[]", reference()),
        below("targetSelectors[]", selector()),
    ];
    parts.into_iter().flatten().collect()
}

fn reference() -> Vec<Row> {
    vec![
        Row::words("group", "must be Gateway API's"),
        Row::words(
            "kind",
            "says with `name` whose routes, clusters and endpoints are shaped so",
        )
        .but("other kinds than HTTPRoute and Gateway", OTHER_KINDS),
        Row::words("name", "whose routes, clusters and endpoints are shaped so"),
        Row::words("sectionName", "those of this listener or rule alone")
            .absent("the whole target"),
    ]
}

fn selector() -> Vec<Row> {
    let labels = |path: &str| {
        let expression = vec![
            Row::words("key", "which objects are chosen"),
            Row::words("operator", "which objects are chosen"),
            Row::words("values", "which objects are chosen").absent("none"),
        ];
        below(&format!("{path}matchExpressions[]"), expression)
    };
    let own = vec![
        Row::nothing("group", "it must be Gateway API's"),
        Row::words(
            "kind",
            "says with the labels whose routes, clusters and endpoints are shaped so",
        )
        .but("other kinds than HTTPRoute and Gateway", OTHER_KINDS),
        Row::words("matchLabels", "which objects are chosen").absent("all of the kind"),
        Row::words(
            "namespaces.from",
            "where objects are looked for; in other namespaces where a \
                    ReferenceGrant lets them be",
        ),
        Row::words(
            "namespaces.selector.matchLabels",
            "where objects are looked for",
        )
        .absent("all namespaces"),
    ];
    [own, labels(""), labels("namespaces.selector.")]
        .into_iter()
        .flatten()
        .collect()
}
