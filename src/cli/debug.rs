//! `locum debug`: what a running Locum knows of its proxies, asked at its admin interface.

mod clients;
mod xds;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;

use crate::admin_client::{self, Limits};
use crate::bootstrap::AdminAddress;

/// What an answer may take: the whole of a large configuration, from a machine that is busy.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    size: 1 << 30,
};

/// Ask a running Locum what it knows of its proxies
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum debug clients
  locum debug xds --diff
  kubectl -n locum-system exec deployment/locum -- /locum debug clients")]
pub(super) struct Options {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    Clients(clients::Options),
    Xds(xds::Options),
}

impl Options {
    /// Asks and prints.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.question {
            Question::Clients(options) => options.run().await,
            Question::Xds(options) => options.run().await,
        }
    }
}

/// The option for which Locum is asked.
#[derive(Clone, Copy, Debug, Args)]
struct Admin {
    /// Where Locum's admin interface is
    #[arg(
        long,
        env = "LOCUM_ADMIN_ADDRESS",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:18080"
    )]
    admin_address: SocketAddr,
}

impl Admin {
    /// What Locum answers to `path`, which is JSON.
    async fn ask<T: DeserializeOwned>(self, path: &str) -> anyhow::Result<T> {
        let address = AdminAddress::Ip(self.admin_address);
        let who = || format!("Locum at {}", self.admin_address);
        let text = admin_client::get(&address, path, LIMITS)
            .await
            .with_context(who)?;
        serde_json::from_str(&text)
            .with_context(who)
            .context("is another version of Locum there, or something else?")
    }
}
