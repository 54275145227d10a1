//! A network and a view of the file system of a test's own: for packets that vanish and for a
//! resolver of the test.
//!
//! The test runs in a process of its own, which `unshare` puts into new namespaces; nothing of the
//! machine's network is touched, and all of it goes with the process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::bench::{BACKEND_PORT, echo_command};
use crate::process::Backend;
use anyhow::{Context, ensure};

/// A command that runs a program in namespaces of its own, with the arguments that are added to it.
/// The program calls [`enter`] before anything else.
pub fn unshare(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg(program);
    command
}

/// Makes the namespaces usable: loopback is up, and names are asked of 127.0.0.1.
///
/// # Errors
///
/// When this process is in none of its own, or `ip` or `mount` is not there.
pub fn enter() -> anyhow::Result<()> {
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
pub struct FarBackend {
    backend: Backend,
    number: u16,
}

impl FarBackend {
    /// Starts it and connects it. The number tells it from others of this process; it serves in TLS
    /// with the certificate of this folder where there is one.
    ///
    /// # Errors
    ///
    /// When this process is in no namespaces of its own, or a program is missing.
    pub fn start(pod: &str, number: u16, tls: Option<&Path>) -> anyhow::Result<Self> {
        let mut echo = Command::new("unshare");
        let listen = SocketAddr::from(([0, 0, 0, 0], BACKEND_PORT));
        let program = echo_command(pod, listen, tls)?;
        echo.arg("--net").arg(program.get_program());
        echo.args(program.get_args());
        let mut backend = Backend::start(&mut echo)?;
        let id = backend.process().id().to_string();
        let mut far = Self { backend, number };
        let (near_link, far_link) = (far.link("near"), far.link("far"));
        command(
            "ip",
            &[
                "link", "add", &near_link, "type", "veth", "peer", "name", &far_link, "netns", &id,
            ],
        )?;
        let near = format!("{}/24", far.end(1));
        command("ip", &["address", "add", &near, "dev", &near_link])?;
        command("ip", &["link", "set", &near_link, "up"])?;
        let address = format!("{}/24", far.end(2));
        far.inside(&["address", "add", &address, "dev", &far_link])?;
        far.inside(&["link", "set", &far_link, "up"])?;
        far.fix_neighbour()?;
        Ok(far)
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.end(2).into(), BACKEND_PORT)
    }

    /// One end of the wire: 1 is the near one, 2 the far one.
    fn end(&self, host: u8) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 77_u8.wrapping_add(high), low, host)
    }

    fn link(&self, end: &str) -> String {
        format!("{end}{}", self.number)
    }

    /// From now on packets to it and from it vanish without a word.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn cut(&mut self) -> anyhow::Result<()> {
        let link = self.link("far");
        self.inside(&["link", "set", &link, "down"])
    }

    /// Packets arrive again.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn join(&mut self) -> anyhow::Result<()> {
        let link = self.link("far");
        self.inside(&["link", "set", &link, "up"])
    }

    /// Its hardware address is not asked for: the near end would learn from silence that nobody is
    /// there.
    fn fix_neighbour(&mut self) -> anyhow::Result<()> {
        let id = self.backend.process().id().to_string();
        let far_link = self.link("far");
        // /sys shows the network of whoever mounted it, so it is asked of `ip`.
        let shown = Command::new("nsenter")
            .args([
                "--target", &id, "--net", "ip", "-brief", "link", "show", &far_link,
            ])
            .output()
            .context("nsenter (apt-get install util-linux)")?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let hardware = shown
            .split_whitespace()
            .find(|word| word.matches(':').count() == 5);
        let hardware = hardware.with_context(|| format!("no hardware address in {shown:?}"))?;
        let far = self.end(2).to_string();
        let near_link = self.link("near");
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
                &near_link,
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
