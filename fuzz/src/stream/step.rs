//! What happens to a stream, read from bytes: as each takes the next few, a changed byte changes
//! one step.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use locum::xds::kind::Kind;

use super::world::{Edit, KINDS, NAMES, version};

/// More than this adds nothing but time.
const MOST_STEPS: usize = 64;

/// One thing that happens.
#[derive(Debug)]
pub(super) enum Step {
    /// A snapshot with these changes.
    Publish(Vec<Edit>),
    /// The proxy says whatever it likes.
    Say(Saying),
    /// It answers the oldest responses of a kind, so many at once, as an honest one does.
    Answer(Kind, usize, Verdict),
    /// It says what it wants of a kind, with the nonce that it heard last.
    Ask(Kind, Wish),
    /// Time passes.
    Wait(Duration),
    /// Time passes until nothing is waited for.
    Idle,
}

/// What a proxy says to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// The names in its words, and where these name nothing that it was sent, what it applied all
    /// the same: a bit for each name.
    Refused {
        named: u8,
        applied: u8,
    },
}

/// Changes of a subscription: a bit for each name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) names: u8,
    /// In delta.
    pub(super) gone: u8,
}

/// A request that need not make sense.
#[derive(Debug)]
pub(super) struct Saying {
    /// Nothing is a type that is not served.
    pub(super) kind: Option<Kind>,
    pub(super) nonce: Nonce,
    pub(super) wish: Wish,
    pub(super) verdict: Verdict,
    /// Of its first request in delta: names with versions.
    pub(super) known: Vec<(&'static str, String)>,
    /// In the state of the world.
    pub(super) version: Claim,
    pub(super) has_locators: bool,
}

/// The response that a request says it answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nonce {
    None,
    /// Counted back from the newest response of any kind.
    Back(u8),
    Text(&'static str),
}

/// The version that a request says was accepted last.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    None,
    /// What the proxy accepted.
    True,
    /// What it would accept with the newest response of the kind.
    Newest,
    Invented,
}

/// Texts that are no nonce of a response, or are read as one by mistake.
const TEXTS: [&str; 6] = ["x", "0", "+1", "01", "18446744073709551616", "-1"];

/// Whether the bits hold this name.
pub(super) fn holds(bits: u8, name: &str) -> bool {
    names(bits).any(|held| held == name)
}

/// The names that the bits stand for.
pub(super) fn names(bits: u8) -> impl Iterator<Item = &'static str> {
    let names = NAMES.into_iter().enumerate();
    names.filter_map(move |(index, name)| (bits >> index & 1 == 1).then_some(name))
}

fn kind(byte: u8) -> Kind {
    KINDS[usize::from(byte) % KINDS.len()]
}

/// Everything that happens to one stream.
#[derive(Debug)]
pub struct Play {
    pub(super) steps: Vec<Step>,
    /// Whether the last snapshot has content that no proxy can have: then it does not matter what
    /// the proxy had, or said it had.
    pub(super) ends_anew: bool,
}

impl<'a> Arbitrary<'a> for Play {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let ends_anew = u.arbitrary()?;
        let mut steps = Vec::new();
        while !u.is_empty() && steps.len() < MOST_STEPS {
            steps.push(u.arbitrary()?);
        }
        Ok(Self { steps, ends_anew })
    }
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let byte: u8 = u.arbitrary()?;
        Ok(match byte % 8 {
            0 => {
                let edits = (0..=byte / 8 % 8).map(|_| u.arbitrary());
                Step::Publish(edits.collect::<arbitrary::Result<_>>()?)
            }
            1 => Step::Say(u.arbitrary()?),
            2 => Step::Answer(kind(byte / 8), 1, u.arbitrary()?),
            3 => Step::Answer(kind(byte / 8), 1, Verdict::Accepted),
            4 => Step::Answer(kind(byte / 8), usize::MAX, u.arbitrary()?),
            5 => Step::Ask(kind(byte / 8), u.arbitrary()?),
            6 => Step::Wait(Duration::from_millis(u64::from(u.arbitrary::<u8>()?) * 50)),
            _ => Step::Idle,
        })
    }
}

impl<'a> Arbitrary<'a> for Verdict {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let [is_refused, named, applied] = u.arbitrary()?;
        Ok(match is_refused {
            0..0x80u8 => Verdict::Accepted,
            _ => Verdict::Refused { named, applied },
        })
    }
}

impl<'a> Arbitrary<'a> for Wish {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let [names, gone] = u.arbitrary()?;
        Ok(Wish { names, gone })
    }
}

impl<'a> Arbitrary<'a> for Saying {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let [what, nonce, claim, known]: [u8; 4] = u.arbitrary()?;
        let known = (0..known % 4).map(|_| {
            let [name, form, references]: [u8; 3] = u.arbitrary()?;
            let name = NAMES[usize::from(name) % NAMES.len()];
            Ok((name, version(form, references)))
        });
        Ok(Saying {
            known: known.collect::<arbitrary::Result<_>>()?,
            kind: (what % 8 < 7).then(|| kind(what / 8)),
            has_locators: what % 8 == 6,
            nonce: match nonce % 4 {
                0 => Nonce::None,
                1 | 2 => Nonce::Back(nonce / 4),
                _ => Nonce::Text(TEXTS[usize::from(nonce / 4) % TEXTS.len()]),
            },
            version: match claim % 4 {
                0 => Claim::None,
                1 => Claim::True,
                2 => Claim::Newest,
                _ => Claim::Invented,
            },
            wish: u.arbitrary()?,
            verdict: u.arbitrary()?,
        })
    }
}
