//! A network and a view of the file system of a case's own: for packets that vanish and for a
//! resolver of the test.
//!
//! The case runs in a process of its own, which `unshare` puts into new namespaces; nothing of the
//! machine's network is touched, and all of it goes with the process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, ensure};
use locum_demo::process::Backend;

use crate::bench::BACKEND_PORT;
use crate::table;

/// The two ends of the wire to a backend in its own network.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const NEAR_LINK: &str = "near";
const FAR_LINK: &str = "far";

/// Runs a case in namespaces of its own and takes over its rows.
pub(crate) fn run(case: &str, name: &str) -> anyhow::Result<()> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .arg(std::env::current_exe()?)
        .args(["inside", case, name]);
    let output = command
        .output()
        .context("unshare (apt-get install util-linux)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    table::adopt(&text);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{text}{errors}", output.status);
    Ok(())
}

/// Makes the namespaces usable: loopback is up, and names are asked of 127.0.0.1.
pub(crate) fn enter() -> anyhow::Result<()> {
    command("ip", &["link", "set", "lo", "up"])?;
    let resolver = tempfile::NamedTempFile::new()?;
    fs::write(resolver.path(), "nameserver 127.0.0.1\n")?;
    let path = resolver
        .path()
        .to_str()
        .context("temporary paths are text")?;
    command("mount", &["--bind", path, "/etc/resolv.conf"])
}

/// A backend in a network of its own, at the other end of a wire that can be cut.
#[derive(Debug)]
pub(crate) struct FarBackend {
    backend: Backend,
}

impl FarBackend {
    /// Starts it and connects it.
    pub(crate) fn start(pod: &str) -> anyhow::Result<Self> {
        let mut echo = Command::new("unshare");
        echo.arg("--net").arg(std::env::current_exe()?);
        let listen = format!("0.0.0.0:{BACKEND_PORT}");
        echo.args(["echo", "--with-parent", "--pod", pod, "--listen", &listen]);
        let mut backend = Backend::start(&mut echo)?;
        let id = backend.process().id().to_string();
        let far = Self { backend };
        command(
            "ip",
            &[
                "link", "add", NEAR_LINK, "type", "veth", "peer", "name", FAR_LINK, "netns", &id,
            ],
        )?;
        command(
            "ip",
            &["address", "add", &format!("{NEAR}/24"), "dev", NEAR_LINK],
        )?;
        command("ip", &["link", "set", NEAR_LINK, "up"])?;
        let mut far = far;
        far.inside(&["address", "add", &format!("{FAR}/24"), "dev", FAR_LINK])?;
        far.inside(&["link", "set", FAR_LINK, "up"])?;
        far.fix_neighbour()?;
        Ok(far)
    }

    /// Where it is reached.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(FAR.into(), BACKEND_PORT)
    }

    /// From now on packets to it and from it vanish without a word.
    pub(crate) fn cut(&mut self) -> anyhow::Result<()> {
        self.inside(&["link", "set", FAR_LINK, "down"])
    }

    /// Packets arrive again.
    pub(crate) fn join(&mut self) -> anyhow::Result<()> {
        self.inside(&["link", "set", FAR_LINK, "up"])
    }

    /// Its hardware address is not asked for: the near end would learn from silence that nobody is
    /// there.
    fn fix_neighbour(&mut self) -> anyhow::Result<()> {
        let id = self.backend.process().id().to_string();
        let path = format!("/sys/class/net/{FAR_LINK}/address");
        // /sys shows the network of whoever mounted it, so it is asked of `ip`.
        let shown = Command::new("nsenter")
            .args([
                "--target", &id, "--net", "ip", "-brief", "link", "show", FAR_LINK,
            ])
            .output()
            .with_context(|| path.clone())?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let hardware = shown
            .split_whitespace()
            .find(|word| word.matches(':').count() == 5);
        let hardware = hardware.with_context(|| format!("no hardware address in {shown:?}"))?;
        let far = FAR.to_string();
        command(
            "ip",
            &[
                "neighbour",
                "replace",
                &far,
                "lladdr",
                hardware,
                "nud",
                "permanent",
                "dev",
                NEAR_LINK,
            ],
        )
    }

    fn inside(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        let id = self.backend.process().id().to_string();
        let mut all = vec!["--target", &id, "--net", "ip"];
        all.extend(arguments);
        command("nsenter", &all)
    }
}

fn command(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.with_context(|| format!("{program} (apt-get install iproute2 util-linux)"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {}: {errors}",
        arguments.join(" ")
    );
    Ok(())
}
