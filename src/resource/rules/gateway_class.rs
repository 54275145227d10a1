//! The rules of GatewayClass.

use crate::resource::GatewayClass;
use crate::resource::fault::{At, Faults, reason};
use crate::resource::names;

/// Characters of a description.
const DESCRIPTION_LIMIT: usize = 64;

/// Notes what an API server would refuse.
pub(in crate::resource) fn complete(class: &mut GatewayClass, faults: &mut Faults) {
    let at = At::Root.field("spec");
    let spec = &class.spec;
    names::DOMAIN_PATH.check(&spec.controller_name, &at.field("controllerName"), faults);
    let length = spec
        .description
        .as_ref()
        .map_or(0, |text| text.chars().count());
    if length > DESCRIPTION_LIMIT {
        let message = format!("has {length} characters: at most {DESCRIPTION_LIMIT} allowed");
        faults.error(&at.field("description"), reason::INVALID, message);
    }
    if let Some(reference) = &spec.parameters_ref {
        let at = at.field("parametersRef");
        names::GROUP.check(&reference.group, &at.field("group"), faults);
        names::KIND.check(&reference.kind, &at.field("kind"), faults);
        names::OBJECT.check(&reference.name, &at.field("name"), faults);
        if let Some(namespace) = &reference.namespace {
            names::LABEL.check(namespace, &at.field("namespace"), faults);
        }
    }
}
