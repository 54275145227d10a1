//! Credentials in files that somebody else renews.
//!
//! The files are read again and again rather than watched: they are small, and a look sees every way
//! of putting other ones there, symbolic links of a mounted Secret and network file systems
//! included.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::certificate::{Flaw, KeyPem};
use super::identity::Domain;
use super::tls::{Renewal, Texts, Tls};

/// How long renewed files may go unnoticed.
const INTERVAL: Duration = Duration::from_secs(2);

/// Where the parts are, each as PEM.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The server's certificate first, then those that lead to an authority that proxies know.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities that sign proxies.
    pub client_ca: PathBuf,
}

/// Why the files were of no use.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("{}: {error}", path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}: {flaw}", paths.said())]
    Useless { paths: Box<Paths>, flaw: Flaw },
}

/// Files with credentials, and what was read of them last.
#[derive(Debug)]
pub struct Files {
    paths: Paths,
    read: Texts,
    renewal: Renewal,
}

impl Paths {
    fn texts(&self) -> Result<Texts, FilesError> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|error| FilesError::Unreadable {
                path: path.clone(),
                error,
            })
        };
        Ok(Texts {
            certificate: read(&self.certificate)?,
            key: KeyPem::new(read(&self.key)?),
            trust: read(&self.client_ca)?,
        })
    }

    /// What the parts are called in what is said of them, and where they are.
    fn said(&self) -> String {
        let Self {
            certificate,
            key,
            client_ca,
        } = self;
        format!(
            "tls.crt ({}), tls.key ({}), ca.crt ({})",
            certificate.display(),
            key.display(),
            client_ca.display()
        )
    }
}

impl Files {
    /// Mutual TLS with what the files hold now, and what keeps it so while it [runs](Self::run).
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or they do not fit together.
    pub fn open(paths: Paths, domain: Domain) -> Result<(Tls, Self), FilesError> {
        let read = paths.texts()?;
        let (tls, renewal) = Tls::waiting(domain, "the files are being read");
        renewal.renew(&read).map_err(|flaw| FilesError::Useless {
            paths: Box::new(paths.clone()),
            flaw,
        })?;
        let files = Self {
            paths,
            read,
            renewal,
        };
        Ok((tls, files))
    }

    /// Reads the files again whenever they change, until it is dropped. What is of no use is said
    /// once, and what was there before stays.
    pub async fn run(mut self) {
        let mut said = None;
        loop {
            sleep(INTERVAL).await;
            let wrong = self.look().err().map(|error| error.to_string());
            if wrong != said {
                if let Some(wrong) = &wrong {
                    tracing::warn!("the certificate from before stays in use: {wrong}");
                }
                said = wrong;
            }
        }
    }

    fn look(&mut self) -> Result<(), FilesError> {
        let found = self.paths.texts()?;
        if found == self.read {
            return Ok(());
        }
        self.renewal
            .renew(&found)
            .map_err(|flaw| FilesError::Useless {
                paths: Box::new(self.paths.clone()),
                flaw,
            })?;
        tracing::info!("renewed certificate in use");
        self.read = found;
        Ok(())
    }
}
