//! A simulated proxy: a delta stream on a connection of its own that takes in what it is sent,
//! acknowledges it and tells a [`Tally`]. It speaks as much HTTP/2 as that takes, so that it costs
//! little beside the servers that are measured: a read and a write for each response.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATH: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// What a frame may carry at most, unless agreed otherwise.
const MAX_FRAME: usize = 16_384;
/// How much may be under way unless agreed otherwise.
const FIRST_WINDOW: u32 = 65_535;
/// The largest window there is: no bench sends as much to a client, so it need not grow.
const WINDOW: u32 = (1 << 31) - 1;
/// The receive buffer of a client that is to read nothing: the kernel then takes little for it.
const SMALL_BUFFER: u32 = 8_192;

/// Frames by their type.
mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    /// Flags of the types that are used here.
    pub(super) const ACK: u8 = 1;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
}

/// What all clients of one server have been sent and have said.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) responses: AtomicU64,
    pub(crate) resources: AtomicU64,
    /// Of responses, without frames and headers.
    pub(crate) bytes: AtomicU64,
    goal: AtomicU64,
    reached: Mutex<Option<Instant>>,
    news: Notify,
    broken: Mutex<Option<String>>,
}

impl Tally {
    /// Sets out to wait for so many more responses.
    pub(crate) fn expect(&self, more: u64) {
        *lock(&self.reached) = None;
        let goal = self.responses.load(Ordering::Acquire) + more;
        self.goal.store(goal, Ordering::Release);
    }

    /// When the last of the expected responses was taken in.
    pub(crate) async fn reached(&self) -> anyhow::Result<Instant> {
        loop {
            let news = self.news.notified();
            if let Some(why) = lock(&self.broken).clone() {
                bail!("a client gave up: {why}");
            }
            if let Some(at) = *lock(&self.reached) {
                return Ok(at);
            }
            news.await;
        }
    }

    /// Notes that a client cannot go on.
    pub(crate) fn broke(&self, why: &anyhow::Error) {
        *lock(&self.broken) = Some(format!("{why:#}"));
        self.news.notify_one();
    }

    /// How many responses came, and how many resources in them.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let [responses, resources] =
            [&self.responses, &self.resources].map(|count| count.load(Ordering::Acquire));
        (responses, resources)
    }

    fn took(&self, bytes: usize, response: &Skimmed) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let resources = response.resources.len() as u64;
        self.resources.fetch_add(resources, Ordering::Relaxed);
        let responses = self.responses.fetch_add(1, Ordering::AcqRel) + 1;
        if responses == self.goal.load(Ordering::Acquire) {
            *lock(&self.reached) = Some(Instant::now());
            self.news.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Everything,
    /// As little as it and its kernel can.
    Little,
}

/// A client's connection, with its one stream.
pub(crate) struct Client {
    io: TcpStream,
    read: BytesMut,
    write: BytesMut,
    /// What has come of the message after the last.
    message: BytesMut,
    /// How many bytes the server would still take, on the connection and on the stream.
    windows: [i64; 2],
}

