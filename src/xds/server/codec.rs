//! How responses become bytes.
//!
//! They are written by hand, around the bytes of the resources that all streams share: the message
//! that prost would need of each stream is a copy of all of them, field by field. What is written is
//! what prost would write of [`delta::message`] and [`sotw::message`].
//!
//! [`delta::message`]: crate::xds::delta::message
//! [`sotw::message`]: crate::xds::sotw::message

use prost::bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;

use super::requests::HEADER;
use crate::xds::message::{Response, Variant};
use crate::xds::resource::Resource;

/// Writes responses in the form of a variant.
#[derive(Debug)]
pub(super) struct Writer(pub(super) Variant);

/// The numbers of fields in Envoy's and protobuf's messages.
mod field {
    /// `DiscoveryResponse` and `DeltaDiscoveryResponse`, alike but for the version and what is
    /// removed.
    pub(super) const VERSION_INFO: u32 = 1;
    pub(super) const RESOURCES: u32 = 2;
    pub(super) const TYPE_URL: u32 = 4;
    pub(super) const NONCE: u32 = 5;
    pub(super) const REMOVED_RESOURCES: u32 = 6;
    /// `envoy.service.discovery.v3.Resource`.
    pub(super) const ITEM_VERSION: u32 = 1;
    pub(super) const ITEM_RESOURCE: u32 = 2;
    pub(super) const ITEM_NAME: u32 = 3;
    pub(super) const ITEM_ALIASES: u32 = 4;
    /// `google.protobuf.Any`.
    pub(super) const ANY_TYPE_URL: u32 = 1;
    pub(super) const ANY_VALUE: u32 = 2;
}

impl Writer {
    /// A response as gRPC carries it.
    pub(super) fn bytes(&self, response: &Response) -> Result<Bytes, Status> {
        let length = self.length(response);
        let announced = u32::try_from(length).map_err(|_| {
            let what = format!("a response of {length} bytes is more than gRPC carries");
            Status::resource_exhausted(what)
        })?;
        let mut bytes = BytesMut::with_capacity(HEADER + length);
        // It is not compressed.
        bytes.put_u8(0);
        bytes.put_u32(announced);
        self.write(response, &mut bytes);
        Ok(bytes.freeze())
    }

    /// How many bytes `write` writes.
    fn length(&self, response: &Response) -> usize {
        let around = length(field::VERSION_INFO, self.version_info(response))
            + length(field::TYPE_URL, response.kind.type_url())
            + length(field::NONCE, &response.nonce);
        let resources: usize = match self.0 {
            Variant::Delta => {
                let items = items(response).map(|item| framed(field::RESOURCES, item.length()));
                let removed = response.removed.iter();
                let removed = removed.map(|name| framed(field::REMOVED_RESOURCES, name.len()));
                items.chain(removed).sum()
            }
            Variant::StateOfTheWorld => {
                let resources = response.resources.iter();
                let resources = resources.map(|one| framed(field::RESOURCES, any_length(one)));
                resources.sum()
            }
        };
        around + resources
    }

    /// Fields in the order of their numbers, as prost writes them; empty ones are left out.
    fn write(&self, response: &Response, buffer: &mut impl BufMut) {
        text(field::VERSION_INFO, self.version_info(response), buffer);
        match self.0 {
            Variant::Delta => {
                for item in items(response) {
                    head(field::RESOURCES, item.length(), buffer);
                    item.write(buffer);
                }
            }
            Variant::StateOfTheWorld => {
                for resource in &response.resources {
                    head(field::RESOURCES, any_length(resource), buffer);
                    write_any(resource, buffer);
                }
            }
        }
        text(field::TYPE_URL, response.kind.type_url(), buffer);
        text(field::NONCE, &response.nonce, buffer);
        if self.0 == Variant::Delta {
            repeated(field::REMOVED_RESOURCES, &response.removed, buffer);
        }
    }

    /// The version that a response is said to bring; in delta each resource has its own.
    fn version_info<'response>(&self, response: &'response Response) -> &'response str {
        match (self.0, &response.version) {
            (Variant::StateOfTheWorld, Some(version)) => &version.0,
            _ => "",
        }
    }
}

/// An element of a response in delta.
struct Item<'response> {
    name: &'response str,
    /// Nothing if there is none of this name.
    resource: Option<&'response Resource>,
    /// What was asked for and is answered with it.
    aliases: Vec<&'response str>,
}

/// What a response in delta carries, and then what it says is not there.
fn items(response: &Response) -> impl Iterator<Item = Item<'_>> {
    let answers = &response.answers;
    let found = response.resources.iter().map(|resource| {
        let ours = answers.iter().filter(|answer| {
            let found = answer.found.as_ref();
            found.is_some_and(|found| found.name == resource.name)
        });
        Item {
            name: &resource.name,
            resource: Some(resource),
            aliases: ours.map(|answer| &*answer.asked).collect(),
        }
    });
    let nothing = answers.iter().filter(|answer| answer.found.is_none());
    found.chain(nothing.map(|answer| Item {
        name: &answer.asked,
        resource: None,
        aliases: vec![&answer.asked],
    }))
}

