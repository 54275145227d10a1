//! Canonical bytes: equal messages are encoded equally, in every replica and after a restart.
//!
//! prost writes fields in order, but the entries of a map field in the order of a `HashMap`, which
//! differs from one map to the next. Here a message is encoded and then every run of map entries is
//! sorted, in sub-messages and in what an `Any` packs too. Sorting changes no length, so it is done
//! in place, and messages that can hold no map are stepped over.
//!
//! In: a message and what kind it is. Out: its bytes. Nothing else about the message changes:
//! decoding gives an equal message.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use prost_reflect::{Kind as FieldKind, MessageDescriptor};

use crate::xds::descriptors;
use crate::xds::kind::Kind;

/// The canonical bytes of `message`, which is of `kind`.
pub fn encode<M: prost::Message>(kind: Kind, message: &M) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    sort_maps(kind.type_url(), &mut bytes);
    bytes
}

/// Sorts the map entries in `bytes`, a message of the type that `type_url` names, as prost encoded
/// it (all entries of one map together). A type that is not known, or bytes that are no message,
/// are left as they are.
pub fn sort_maps(type_url: &str, bytes: &mut [u8]) {
    if let Some(shape) = SHAPES.of(type_url) {
        SHAPES.sort(shape, bytes);
    }
}

/// Where in a type's encoding there may be maps.
#[derive(Debug)]
enum Shape {
    /// Nowhere.
    Plain,
    /// `google.protobuf.Any`: where its type URL says.
    Any,
    /// In these fields, by number.
    Fields(Vec<(u32, Field)>),
}

/// A field that is a map or may hold one.
#[derive(Clone, Copy, Debug)]
struct Field {
    is_map: bool,
    /// Index of the shape of the field's message, for a map of its entries.
    shape: usize,
}

#[derive(Debug)]
struct Shapes {
    by_name: HashMap<String, usize>,
    shapes: Vec<Shape>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::new);

const ANY: &str = "google.protobuf.Any";
const ANY_TYPE_URL_FIELD: u32 = 1;
const ANY_VALUE_FIELD: u32 = 2;

impl Shapes {
    fn new() -> Self {
        let messages: Vec<MessageDescriptor> = descriptors::pool().all_messages().collect();
        let by_name: HashMap<String, usize> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| (message.full_name().to_owned(), index))
            .collect();
        let with_maps = with_maps(&messages, &by_name);
        let shapes = messages
            .iter()
            .map(|message| match message.full_name() {
                ANY => Shape::Any,
                name if !with_maps[by_name[name]] => Shape::Plain,
                _ => Shape::Fields(
                    message_fields(message, &by_name)
                        .filter(|(_, field)| field.is_map || with_maps[field.shape])
                        .collect(),
                ),
            })
            .collect();
        Self { by_name, shapes }
    }

    fn of(&self, type_url: &str) -> Option<usize> {
        let name = type_url.rsplit('/').next()?;
        self.by_name.get(name).copied()
    }

    fn sort(&self, shape: usize, bytes: &mut [u8]) {
        match &self.shapes[shape] {
            Shape::Plain => {}
            Shape::Any => self.sort_any(bytes),
            Shape::Fields(fields) => self.sort_fields(fields, bytes),
        }
    }

    fn sort_any(&self, bytes: &mut [u8]) {
        let (mut shape, mut value) = (None, None);
        let mut at = 0;
        while let Some(record) = Record::read(bytes, at) {
            at = record.end;
            match record.number {
                ANY_TYPE_URL_FIELD => {
                    shape = std::str::from_utf8(&bytes[record.content()])
                        .ok()
                        .and_then(|url| self.of(url));
                }
                ANY_VALUE_FIELD => value = Some(record.content()),
                _ => {}
            }
        }
        if let (Some(shape), Some(value)) = (shape, value) {
            self.sort(shape, &mut bytes[value]);
        }
    }

    fn sort_fields(&self, fields: &[(u32, Field)], bytes: &mut [u8]) {
        let mut at = 0;
        let mut entries = Entries::default();
        while let Some(record) = Record::read(bytes, at) {
            at = record.end;
            let field = fields
                .binary_search_by_key(&record.number, |(number, _)| *number)
                .ok()
                .map(|index| fields[index].1)
                .filter(|_| record.is_delimited);
            if let Some(field) = field {
                self.sort(field.shape, &mut bytes[record.content()]);
            }
            if entries.number != record.number {
                entries.sort(bytes);
                entries = Entries::default();
            }
            if field.is_some_and(|field| field.is_map) {
                entries.number = record.number;
                entries.records.push(record.start..record.end);
            }
        }
        entries.sort(bytes);
    }
}

/// The fields of `message` that hold messages, by number.
fn message_fields(
    message: &MessageDescriptor,
    by_name: &HashMap<String, usize>,
) -> impl Iterator<Item = (u32, Field)> {
    message.fields().filter_map(|field| {
        let FieldKind::Message(target) = field.kind() else {
            return None;
        };
        let shape = by_name[target.full_name()];
        let is_map = field.is_map();
        Some((field.number(), Field { is_map, shape }))
    })
}

