#![no_main]

use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use libfuzzer_sys::fuzz_target;
use locum_fuzz::stream::{Play, play};

fuzz_target!(|steps: Play| play::<DiscoveryRequest>(steps));
