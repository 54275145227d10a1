//! The responses of a discovery stream, as its HTTP body.
//!
//! tonic's own writer keeps as much room as the largest message of a stream took, for as long as the
//! stream lasts. Here each message has room of its own, which goes when the message has gone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderValue, header};
use hyper::body::{self, Frame};
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;

use super::codec::Writer;
use crate::xds::message::{Response, Variant};

/// What a stream says: responses, and at last the status that it ends with.
pub(super) type Said = Result<Box<Response>, Status>;

/// The responses of one stream. One becomes bytes when the transport asks for it, which it does for
/// one more than it can send: of what nobody reads the others cost references only.
struct Responses {
    writer: Writer,
    said: mpsc::Receiver<Said>,
    is_over: bool,
}

/// An answer over HTTP with what is said on a stream of a variant.
pub(super) fn answer(variant: Variant, said: mpsc::Receiver<Said>) -> http::Response<Body> {
    let body = Responses {
        writer: Writer(variant),
        said,
        is_over: false,
    };
    let mut answer = http::Response::new(Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(header::CONTENT_TYPE, grpc);
    answer
}

impl body::Body for Responses {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let said = ready!(self.said.poll_recv(context));
        let ended = match said.map(|said| said.and_then(|response| self.writer.bytes(&response))) {
            Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        let trailers = ended.add_header(&mut trailers).map(|()| trailers);
        Poll::Ready(Some(trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::xds::kind::Kind;
    use crate::xds::resource::{Readiness, Resource, Version};

    fn response(bytes: usize) -> Box<Response> {
        let resource = Resource {
            kind: Kind::Cluster,
            name: "large".into(),
            version: Version("1".into()),
            body: vec![7; bytes].into(),
            references: [].into(),
            readiness: Readiness::Immediate,
            owners: [].into(),
        };
        Box::new(Response {
            kind: Kind::Cluster,
            nonce: "1".into(),
            version: None,
            answers: Vec::new(),
            resources: vec![resource.into()],
            removed: Vec::new(),
        })
    }

    #[tokio::test]
    async fn a_large_response_leaves_no_room_behind() {
        let (sender, said) = mpsc::channel(3);
        let mut body = answer(Variant::Delta, said).into_body();
        for size in [4 << 20, 10] {
            sender.send(Ok(response(size))).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            let message = frame.into_data().unwrap();
            assert!(message.len() > size);
            // Whoever has sent it is the last to know of it.
            assert!(message.is_unique());
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_what_was_said_last() {
        let (sender, said) = mpsc::channel(3);
        let mut body = answer(Variant::Delta, said).into_body();
        sender.send(Err(Status::unavailable("gone"))).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        let trailers = frame.into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "14");
        assert_eq!(trailers["grpc-message"], "gone");
        assert!(body.frame().await.is_none());
    }
}
