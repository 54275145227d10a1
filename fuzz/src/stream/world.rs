//! What is served: a few resources of each kind, with names that are easily mistaken and references
//! that need not lead anywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arbitrary::{Arbitrary, Unstructured};
use locum::xds::content::RESPONSE_BYTES;
use locum::xds::kind::Kind;
use locum::xds::resource::{Readiness, Resource, Version};
use locum::xds::snapshot::Snapshot;

/// The names of resources, and two that no resource ever has.
pub(super) const NAMES: [&str; 8] = ["a", "b", "a.b", "é", "", "*", "nobody", "a/b"];

/// How many of these resources have.
const SERVED: usize = 6;

/// A body of more than half a response: two of them do not fit into one.
static LARGE: LazyLock<Arc<[u8]>> = LazyLock::new(|| vec![0; RESPONSE_BYTES / 2 + 1].into());
static SMALL: LazyLock<Arc<[u8]>> = LazyLock::new(|| vec![0; 8].into());

/// The content that nothing but the last snapshot has.
const LAST: u8 = u8::MAX;

/// The form of one resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    content: u8,
    /// A bit for each thing that it may refer to.
    references: u8,
    readiness: Readiness,
    is_large: bool,
}

impl Form {
    fn of(byte: u8, references: u8) -> Self {
        Self {
            content: byte & 3,
            references,
            readiness: match byte >> 2 & 3 {
                0 => Readiness::Immediate,
                1 => Readiness::Checks,
                2 => Readiness::Endpoints,
                _ => Readiness::Dns,
            },
            is_large: byte >> 6 == 3,
        }
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            content,
            references,
            readiness,
            is_large,
        } = self;
        write!(f, "{content} {readiness:?} -> {references:08b}")?;
        f.write_str(if *is_large { " large" } else { "" })
    }
}

/// A change of one resource, or its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    kind: Kind,
    name: &'static str,
    form: Option<Form>,
}

impl<'a> Arbitrary<'a> for Edit {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let [place, form, references]: [u8; 3] = u.arbitrary()?;
        let place = usize::from(place);
        Ok(Self {
            kind: KINDS[place % KINDS.len()],
            name: NAMES[place / KINDS.len() % SERVED],
            form: (form >> 4 & 3 != 3).then(|| Form::of(form, references)),
        })
    }
}

/// Everything that is served now.
#[derive(Clone, Debug, Default)]
pub(super) struct World(BTreeMap<(Kind, &'static str), Form>);

impl World {
    pub(super) fn edit(&mut self, edit: Edit) {
        match edit.form {
            Some(form) => self.0.insert((edit.kind, edit.name), form),
            None => self.0.remove(&(edit.kind, edit.name)),
        };
    }

    /// The same names, all with content that no proxy can have.
    pub(super) fn anew(&mut self) {
        for form in self.0.values_mut() {
            form.content = LAST;
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let forms = self.0.iter();
        let resources = forms.map(|((kind, name), form)| resource(*kind, name, *form));
        Snapshot::new(resources, None)
    }
}

/// The version that some form has: what a proxy may say that it holds.
pub(super) fn version(byte: u8, references: u8) -> String {
    version_of(Form::of(byte, references))
}

fn version_of(form: Form) -> String {
    format!("{form:?}")
}

fn resource(kind: Kind, name: &str, form: Form) -> Resource {
    let body = if form.is_large { &*LARGE } else { &*SMALL };
    let targets = targets(kind).iter().enumerate();
    let named = targets.filter(|(index, _)| form.references >> index & 1 == 1);
    let readiness = match kind {
        Kind::Cluster => form.readiness,
        _ => Readiness::Immediate,
    };
    Resource {
        kind,
        name: name.into(),
        version: Version(version_of(form).into()),
        body: body.clone(),
        references: named
            .map(|(_, (kind, name))| (*kind, (*name).into()))
            .collect(),
        readiness,
        owners: Arc::new([]),
    }
}

/// The kinds that are asked for and served. Virtual hosts are left out: a proxy gets all that there are,
/// and its names are questions, so that another truth holds of them.
pub(super) const KINDS: [Kind; 6] = [
    Kind::Secret,
    Kind::Cluster,
    Kind::Endpoint,
    Kind::Listener,
    Kind::Extension,
    Kind::Route,
];

/// What resources of a kind may refer to.
fn targets(kind: Kind) -> &'static [(Kind, &'static str)] {
    match kind {
        Kind::Secret | Kind::Endpoint => &[],
        Kind::Cluster => &[
            (Kind::Endpoint, "a"),
            (Kind::Endpoint, "b"),
            (Kind::Cluster, "a"),
            (Kind::Cluster, "b"),
            (Kind::Cluster, "a.b"),
            (Kind::Secret, "a"),
            (Kind::Endpoint, "nobody"),
            (Kind::Cluster, "nobody"),
        ],
        Kind::Listener => &[
            (Kind::Route, "a"),
            (Kind::Route, "b"),
            (Kind::Cluster, "a"),
            (Kind::Secret, "a"),
            (Kind::Secret, "b"),
            (Kind::Route, "nobody"),
            (Kind::Cluster, "b"),
            (Kind::Extension, "a"),
        ],
        Kind::Extension => &[
            (Kind::Cluster, "a"),
            (Kind::Cluster, "b"),
            (Kind::Secret, "a"),
            (Kind::Extension, "a"),
            (Kind::Extension, "b"),
        ],
        // Not among KINDS.
        Kind::VirtualHost => &[],
        Kind::Route => &[
            (Kind::Cluster, "a"),
            (Kind::Cluster, "b"),
            (Kind::Cluster, "a.b"),
            (Kind::Cluster, "é"),
            (Kind::Cluster, ""),
            (Kind::Cluster, "nobody"),
            (Kind::Route, "a"),
        ],
    }
}
