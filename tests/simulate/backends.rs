//! Backends: servers on loopback that say which of them was asked.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// As many as a chain can have: 4 tiers of 3 members of 4 endpoints.
const COUNT: usize = 48;

/// The servers. They end with the runtime.
pub(crate) struct Backends {
    addresses: Vec<SocketAddr>,
}

impl Backends {
    pub(crate) async fn start() -> std::io::Result<Self> {
        let mut addresses = Vec::new();
        for number in 0..COUNT {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            addresses.push(listener.local_addr()?);
            tokio::spawn(serve(listener, number));
        }
        Ok(Self { addresses })
    }

    /// Each answers with its place here.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

async fn serve(listener: TcpListener, number: usize) {
    let answer = number.to_string();
    let length = answer.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}");
    loop {
        // One that is gone before it was accepted is no loss.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, answer.clone()));
        }
    }
}

/// Answers each request. Envoy sends none before it has the answer to the last, and these have no body.
async fn converse(mut stream: TcpStream, answer: String) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await? > 0 {
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            stream.write_all(answer.as_bytes()).await?;
        }
    }
    Ok(())
}
