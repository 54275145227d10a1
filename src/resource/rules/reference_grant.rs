//! The rules of ReferenceGrant.

use super::check_length;
use crate::resource::ReferenceGrant;
use crate::resource::fault::{At, Faults};
use crate::resource::names;

/// Elements of `from` and of `to`.
const LIMIT: usize = 16;

/// Notes what an API server would refuse.
pub(in crate::resource) fn complete(grant: &mut ReferenceGrant, faults: &mut Faults) {
    let at = At::Root.field("spec");
    let at_from = at.field("from");
    check_length(grant.spec.from.len(), 1, LIMIT, &at_from, faults);
    for (index, from) in grant.spec.from.iter().enumerate() {
        let at = at_from.item(index);
        names::GROUP.check(&from.group, &at.field("group"), faults);
        names::KIND.check(&from.kind, &at.field("kind"), faults);
        names::LABEL.check(&from.namespace, &at.field("namespace"), faults);
    }
    let at_to = at.field("to");
    check_length(grant.spec.to.len(), 1, LIMIT, &at_to, faults);
    for (index, to) in grant.spec.to.iter().enumerate() {
        let at = at_to.item(index);
        names::GROUP.check(&to.group, &at.field("group"), faults);
        names::KIND.check(&to.kind, &at.field("kind"), faults);
        if let Some(name) = &to.name {
            names::OBJECT.check(name, &at.field("name"), faults);
        }
    }
}
