//! A DNS server for tests: A records, each answered after a time of its own.
//!
//! In: queries over UDP. Out: an answer from what was set; a name that was not, or was taken away
//! again, does not exist. It asks nobody.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// How long answers may be kept where a test has no other wish.
pub const SECONDS_TO_LIVE: u32 = 5;
/// The longest query over UDP that is read.
const QUERY_LIMIT: usize = 1500;
/// The fixed part of a message (RFC 1035, 4.1.1).
const HEADER: usize = 12;
/// The type of an A record (RFC 1035, 3.2.2).
const TYPE_A: u16 = 1;
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;

/// The server. It ends when dropped.
#[derive(Debug)]
pub struct Dns {
    records: Arc<Mutex<HashMap<String, Record>>>,
    serving: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    /// A name may be known and have none.
    address: Option<Ipv4Addr>,
    delay: Duration,
}

impl Dns {
    /// A server on 127.0.0.1:53 that knows no name yet. Its answers may be kept for so many seconds.
    ///
    /// # Errors
    ///
    /// When that address is taken, or may not be: tests have it in a namespace of their own.
    pub async fn start(seconds_to_live: u32) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 53));
        let socket = UdpSocket::bind(address)
            .await
            .context("the test's DNS server")?;
        let records = Arc::new(Mutex::default());
        let serving = tokio::spawn(serve(Arc::new(socket), records.clone(), seconds_to_live));
        Ok(Self { records, serving })
    }

    /// From now on this name has this address, told after this long.
    pub fn set(&self, name: &str, address: Ipv4Addr, delay: Duration) {
        let address = Some(address);
        lock(&self.records).insert(name.to_owned(), Record { address, delay });
    }

    /// From now on this name is there and has no address.
    pub fn set_empty(&self, name: &str) {
        let record = Record {
            address: None,
            delay: Duration::ZERO,
        };
        lock(&self.records).insert(name.to_owned(), record);
    }

    /// From now on there is no such name.
    pub fn forget(&self, name: &str) {
        lock(&self.records).remove(name);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    socket: Arc<UdpSocket>,
    records: Arc<Mutex<HashMap<String, Record>>>,
    seconds_to_live: u32,
) {
    let mut buffer = [0; QUERY_LIMIT];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(question) = Question::parse(&buffer[..length]) else {
            continue;
        };
        let record = lock(&records).get(&question.name).copied();
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Some(record) = record {
                tokio::time::sleep(record.delay).await;
            }
            let answer = question.answer(record, seconds_to_live);
            // A client that has gone does not need it.
            let _ = socket.send_to(&answer, client).await;
        });
    }
}

fn lock(records: &Mutex<HashMap<String, Record>>) -> MutexGuard<'_, HashMap<String, Record>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A query with one question.
struct Question {
    id: [u8; 2],
    name: String,
    kind: u16,
    /// The question as it was sent: name, type, class.
    bytes: Vec<u8>,
}

impl Question {
    fn parse(query: &[u8]) -> Option<Self> {
        let id = query.get(..2)?.try_into().ok()?;
        let mut labels = Vec::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        Some(Self {
            id,
            name: labels.join("."),
            kind,
            bytes: query.get(HEADER..at + 4)?.to_vec(),
        })
    }

    fn answer(&self, record: Option<Record>, seconds_to_live: u32) -> Vec<u8> {
        let address = record.and_then(|record| record.address);
        let answers = address.filter(|_| self.kind == TYPE_A);
        let code = if record.is_some() {
            NO_ERROR
        } else {
            NAME_ERROR
        };
        let mut answer = self.id.to_vec();
        // An authoritative answer (RFC 1035, 4.1.1), then the four counts.
        answer.extend([0x84, 0x80 | code]);
        answer.extend([0, 1, 0, u8::from(answers.is_some()), 0, 0, 0, 0]);
        answer.extend(&self.bytes);
        if let Some(address) = answers {
            // The name is a pointer to the question's.
            answer.extend([0xc0, 0x0c, 0, 1, 0, 1]);
            answer.extend(seconds_to_live.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        answer
    }
}
