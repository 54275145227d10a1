//! The echo backend as a process: see `locum_demo::echo`.

use clap::Parser;
use locum_demo::echo::Options;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Options::parse().run().await
}