/// Which messages may hold a map, at any depth: those that have one, and then those that hold such
/// a message, until no more are found. An `Any` may hold anything.
fn with_maps(messages: &[MessageDescriptor], by_name: &HashMap<String, usize>) -> Vec<bool> {
    let fields: Vec<Vec<Field>> = messages
        .iter()
        .map(|message| {
            message_fields(message, by_name)
                .map(|(_, field)| field)
                .collect()
        })
        .collect();
    let mut found: Vec<bool> = messages
        .iter()
        .zip(&fields)
        .map(|(message, fields)| {
            message.full_name() == ANY || fields.iter().any(|field| field.is_map)
        })
        .collect();
    loop {
        let before = found.iter().filter(|found| **found).count();
        for (index, fields) in fields.iter().enumerate() {
            found[index] = found[index] || fields.iter().any(|field| found[field.shape]);
        }
        if found.iter().filter(|found| **found).count() == before {
            return found;
        }
    }
}

/// The entries of one map field that were met so far.
#[derive(Debug, Default)]
struct Entries {
    number: u32,
    records: Vec<Range<usize>>,
}

impl Entries {
    /// Puts the entries in order: of their bytes, in which the key comes first and no two are
    /// equal.
    fn sort(&self, bytes: &mut [u8]) {
        let (Some(first), Some(last)) = (self.records.first(), self.records.last()) else {
            return;
        };
        let mut sorted: Vec<&[u8]> = self
            .records
            .iter()
            .map(|record| &bytes[record.clone()])
            .collect();
        if sorted.is_sorted() {
            return;
        }
        sorted.sort_unstable();
        let sorted = sorted.concat();
        bytes[first.start..last.end].copy_from_slice(&sorted);
    }
}

/// One field of an encoded message, with its tag.
#[derive(Debug)]
struct Record {
    number: u32,
    /// Whether the content is bytes with their length before them: strings, messages and map
    /// entries are.
    is_delimited: bool,
    start: usize,
    content: usize,
    end: usize,
}

impl Record {
    /// The record that begins at `start`, unless that is the end or no record.
    fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let (tag, after_tag) = varint(bytes, start)?;
        let (content, end) = match tag & 7 {
            0 => (after_tag, varint(bytes, after_tag)?.1),
            1 => (after_tag, after_tag + 8),
            2 => {
                let (length, content) = varint(bytes, after_tag)?;
                (content, content.checked_add(usize::try_from(length).ok()?)?)
            }
            5 => (after_tag, after_tag + 4),
            _ => return None,
        };
        (end <= bytes.len()).then_some(Self {
            number: u32::try_from(tag >> 3).ok()?,
            is_delimited: tag & 7 == 2,
            start,
            content,
            end,
        })
    }

    fn content(&self) -> Range<usize> {
        self.content..self.end
    }
}

/// The number that begins at `at`, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::{Metadata, TypedExtensionConfig};
    use envoy_types::pb::google::protobuf::{Struct, Value, value};
    use envoy_types::util::pack_any;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    /// A cluster with maps in its metadata and, packed twice, in an `Any` in an `Any` in a map.
    fn cluster(entries: &[(String, String)]) -> Cluster {
        let text = |value: &String| Value {
            kind: Some(value::Kind::StringValue(value.clone())),
        };
        let fields: HashMap<String, Value> = entries
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect();
        let structure = Struct { fields };
        let metadata = Metadata {
            filter_metadata: entries
                .iter()
                .map(|(key, _)| (key.clone(), structure.clone()))
                .collect(),
            typed_filter_metadata: HashMap::new(),
        };
        let packed = pack_any(metadata.clone());
        let extension = TypedExtensionConfig {
            name: "x".into(),
            typed_config: Some(packed),
        };
        Cluster {
            name: "c".into(),
            typed_extension_protocol_options: entries
                .iter()
                .map(|(key, _)| (key.clone(), pack_any(extension.clone())))
                .collect(),
            metadata: Some(metadata),
            ..Cluster::default()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn equal_messages_have_equal_bytes(
            entries in proptest::collection::hash_map("[a-z]{0,12}", "[a-z]{0,4}", 0..8)
        ) {
            let forwards: Vec<_> = entries.into_iter().collect();
            let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
            let bytes = encode(Kind::Cluster, &cluster(&forwards));
            prop_assert_eq!(&bytes, &encode(Kind::Cluster, &cluster(&backwards)));

            let decoded = Cluster::decode(bytes.as_slice()).unwrap();
            prop_assert_eq!(decoded.metadata, cluster(&forwards).metadata);
            prop_assert_eq!(bytes.len(), cluster(&forwards).encoded_len());
            prop_assert_eq!(&bytes, &encode(Kind::Cluster, &cluster_of(&bytes)));
        }

        #[test]
        fn bytes_that_are_no_message_are_left_alone(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            let mut before = bytes.clone();
            sort_maps(Kind::Cluster.type_url(), &mut bytes);
            before.sort_unstable();
            bytes.sort_unstable();
            prop_assert_eq!(before, bytes);
        }
    }

    fn cluster_of(bytes: &[u8]) -> Cluster {
        Cluster::decode(bytes).unwrap()
    }

    #[test]
    fn prost_alone_is_not_canonical() {
        let entries: Vec<_> = (0..32).map(|n| (n.to_string(), String::new())).collect();
        let first = cluster(&entries).encode_to_vec();
        assert!(
            (0..8).any(|_| cluster(&entries).encode_to_vec() != first),
            "prost's map order became stable: this module can go"
        );
    }
}
