//! The images that the cases need: Locum's by its own Dockerfile, and in place of those that would
//! be pulled the same programs under the same names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use locum_demo::process;

use crate::docker::{Docker, repository};

/// Locum's image.
pub(crate) const LOCUM: &str = concat!("ghcr.io/locum-dev/locum:", env!("CARGO_PKG_VERSION"));
const ENVOY: &str = "docker.io/envoyproxy/envoy:v1.40.0";
const ECHO: &str = "gcr.io/k8s-staging-gateway-api/echo-basic:v20231214-v1.0.0-140-gf544a46e";

/// Locum as one static program, which `make` builds: see the Dockerfile.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("LOCUM_IMAGE_PROGRAM");
    let program = PathBuf::from(
        named.context("LOCUM_IMAGE_PROGRAM names no static Locum: make test-compose")?,
    );
    ensure!(program.is_file(), "{} is not there", program.display());
    Ok(program)
}

/// A folder with nothing but the program, as the Dockerfile wants it.
pub(crate) fn context(docker: &Docker, name: &str) -> anyhow::Result<PathBuf> {
    let folder = docker.folder(name)?;
    fs::copy(program()?, folder.join("locum"))?;
    Ok(folder)
}

pub(crate) fn dockerfile() -> PathBuf {
    repository().join("Dockerfile")
}

/// Builds Locum's image.
pub(crate) fn locum(docker: &Docker) -> anyhow::Result<()> {
    let context = context(docker, "locum")?;
    let build = ["build", "--build-arg", "PROGRAM=given", "--tag", LOCUM];
    let dockerfile = dockerfile();
    let places = ["--file", text(&dockerfile)?, text(&context)?];
    docker.docker(&[&build[..], &places].concat()).map(drop)
}

/// Makes an image of Envoy.
pub(crate) fn envoy(docker: &Docker) -> anyhow::Result<()> {
    let envoy = process::envoy()?;
    let orders = "ENV PATH=/usr/local/bin\nENTRYPOINT [\"envoy\"]\n";
    of_program(docker, &envoy, "/usr/local/bin/envoy", orders, ENVOY)
}

/// Makes an image of the echo backend, which listens where echo-basic does.
pub(crate) fn echo(docker: &Docker) -> anyhow::Result<()> {
    // Where cargo has put it: in the folder of the test programs' folder.
    let this = std::env::current_exe()?;
    let built = this
        .ancestors()
        .nth(2)
        .context("a test program has a folder")?;
    let echo = built.join("locum-echo");
    ensure!(
        echo.is_file(),
        "{} is not built: make build",
        echo.display()
    );
    let orders = "ENV LOCUM_ECHO_LISTEN=0.0.0.0:3000\nENTRYPOINT [\"/locum-echo\"]\n";
    of_program(docker, &echo, "/locum-echo", orders, ECHO)
}

/// Makes an image of a program and the libraries that it is linked with.
fn of_program(
    docker: &Docker,
    program: &Path,
    place: &str,
    orders: &str,
    name: &str,
) -> anyhow::Result<()> {
    let folder = docker.folder(
        program
            .file_name()
            .and_then(|name| name.to_str())
            .context("a program has a name")?,
    )?;
    put(program, &folder.join("root"), place)?;
    for library in libraries(program)? {
        put(&library, &folder.join("root"), text(&library)?)?;
    }
    fs::write(
        folder.join("Dockerfile"),
        format!("FROM scratch\nCOPY root /\n{orders}"),
    )?;
    docker
        .docker(&["build", "--tag", name, text(&folder)?])
        .map(drop)
}

/// Copies a file to its place below a root.
fn put(file: &Path, root: &Path, place: &str) -> anyhow::Result<()> {
    let to = root.join(place.trim_start_matches('/'));
    fs::create_dir_all(to.parent().context("a place is in a folder")?)?;
    fs::copy(file, &to).with_context(|| format!("{} to {}", file.display(), to.display()))?;
    Ok(())
}

/// The files that the loader finds for a program.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let words = listed.lines().filter_map(|line| {
        let before_address = line.split(" (0x").next()?;
        before_address
            .split_whitespace()
            .last()
            .filter(|word| word.starts_with('/'))
    });
    Ok(words.map(PathBuf::from).collect())
}

pub(crate) fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("paths here are text")
}
