//! A question to a DNS server: the A records of a name.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::net::UdpSocket;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest message over UDP without extensions (RFC 1035, 4.2.1).
const MESSAGE_LIMIT: usize = 512;
/// The fixed part of a message (RFC 1035, 4.1.1).
const HEADER: usize = 12;
/// What a record has between its name and its data's length (RFC 1035, 4.1.3).
const RECORD: usize = 8;
const NAME_ERROR: u8 = 3;

/// The addresses of a name, as this server says; none when it says that there is no such name.
pub(crate) async fn addresses(server: SocketAddr, name: &str) -> anyhow::Result<Vec<Ipv4Addr>> {
    let question = question(name)?;
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut buffer = [0; MESSAGE_LIMIT];
    let length = tokio::time::timeout(LIMIT, socket.recv(&mut buffer)).await;
    let length = length.with_context(|| format!("{server} does not answer in {LIMIT:?}"))??;
    answers(&buffer[..length], question.len()).with_context(|| format!("{server} on {name}"))
}

/// A query for A records that asks for recursion (RFC 1035, 4.1).
fn question(name: &str) -> anyhow::Result<Vec<u8>> {
    let mut message = vec![0x10, 0xca, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        message.push(u8::try_from(label.len())?);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    Ok(message)
}

/// The addresses in an answer, whose records begin where its question ends.
fn answers(message: &[u8], mut at: usize) -> anyhow::Result<Vec<Ipv4Addr>> {
    let byte = |at: usize| message.get(at).copied().context("a message cut short");
    let code = byte(3)? & 0x0f;
    if code == NAME_ERROR {
        return Ok(Vec::new());
    }
    ensure!(code == 0, "response code {code}");
    ensure!(at >= HEADER, "a question is longer than a header");
    let mut addresses = Vec::new();
    for _ in 0..byte(7)? {
        // A pointer ends a name, as does an empty label (RFC 1035, 4.1.4).
        while byte(at)? != 0 && byte(at)? < 0xc0 {
            at += usize::from(byte(at)?) + 1;
        }
        at += if byte(at)? == 0 { 1 } else { 2 } + RECORD;
        let length = usize::from(u16::from_be_bytes([byte(at)?, byte(at + 1)?]));
        at += 2;
        if let Ok(octets) = <[u8; 4]>::try_from(message.get(at..at + length).unwrap_or_default()) {
            addresses.push(octets.into());
        }
        at += length;
    }
    Ok(addresses)
}
