//! Resolving: resources to the model, statuses and problems. No protobuf here.
//!
//! In: a [`Reader`]. Out: what shall be served, what each resource's owner is told, and what is
//! wrong. A file for each subject; [`resolve`] is the order in which they build on each other:
//!
//! ```text
//! classes -> gateways (listeners) ─┐
//! grants, services -> backends ────┼-> routes (attach, rules: matches, refs -> chain) -> hosts -> model
//! policies, failover, guards ──────┘
//! ```

mod addresses;
mod ancestors;
mod attach;
mod backend_tls;
mod backends;
mod certificates;
mod chain;
mod classes;
mod conditions;
mod defaults;
mod expressions;
mod failover;
#[cfg(test)]
mod fixture;
mod gateways;
mod grants;
mod guards;
mod hostnames;
mod hosts;
mod listeners;
mod local;
mod matches;
mod merging;
mod order;
mod overlaps;
mod policies;
mod readiness;
mod refs;
mod routes;
mod rules;
mod selector;
mod services;
mod settings;
mod targets;
#[cfg(test)]
mod tests;
mod warnings;

use crate::model::Model;
use crate::problem::Problem;
use crate::resource::Gateway;
use crate::status::Statuses;
use crate::translate::{Options, read::Reader};

/// What resolving gives.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    pub model: Model,
    pub statuses: Statuses,
    /// In no particular order.
    pub problems: Vec<Problem>,
}

/// Resources to model.
pub fn resolve(reader: &Reader<'_>, options: &Options) -> Resolution {
    let mut statuses = Statuses::new();
    let mut problems = Vec::new();
    let grants = grants::Grants::new(reader);
    let mut served = served(reader, &grants, options, &mut statuses, &mut problems);
    let backends = backends::backends(reader, &grants, options, &mut statuses, &mut problems);
    let (guards, guarded) = guards::Guards::new(reader, &mut problems);
    let policies = policies::Policies::new(reader, &grants, guards, &mut problems);
    let failovers = failover::Failovers::new(reader, &mut problems);
    let mut routing = routes::Routing {
        reader,
        references: refs::References::new(reader, &grants, &backends, &policies.guards, options),
        policies: &policies,
        failovers: &failovers,
    };
    let parents = routes::place_all(&mut routing, &mut served, &mut statuses, &mut problems);
    for claims in [&policies.claims, &failovers.claims, &guarded] {
        let controller = |name: &_| served.controller(name);
        ancestors::add_statuses(
            claims,
            &policies,
            reader,
            &parents,
            controller,
            &mut statuses,
        );
    }
    let secrets = backends::secrets(&backends);
    let mut model = Model::default();
    for (plan, hosts) in served.plans.iter().zip(served.hosts) {
        statuses.insert(
            plan.key.clone(),
            plan.status(&hosts.attached, reader, options),
        );
        let gateway = hosts.into_gateway(plan, &secrets);
        model.gateways.insert(plan.name().clone(), gateway);
    }
    Resolution {
        model,
        statuses,
        problems,
    }
}

/// The Gateways of Locum's classes, served or refused, with hosts that no route has been placed in yet.
fn served<'a>(
    reader: &Reader<'a>,
    grants: &grants::Grants<'a>,
    options: &Options,
    statuses: &mut Statuses,
    problems: &mut Vec<Problem>,
) -> routes::Served<'a> {
    let certificates = certificates::Certificates { reader, grants };
    let classes = classes::classes(reader, options, statuses, problems);
    classes::note_missing(reader, statuses, problems);
    let plans: Vec<gateways::GatewayPlan<'a>> = reader
        .all::<Gateway>()
        .filter_map(|gateway| {
            let class = classes.get(gateway.spec.gateway_class_name.as_str())?;
            Some(gateways::GatewayPlan::new(
                gateway,
                class,
                &certificates,
                problems,
            ))
        })
        .collect();
    routes::Served {
        hosts: plans.iter().map(hosts::Hosts::new).collect(),
        by_name: plans
            .iter()
            .enumerate()
            .map(|(index, plan)| (plan.name().clone(), index))
            .collect(),
        plans,
    }
}
