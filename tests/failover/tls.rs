//! Backends behind TLS: a front that ends TLS before an echo.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use locum_demo::tls::{Authority, Certified};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What ends TLS before a backend. It ends when dropped.
pub(crate) struct Front {
    address: SocketAddr,
    behind: SocketAddr,
    config: Arc<ServerConfig>,
    /// The server names that clients asked for.
    names: Arc<Mutex<BTreeSet<Option<String>>>>,
    serving: Option<JoinHandle<()>>,
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Front {
    /// A front at `address` for the backend `behind`, which asks clients for a certificate of
    /// `clients` where there is such an authority.
    pub(crate) async fn start(
        address: SocketAddr,
        behind: SocketAddr,
        certified: &Certified,
        clients: Option<&Authority>,
    ) -> anyhow::Result<Self> {
        let config = certified.server(clients)?;
        let mut front = Self {
            address,
            behind,
            config: config.into(),
            names: Arc::default(),
            serving: None,
        };
        front.revive().await?;
        Ok(front)
    }

    /// Dies as a process does. Has happened when this returns.
    pub(crate) async fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It was ended, so that this is an error, as it should be.
            let _ = serving.await;
        }
    }

    /// Serves again, on the address it had.
    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        self.kill().await;
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        let listener = socket.listen(1024)?;
        let acceptor = TlsAcceptor::from(self.config.clone());
        let (names, behind) = (self.names.clone(), self.behind);
        self.serving = Some(tokio::spawn(serve(listener, acceptor, names, behind)));
        Ok(())
    }

    /// The server names that clients have asked for so far, in the end none among them.
    pub(crate) fn names(&self) -> Vec<Option<String>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().cloned().collect()
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    names: Arc<Mutex<BTreeSet<Option<String>>>>,
    behind: SocketAddr,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                let (acceptor, names) = (acceptor.clone(), names.clone());
                connections.spawn(async move {
                    // A client that does not like the certificate, or has none, is gone.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let name = client.get_ref().1.server_name().map(str::to_owned);
                    names.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
                    if let Ok(mut server) = TcpStream::connect(behind).await {
                        // Ends with either side; how is no matter.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
