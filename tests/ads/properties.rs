//! A model of a proxy against random edits: it subscribes, acknowledges, refuses and reconnects at
//! random.
//!
//! It stands right at the stream's machine, without a transport, so that each case takes
//! microseconds. At every moment: the proxy holds no reference to what it has not got, nothing
//! equal is sent twice (but for what the protocol and Envoy demand), no wait ends by its bound. At
//! rest: the proxy has what the snapshot holds, in both variants of the protocol; one that comes back
//! with it is sent nothing.

mod model;
mod world;

use locum::xds::message::Variant;
use model::{Contents, Model};
use proptest::prelude::*;
use world::{BAD, Step, steps};

const VARIANTS: [Variant; 2] = [Variant::Delta, Variant::StateOfTheWorld];

/// Plays the steps with a proxy of each variant; returns what they have at rest.
fn run(steps: &[Step], names_culprits: bool, takes_everything: bool) -> [Contents; 2] {
    VARIANTS.map(|variant| {
        let mut model = Model::new(variant, names_culprits);
        for step in steps {
            model.step(step.clone());
        }
        model.rest();
        model.check_rest();
        let contents = model.contents();
        if takes_everything {
            model.check_return();
        }
        contents
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        // More by PROPTEST_CASES.
        cases: ProptestConfig::default().cases.max(1000),
        // A case worth keeping becomes a conversation.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_proxy_that_takes_everything_ends_with_the_snapshot(steps in steps(4)) {
        let [delta, sotw] = run(&steps, false, true);
        prop_assert_eq!(delta, sotw);
    }

    #[test]
    fn a_proxy_that_refuses_some_ends_with_all_others(steps in steps(BAD), names in any::<bool>()) {
        run(&steps, names, false);
    }
}
