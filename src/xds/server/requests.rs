//! The requests of a discovery stream, out of the bytes of its HTTP body.
//!
//! tonic's own reader keeps as much room as the largest message of a stream took, for as long as the
//! stream lasts. There are thousands of streams, most requests are acknowledgements of 100 bytes,
//! and the first is a hundred times as long: an Envoy says in it all that it can do. Here there is
//! room for what has come and was not read yet, and for nothing else.

use std::marker::PhantomData;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use prost::Message;
use prost::bytes::{Buf as _, Bytes, BytesMut};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataValue;

use super::MAX_MESSAGE_BYTES;

/// What stands before each message: whether it is compressed, and how long it is.
pub(super) const HEADER: usize = 5;

/// The requests of one stream.
pub(super) struct Requests<R> {
    body: Body,
    /// What has come of the next message, and what came with it of those after it.
    come: BytesMut,
    requests: PhantomData<fn() -> R>,
}

impl<R: Message + Default> Requests<R> {
    /// Those of a request's body.
    pub(super) fn of(body: Body) -> Self {
        Self {
            body,
            come: BytesMut::new(),
            requests: PhantomData,
        }
    }

    /// The next one; nothing once the proxy has ended its side of the stream or all of it. Whoever
    /// gives up waiting loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<R>, Status> {
        loop {
            if let Some(request) = self.take()? {
                return Ok(Some(request));
            }
            match self.body.frame().await.transpose() {
                // Trailers, which end the stream too, say nothing.
                Ok(frame) => match frame.map(|frame| frame.into_data()) {
                    Some(Ok(data)) => self.add(data),
                    Some(Err(_)) | None => return self.end(),
                },
                Err(status) if status.code() == tonic::Code::Cancelled => return Ok(None),
                Err(status) => return Err(status),
            }
        }
    }

    fn add(&mut self, data: Bytes) {
        if self.come.is_empty() {
            self.come = data.into();
        } else {
            self.come.extend_from_slice(&data);
        }
    }

    /// The next request, if all of it has come.
    fn take(&mut self) -> Result<Option<R>, Status> {
        let Some((&[compressed, length @ ..], rest)) = self.come.split_first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err(Status::internal(
                "a message says that it is compressed, and the stream does not say how",
            ));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_MESSAGE_BYTES {
            return Err(Status::out_of_range(format!(
                "a request has {length} bytes; the limit is {MAX_MESSAGE_BYTES}"
            )));
        }
        let Some(message) = rest.get(..length) else {
            return Ok(None);
        };
        let request = R::decode(message);
        let request = request.map_err(|error| Status::internal(error.to_string()))?;
        self.come.advance(HEADER + length);
        // What is left over moves out of the room of a request that was larger, so that no byte moves
        // more often than another is read.
        if self.come.len() <= length {
            self.come = BytesMut::from(&*self.come);
        }
        Ok(Some(request))
    }

    fn end(&self) -> Result<Option<R>, Status> {
        match self.come.is_empty() {
            true => Ok(None),
            false => Err(Status::internal("the stream ended within a message")),
        }
    }
}

/// Lets through requests that are not compressed.
///
/// # Errors
///
/// UNIMPLEMENTED, with what is read instead, as
/// [gRPC has it](https://grpc.github.io/grpc/core/md_doc_compression.html).
pub(super) fn must_be_plain(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get("grpc-encoding") {
        Some(encoding) if encoding != "identity" => {
            let what = format!("requests compressed with {encoding:?} are not read");
            let mut status = Status::unimplemented(what);
            let identity = MetadataValue::from_static("identity");
            let metadata = status.metadata_mut();
            metadata.insert("grpc-accept-encoding", identity);
            Err(status)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use prost::bytes::BufMut as _;

    use super::*;

    fn request(names: usize) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            resource_names_subscribe: (0..names).map(|name| name.to_string()).collect(),
            ..Default::default()
        }
    }

    fn bytes(requests: &[DeltaDiscoveryRequest]) -> Bytes {
        let mut bytes = BytesMut::new();
        for request in requests {
            bytes.put_u8(0);
            bytes.put_u32(request.encoded_len().try_into().unwrap());
            request.encode(&mut bytes).unwrap();
        }
        bytes.freeze()
    }

    /// Those of a body that comes in parts.
    fn requests(parts: Vec<Bytes>) -> Requests<DeltaDiscoveryRequest> {
        let frames = parts.into_iter();
        let frames = frames.map(|part| Ok::<_, Status>(Frame::data(part)));
        Requests::of(Body::new(StreamBody::new(stream::iter(frames))))
    }

    #[tokio::test]
    async fn requests_come_whole_however_their_bytes_come() {
        let sent = [request(3), request(0), request(200)];
        let bytes = bytes(&sent);
        for part in [1, 2, 7, 600, bytes.len()] {
            let parts = bytes.chunks(part).map(Bytes::copy_from_slice);
            let mut requests = requests(parts.collect());
            for request in &sent {
                assert_eq!(requests.next().await.unwrap().as_ref(), Some(request));
            }
            assert_eq!(requests.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_large_request_leaves_no_room_behind() {
        let bytes = bytes(&[request(100_000), request(1)]);
        let parts = bytes.chunks(16_384).map(Bytes::copy_from_slice);
        let mut requests = requests(parts.collect());
        let mut most = 0;
        while requests.next().await.unwrap().is_some() {
            most = most.max(requests.come.capacity());
        }
        assert!(most <= 32_768, "{most}");
        assert_eq!(requests.come.capacity(), 0);
    }

    #[tokio::test]
    async fn what_is_no_request_ends_the_stream_with_a_reason() {
        let too_long = u32::try_from(MAX_MESSAGE_BYTES + 1).unwrap().to_be_bytes();
        let cases: [(Vec<u8>, tonic::Code); 4] = [
            (vec![1, 0, 0, 0, 0], tonic::Code::Internal),
            ([&[0][..], &too_long].concat(), tonic::Code::OutOfRange),
            (vec![0, 0, 0, 0, 9, 1], tonic::Code::Internal),
            (vec![0, 0, 0, 0, 1, 0xff], tonic::Code::Internal),
        ];
        for (bytes, code) in cases {
            let refused = requests(vec![bytes.into()]).next().await.unwrap_err();
            assert_eq!(refused.code(), code, "{refused}");
        }
    }

    #[test]
    fn compressed_requests_are_refused_with_what_is_read_instead() {
        let headers = |encoding: &str| {
            let encoding = ("grpc-encoding".parse().unwrap(), encoding.parse().unwrap());
            HeaderMap::from_iter([encoding])
        };
        assert!(must_be_plain(&HeaderMap::new()).is_ok());
        assert!(must_be_plain(&headers("identity")).is_ok());
        let refused = must_be_plain(&headers("gzip")).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
        let read = refused.metadata().get("grpc-accept-encoding");
        assert_eq!(read.unwrap(), "identity");
    }
}