impl Client {
    /// Opens a stream and says `requests` on it; the first of them gets a node.
    pub(crate) async fn open(
        server: SocketAddr,
        id: usize,
        group: &str,
        requests: &[Bytes],
        reads: Reads,
        tally: &Tally,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let window = match reads {
            Reads::Everything => WINDOW,
            Reads::Little => {
                socket.set_recv_buffer_size(SMALL_BUFFER)?;
                FIRST_WINDOW
            }
        };
        let io = socket.connect(server).await.context("connecting")?;
        io.set_nodelay(true)?;
        let mut client = Self {
            io,
            read: BytesMut::new(),
            write: BytesMut::new(),
            message: BytesMut::new(),
            windows: [i64::from(FIRST_WINDOW); 2],
        };
        client.greet(server, window);
        let node = DeltaDiscoveryRequest {
            node: Some(Node {
                id: format!("proxy-{id}"),
                cluster: group.to_owned(),
                user_agent_name: "simulated".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut node = node.encode_to_vec();
        for request in requests {
            // Fields of a message may come in any order, so one goes before the others.
            node.extend_from_slice(request);
            client.say(&node, tally).await?;
            node.clear();
        }
        client.flush().await?;
        Ok(client)
    }

    /// Takes in and acknowledges so many responses.
    pub(crate) async fn take(&mut self, mut responses: usize, tally: &Tally) -> anyhow::Result<()> {
        while responses > 0 {
            self.receive().await?;
            while let Some(message) = self.next_message() {
                let response = Skimmed::decode(message.clone()).context("a response")?;
                tally.took(message.len(), &response);
                let acknowledgement = DeltaDiscoveryRequest {
                    type_url: response.type_url,
                    response_nonce: response.nonce,
                    ..Default::default()
                };
                self.say(&acknowledgement.encode_to_vec(), tally).await?;
                responses = responses.saturating_sub(1);
            }
            self.flush().await?;
        }
        Ok(())
    }

    fn greet(&mut self, server: SocketAddr, window: u32) {
        self.write.put_slice(PREFACE);
        let mut settings = BytesMut::new();
        settings.put_u16(4); // SETTINGS_INITIAL_WINDOW_SIZE
        settings.put_u32(window);
        self.frame(frame::SETTINGS, 0, 0, &settings);
        if window > FIRST_WINDOW {
            self.frame(
                frame::WINDOW_UPDATE,
                0,
                0,
                &(window - FIRST_WINDOW).to_be_bytes(),
            );
        }
        // HPACK: indexed fields of the static table, then literals that are not to be indexed.
        let mut headers = BytesMut::from(&[0x83, 0x86][..]); // :method POST, :scheme http
        literal(&mut headers, &[0x04], PATH);
        literal(&mut headers, &[0x01], &server.to_string());
        literal(&mut headers, &[0x0f, 0x10], "application/grpc");
        literal(&mut headers, b"\x00\x02te", "trailers");
        self.frame(frame::HEADERS, frame::END_HEADERS, 1, &headers);
    }

    /// Says a message, as soon as the server would take it.
    async fn say(&mut self, message: &[u8], tally: &Tally) -> anyhow::Result<()> {
        let mut rest = BytesMut::with_capacity(5 + message.len());
        rest.put_u8(0);
        rest.put_u32(u32::try_from(message.len())?);
        rest.put_slice(message);
        while !rest.is_empty() {
            let window = self.windows[0].min(self.windows[1]);
            let part = rest
                .len()
                .min(MAX_FRAME)
                .min(usize::try_from(window).unwrap_or(0));
            if part == 0 {
                self.flush().await?;
                self.receive().await?;
                continue;
            }
            let part = rest.split_to(part);
            for window in &mut self.windows {
                *window -= i64::try_from(part.len())?;
            }
            self.frame(frame::DATA, 0, 1, &part);
        }
        tally.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        self.write.put_uint(length, 3);
        self.write.put_u8(kind);
        self.write.put_u8(flags);
        self.write.put_u32(stream);
        self.write.put_slice(payload);
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.write.is_empty() {
            self.io.write_all(&self.write).await.context("writing")?;
            self.write.clear();
        }
        Ok(())
    }

    /// Reads once, and takes in the frames that are whole.
    async fn receive(&mut self) -> anyhow::Result<()> {
        self.read.reserve(MAX_FRAME);
        let read = self.io.read_buf(&mut self.read).await.context("reading")?;
        ensure!(read > 0, "the server closed the connection");
        while let Some(header) = self.read.first_chunk::<9>() {
            let mut header = &header[..];
            let length = usize::try_from(header.get_uint(3))?;
            let (kind, flags, stream) = (header.get_u8(), header.get_u8(), header.get_u32());
            if self.read.len() < 9 + length {
                break;
            }
            self.read.advance(9);
            let payload = self.read.split_to(length);
            self.take_frame(kind, flags, stream, payload)?;
        }
        self.flush().await
    }

    fn take_frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        mut payload: BytesMut,
    ) -> anyhow::Result<()> {
        match kind {
            frame::DATA => self.message.extend_from_slice(&payload),
            frame::HEADERS => ensure!(
                flags & frame::END_STREAM == 0,
                "the server ended the stream"
            ),
            frame::SETTINGS if flags & frame::ACK == 0 => {
                while payload.len() >= 6 {
                    let (setting, value) = (payload.get_u16(), payload.get_u32());
                    if setting == 4 {
                        self.windows[1] += i64::from(value) - i64::from(FIRST_WINDOW);
                    }
                }
                self.frame(frame::SETTINGS, frame::ACK, 0, &[]);
            }
            frame::PING if flags & frame::ACK == 0 => {
                self.frame(frame::PING, frame::ACK, 0, &payload);
            }
            frame::WINDOW_UPDATE => {
                self.windows[usize::from(stream != 0)] += i64::from(payload.get_u32());
            }
            frame::RST_STREAM | frame::GOAWAY => bail!("the server said {kind}: {payload:?}"),
            _ => {}
        }
        Ok(())
    }

    /// The next whole gRPC message that has come.
    fn next_message(&mut self) -> Option<Bytes> {
        let mut header = &self.message.first_chunk::<5>()?[1..];
        let length = usize::try_from(header.get_u32()).ok()?;
        if self.message.len() < 5 + length {
            return None;
        }
        self.message.advance(5);
        Some(self.message.split_to(length).freeze())
    }
}

/// What of a response a client has to know.
#[derive(Clone, PartialEq, prost::Message)]
struct Skimmed {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    resources: Vec<Bytes>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

/// A header in HPACK, its name as `name` says it.
fn literal(headers: &mut BytesMut, name: &[u8], value: &str) {
    headers.put_slice(name);
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    assert!(length < 127, "a length in one byte");
    headers.put_u8(length);
    headers.put_slice(value.as_bytes());
}
