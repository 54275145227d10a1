//! Compiles the protobuf sources that the crate needs at run time.
//!
//! Three things go to `OUT_DIR`: the server code of Locum's own API (`proto/locum/v1`), its
//! descriptors, and a descriptor set of the Envoy messages that Locum sends and the Envoy services
//! that it serves, from the protos that ship inside the envoy-types crate. The descriptors are what
//! canonical encoding and canonical JSON walk by, and what reflection tells. No `protoc` is needed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use protox::Compiler;

/// The files of Locum's own API, below `proto/`.
const LOCUM_PROTOS: &[&str] = &["locum/v1/replicas.proto", "locum/v1/serving.proto"];

/// Every file with a message that Locum puts into a discovery response, a bootstrap or an `Any`
/// inside them, or that Envoy's `/config_dump` wraps them in; a few that those use who serve resources
/// of their own (tcp_proxy, filters that come by ECDS or ask by VHDS); and the services that are
/// served. What they import comes along.
const ENVOY_PROTOS: &[&str] = &[
    "envoy/admin/v3/config_dump.proto",
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/filters/cel/v3/cel.proto",
    "envoy/extensions/clusters/aggregate/v3/cluster.proto",
    "envoy/extensions/clusters/dns/v3/dns_cluster.proto",
    "envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.proto",
    "envoy/extensions/common/ratelimit/v3/ratelimit.proto",
    "envoy/extensions/compression/brotli/compressor/v3/brotli.proto",
    "envoy/extensions/compression/gzip/compressor/v3/gzip.proto",
    "envoy/extensions/compression/zstd/compressor/v3/zstd.proto",
    "envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.proto",
    "envoy/extensions/filters/http/buffer/v3/buffer.proto",
    "envoy/extensions/filters/http/compressor/v3/compressor.proto",
    "envoy/extensions/filters/http/custom_response/v3/custom_response.proto",
    "envoy/extensions/filters/http/fault/v3/fault.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/on_demand/v3/on_demand.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/health_check/event_sinks/file/v3/file.proto",
    "envoy/extensions/http/custom_response/local_response_policy/v3/local_response_policy.proto",
    "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin.proto",
    "envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.proto",
    "envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto",
    "envoy/extensions/load_balancing_policies/maglev/v3/maglev.proto",
    "envoy/extensions/load_balancing_policies/override_host/v3/override_host.proto",
    "envoy/extensions/load_balancing_policies/random/v3/random.proto",
    "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.proto",
    "envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.proto",
    "envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.proto",
    "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.proto",
    "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/service/cluster/v3/cds.proto",
    "envoy/service/discovery/v3/ads.proto",
    "envoy/service/endpoint/v3/eds.proto",
    "envoy/service/extension/v3/config_discovery.proto",
    "envoy/service/listener/v3/lds.proto",
    "envoy/service/route/v3/rds.proto",
    "envoy/service/secret/v3/sds.proto",
    "envoy/service/load_stats/v3/lrs.proto",
    "envoy/type/matcher/v3/http_inputs.proto",
    "envoy/type/matcher/v3/status_code_input.proto",
    "envoy/type/v3/http_status.proto",
    "envoy/type/v3/token_bucket.proto",
];

/// Files like those that cannot be compiled beside them. This one says `common.ratelimit`, which
/// protox looks for in `envoy.extensions.filters.common` once a file has that package.
const ENVOY_PROTOS_APART: &[&str] =
    &["envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto"];

/// One like it whose own imports have such a package, `envoy.extensions.clusters.common`: the name in
/// it, and in full.
const ENVOY_PROTO_IN_FULL: (&str, &str, &str) = (
    "envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.proto",
    " common.dynamic_forward_proxy.",
    " .envoy.extensions.common.dynamic_forward_proxy.",
);

/// The folders of envoy-types' `proto/` that its files import from.
const ENVOY_INCLUDES: &[&str] = &[
    "cel-spec/proto",
    "client_model",
    "data-plane-api",
    "googleapis",
    "opentelemetry-proto",
    "protoc-gen-validate",
    "xds",
];

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR").context("cargo sets OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-changed=proto");
    compile_own_api()?;
    let own = descriptors(&[PathBuf::from("proto")], LOCUM_PROTOS).context("proto/")?;
    fs::write(out.join("locum.bin"), own).context("writing the descriptor set")?;
    let protos = envoy_types_folder()?.join("proto");
    let folders = ENVOY_INCLUDES.iter().map(|folder| protos.join(folder));
    // What is found first counts.
    let includes: Vec<_> = [named_in_full(&protos, &out)?]
        .into_iter()
        .chain(folders)
        .collect();
    let mut envoys = descriptors(&includes, ENVOY_PROTOS).context("Envoy's protos")?;
    // A set is a list of files: what follows is added. What it imports is among the others.
    envoys.extend(own_descriptors(&includes, ENVOY_PROTOS_APART).context("Envoy's protos")?);
    fs::write(out.join("envoy.bin"), envoys).context("writing the descriptor set")
}

/// A folder below `out` with the one file that protox reads wrongly, its names in full.
fn named_in_full(protos: &Path, out: &Path) -> Result<PathBuf> {
    let (path, short, full) = ENVOY_PROTO_IN_FULL;
    let folder = out.join("named-in-full");
    let (from, to) = (protos.join("data-plane-api").join(path), folder.join(path));
    let text = fs::read_to_string(&from).with_context(|| from.display().to_string())?;
    ensure!(text.contains(short), "{path} has no `{short}` any more");
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::write(&to, text.replace(short, full)).with_context(|| to.display().to_string())?;
    Ok(folder)
}

/// Server and client code for `proto/`, in Rust.
fn compile_own_api() -> Result<()> {
    let descriptors = protox::compile(LOCUM_PROTOS, ["proto"]).context("compiling proto/")?;
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::envoy_types::pb::google::protobuf")
        .compile_fds(descriptors)
        .context("generating code for proto/")
}

/// The encoded descriptor set of these files and all they import.
fn descriptors(includes: &[PathBuf], files: &[&str]) -> Result<Vec<u8>> {
    compiled(includes, files, true)
}

/// The encoded descriptor set of these files alone.
fn own_descriptors(includes: &[PathBuf], files: &[&str]) -> Result<Vec<u8>> {
    compiled(includes, files, false)
}

fn compiled(includes: &[PathBuf], files: &[&str], with_imports: bool) -> Result<Vec<u8>> {
    let mut compiler = Compiler::new(includes).context("the folders to import from")?;
    compiler
        .include_imports(with_imports)
        .include_source_info(false)
        .open_files(files)?;
    // Encoded by protox itself: prost's types would lose the options that are extensions,
    // `sensitive` among them.
    Ok(compiler.encode_file_descriptor_set())
}

/// Where cargo keeps the sources of the envoy-types crate that this build uses.
///
/// `--filter-platform` matters: without it cargo wants the manifests of every platform's
/// dependencies, which are not there in a fresh cargo home. Nor are there the manifests of what only
/// tests need when a program alone is built: those cargo fetches, which `--offline` would forbid.
fn envoy_types_folder() -> Result<PathBuf> {
    let target = env::var("TARGET").context("cargo sets TARGET")?;
    let output = Command::new(env::var("CARGO").context("cargo sets CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", &target])
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .context("cargo metadata names envoy-types")?;
    let folder = Path::new(manifest)
        .parent()
        .context("a manifest is in a folder")?;
    ensure!(
        folder.join("proto").is_dir(),
        "{} has no proto folder",
        folder.display()
    );
    Ok(folder.to_path_buf())
}