impl Item<'_> {
    fn length(&self) -> usize {
        let resource = self.resource.map_or(0, |resource| {
            length(field::ITEM_VERSION, &*resource.version.0)
                + framed(field::ITEM_RESOURCE, any_length(resource))
        });
        let aliases = self.aliases.iter();
        let aliases = aliases.map(|alias| framed(field::ITEM_ALIASES, alias.len()));
        resource + length(field::ITEM_NAME, self.name) + aliases.sum::<usize>()
    }

    fn write(&self, buffer: &mut impl BufMut) {
        if let Some(resource) = self.resource {
            text(field::ITEM_VERSION, &*resource.version.0, buffer);
            head(field::ITEM_RESOURCE, any_length(resource), buffer);
            write_any(resource, buffer);
        }
        text(field::ITEM_NAME, self.name, buffer);
        repeated(field::ITEM_ALIASES, &self.aliases, buffer);
    }
}

fn any_length(resource: &Resource) -> usize {
    length(field::ANY_TYPE_URL, resource.kind.type_url()) + length(field::ANY_VALUE, &resource.body)
}

fn write_any(resource: &Resource, buffer: &mut impl BufMut) {
    text(field::ANY_TYPE_URL, resource.kind.type_url(), buffer);
    text(field::ANY_VALUE, &resource.body, buffer);
}

/// How long a field is whose content is so long.
fn framed(field: u32, content: usize) -> usize {
    key_len(field) + encoded_len_varint(content as u64) + content
}

/// How long a field of text or bytes is, which is left out when empty.
fn length(field: u32, content: impl AsRef<[u8]>) -> usize {
    match content.as_ref() {
        [] => 0,
        content => framed(field, content.len()),
    }
}

/// What stands before content that is so long.
fn head(field: u32, content: usize, buffer: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(content as u64, buffer);
}

/// A field of text or bytes, unless it is empty.
fn text(field: u32, content: impl AsRef<[u8]>, buffer: &mut impl BufMut) {
    let content = content.as_ref();
    if !content.is_empty() {
        head(field, content.len(), buffer);
        buffer.put_slice(content);
    }
}

/// Texts, of which empty ones stay.
fn repeated(field: u32, texts: &[impl AsRef<str>], buffer: &mut impl BufMut) {
    for text in texts.iter().map(AsRef::as_ref) {
        head(field, text.len(), buffer);
        buffer.put_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::xds::kind::Kind;
    use crate::xds::resource::{Readiness, Version};
    use crate::xds::virtual_hosts::Answer;
    use crate::xds::{delta, sotw};

    fn resource(kind: Kind) -> impl Strategy<Value = Arc<Resource>> {
        let body = vec(any::<u8>(), 0..300);
        (".{0,140}", "[0-9a-f]{0,16}", body).prop_map(move |(name, version, body)| {
            Arc::new(Resource {
                kind,
                name: name.into(),
                version: Version(version.into()),
                body: body.into(),
                references: [].into(),
                readiness: Readiness::Immediate,
                owners: Arc::new([]),
            })
        })
    }

    /// What was asked for, and whether one of the resources is the answer.
    fn questions() -> impl Strategy<Value = Vec<(String, Option<prop::sample::Index>)>> {
        let one = (".{0,140}", prop::option::of(any::<prop::sample::Index>()));
        prop_oneof![3 => Just(Vec::new()), 1 => vec(one, 0..4)]
    }

    prop_compose! {
        fn response()(kind in prop::sample::select(&Kind::ALL[..]))(
            kind in Just(kind),
            nonce in "[0-9]{0,3}",
            version in prop::option::of("[0-9a-f]{0,16}"),
            resources in vec(resource(kind), 0..4),
            removed in vec(".{0,140}", 0..4),
            questions in questions(),
        ) -> Response {
            let found = |index: prop::sample::Index| {
                (!resources.is_empty()).then(|| index.get(&resources).clone())
            };
            let answers = questions.into_iter().map(|(asked, index)| Answer {
                asked: asked.into(),
                found: index.and_then(found),
            });
            Response {
                kind,
                nonce,
                version: version.map(|version| Version(version.into())),
                answers: answers.collect(),
                resources,
                removed: removed.into_iter().map(Into::into).collect(),
            }
        }
    }

    fn written(variant: Variant, response: &Response) -> Vec<u8> {
        let writer = Writer(variant);
        let mut bytes = Vec::new();
        writer.write(response, &mut bytes);
        assert_eq!(bytes.len(), writer.length(response));
        bytes
    }

    proptest! {
        #[test]
        fn responses_are_written_as_prost_would_write_them(response in response()) {
            let message = delta::message(&response).encode_to_vec();
            prop_assert_eq!(written(Variant::Delta, &response), message);
            let message = sotw::message(&response).encode_to_vec();
            prop_assert_eq!(written(Variant::StateOfTheWorld, &response), message);
        }
    }
}
