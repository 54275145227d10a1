//! The Envoy of `deploy/compose`.

use std::fs;

use super::{printed, shipped};

#[test]
fn the_bootstrap_in_compose_is_what_locum_prints() {
    let words = "bootstrap --gateway default/eg --node-id envoy --xds-address locum:18000";
    let text = fs::read_to_string(shipped("compose/bootstrap.yaml")).unwrap();
    let arguments: Vec<&str> = words.split(' ').collect();
    assert!(
        text == printed(&arguments),
        "deploy/compose/bootstrap.yaml is not what Locum prints; make it anew:\n    \
         cargo run -- {words} > deploy/compose/bootstrap.yaml"
    );
}
