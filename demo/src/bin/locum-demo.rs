//! The failover page on one machine: see `locum_demo::walk`.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use locum_demo::stage::Place;
use locum_demo::view::View;
use locum_demo::walk::{Verdict, walk};

/// Walks through the failover page: an active and a passive backend, the active one broken and
/// mended under load.
///
/// Exits with 0 only if everything that the page promises was seen and no request was lost.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The loopback address on which the Gateway listens, port 10080
    #[arg(long, env = "LOCUM_DEMO_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Leave it running at the end, and say how to play with it
    #[arg(long, env = "LOCUM_DEMO_KEEP")]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell when it is closed.
            let _ = writeln!(std::io::stderr().lock(), "locum-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every promise was kept.
async fn demo() -> anyhow::Result<bool> {
    let options = Options::parse();
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let programs = this
        .parent()
        .context("a program is in a folder")?
        .to_owned();
    let place = Place {
        programs,
        listen: options.listen,
        keep: options.keep,
    };
    let mut view = View::new();
    let walked = tokio::select! {
        walked = walk(place, &mut view) => walked,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            anyhow::bail!("interrupted; everything that was started has ended");
        }
    };
    let verdict = walked?;
    show(&mut view, &verdict)?;
    Ok(verdict.is_good())
}

fn show(view: &mut View, verdict: &Verdict) -> std::io::Result<()> {
    view.say("")?;
    for (name, value) in &verdict.table {
        view.say(&format!("  {name:<42} {value:>10}"))?;
    }
    view.say("")?;
    for (promise, kept) in &verdict.promises {
        view.say(&format!(
            "  {}  {promise}",
            if *kept { "yes" } else { "NO " }
        ))?;
    }
    if let Some(left) = &verdict.left {
        view.say("")?;
        view.say(left)?;
    }
    Ok(())
}
