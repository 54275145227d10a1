//! The cases.

mod image;
mod page;

use crate::docker::Docker;

/// A case: its name, and what it does.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Docker) -> anyhow::Result<()>,
}

/// Every case.
pub(crate) const ALL: &[Case] = &[
    Case {
        name: "the_image_is_one_program_that_nobody_runs",
        run: image::is_one_program_that_nobody_runs,
    },
    Case {
        name: "two_builds_at_different_times_are_one_image",
        run: image::two_builds_at_different_times_are_one_image,
    },
    Case {
        name: "the_page_in_compose_loses_nothing",
        run: page::loses_nothing,
    },
];
