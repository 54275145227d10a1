//! The client: requests on some connections at a time, and who answered them.
//!
//! Each connection has one request at a time: Envoy ends one on which it answers by itself while the next
//! request is there already.

use std::net::SocketAddr;
use std::ops::{AddAssign, Range};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::backends::Backends;

/// Connections at a time.
const CONNECTIONS: u32 = 16;
/// What ends the head of an answer.
const HEAD_END: &str = "\r\n\r\n";

/// Who answered how often.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    by_backend: Vec<u32>,
    /// Answered 503 by the proxy.
    nobody: u32,
}

impl Tally {
    /// All that were asked.
    pub(crate) fn requests(&self) -> u32 {
        self.by_backend.iter().sum::<u32>() + self.nobody
    }

    /// The share of the backend in that place, in percent.
    pub(crate) fn share(&self, backend: usize) -> f64 {
        f64::from(self.by_backend[backend]) * 100.0 / f64::from(self.requests())
    }

    /// The share that nobody served.
    pub(crate) fn unserved(&self) -> f64 {
        f64::from(self.nobody) * 100.0 / f64::from(self.requests())
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (all, more) in self.by_backend.iter_mut().zip(other.by_backend) {
            *all += more;
        }
        self.nobody += other.nobody;
    }
}

/// Asks for a chain with the requests of these numbers.
pub(crate) async fn ask(
    proxy: SocketAddr,
    chain: usize,
    requests: Range<u32>,
    backends: &Backends,
) -> anyhow::Result<Tally> {
    let mut all = Tally {
        by_backend: vec![0; backends.addresses().len()],
        nobody: 0,
    };
    let mut connections = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let length = requests.end - requests.start;
        let part = |end| requests.start + length * end / CONNECTIONS;
        let part = part(connection)..part(connection + 1);
        connections.spawn(converse(proxy, chain, part));
    }
    while let Some(answers) = connections.join_next().await {
        for answer in answers?? {
            match answer {
                Some(backend) => all.by_backend[backend] += 1,
                None => all.nobody += 1,
            }
        }
    }
    Ok(all)
}

/// Who answered each request.
async fn converse(
    proxy: SocketAddr,
    chain: usize,
    requests: Range<u32>,
) -> anyhow::Result<Vec<Option<usize>>> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let mut answers = Vec::new();
    let mut text = Vec::new();
    for number in requests {
        // What a hash looks at: another for each.
        let request = format!("GET /{chain} HTTP/1.1\r\nhost: a\r\nx-key: {number}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        text.clear();
        let answer = loop {
            let read = stream.read_buf(&mut text).await?;
            ensure!(read > 0, "the proxy ends a connection without an answer");
            if let Some(answer) = answer(&text)? {
                break answer;
            }
        };
        answers.push(answer);
    }
    Ok(answers)
}

/// Who sent an answer, if it is whole.
fn answer(text: &[u8]) -> anyhow::Result<Option<Option<usize>>> {
    let text = std::str::from_utf8(text)?;
    let Some((head, body)) = text.split_once(HEAD_END) else {
        return Ok(None);
    };
    let (_, after) = head
        .split_once("content-length: ")
        .with_context(|| format!("an answer of unknown length: {head}"))?;
    let length: usize = after.lines().next().unwrap_or_default().parse()?;
    if body.len() < length {
        return Ok(None);
    }
    match head.split(' ').nth(1) {
        Some("200") => Ok(Some(Some(body.parse()?))),
        Some("503") => Ok(Some(None)),
        _ => bail!("answered {head}: {body}"),
    }
}
