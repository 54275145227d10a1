//! Locum's image.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::docker::Docker;
use crate::images::{self, LOCUM, text};

/// As Kubernetes runs it: `deploy/control-plane/deployment.yaml`.
const CONFINED: [&str; 7] = [
    "run",
    "--rm",
    "--read-only",
    "--network=none",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    LOCUM,
];
/// What `SOURCE_DATE_EPOCH` says in the test: any time but now.
const EPOCH: &str = "1700000000";

pub(super) fn is_one_program_that_nobody_runs(docker: &Docker) -> anyhow::Result<()> {
    images::locum(docker)?;
    let version = docker.docker(&[&CONFINED[..], &["--version"]].concat())?;
    ensure!(
        version == concat!("locum ", env!("CARGO_PKG_VERSION")),
        "{version}"
    );
    // Something that does more than to know its own name.
    let crds = docker.docker(&[&CONFINED[..], &["crds", "backends"]].concat())?;
    ensure!(crds.contains("backends.gateway.envoyproxy.io"), "{crds}");

    let about: Value = serde_json::from_str(&docker.docker(&["inspect", LOCUM])?)?;
    let about = &about[0];
    ensure!(
        about["Config"]["User"] == "65532:65532",
        "{}",
        about["Config"]
    );
    ensure!(
        about["Config"]["Labels"]["org.opencontainers.image.version"] == env!("CARGO_PKG_VERSION"),
        "{about}"
    );
    let layers = about["RootFS"]["Layers"].as_array().map(Vec::len);
    ensure!(layers == Some(1), "{}", about["RootFS"]);
    let program = fs::metadata(images::program()?)?.len();
    ensure!(
        about["Size"].as_u64() == Some(program),
        "{} is not {program}",
        about["Size"]
    );
    Ok(())
}

pub(super) fn two_builds_at_different_times_are_one_image(docker: &Docker) -> anyhow::Result<()> {
    let now = SystemTime::now();
    let first = digest(docker, "first", now)?;
    let second = digest(docker, "second", now - Duration::from_secs(86_400))?;
    ensure!(first == second, "{first} is not {second}");
    Ok(())
}

/// The digest of the image, built from nothing of a program of that age.
fn digest(docker: &Docker, name: &str, age: SystemTime) -> anyhow::Result<String> {
    let context = images::context(docker, name)?;
    let program = File::options().write(true).open(context.join("locum"))?;
    program.set_times(FileTimes::new().set_modified(age))?;
    let store = docker.folder(&format!("{name}-store"))?;
    let build = [
        "build",
        "--isolation",
        "chroot",
        "--timestamp",
        EPOCH,
        "--build-arg",
        "PROGRAM=given",
    ];
    let dockerfile = images::dockerfile();
    let places = ["--tag", name, "--file", text(&dockerfile)?, text(&context)?];
    buildah(&store, &[&build[..], &places].concat())?;
    let digest = store.join("digest");
    let archive = format!("oci-archive:{}", text(&store.join("archive"))?);
    buildah(
        &store,
        &["push", "--digestfile", text(&digest)?, name, &archive],
    )?;
    Ok(fs::read_to_string(digest)?)
}

/// Runs buildah, which takes time from outside as newer Docker does and Debian's does not.
fn buildah(store: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("buildah")
        .arg("--root")
        .arg(store.join("root"))
        .arg("--runroot")
        .arg(store.join("run"))
        .args(["--storage-driver", "vfs"])
        .args(arguments)
        .output()
        .context("apt-get install buildah")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "buildah {arguments:?}: {errors}");
    Ok(())
}
