//! Bootstraps: those that Locum writes and the one in `envoy/`, as Envoy itself reads them.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use locum::bootstrap::{AdminAddress, Bootstrap, ProxyTls, XdsAddress};
use locum::resource::ObjectName;
use locum::trust::{Authority, Domain, PROXY_LIFE};
use locum::xds::message::Variant;
use locum_demo::process::envoy;

/// What `envoy/bootstrap.yaml` says in YAML with comments.
fn beside_serve() -> Bootstrap {
    Bootstrap {
        node_id: "envoy".into(),
        gateway: ObjectName::new("default", "eg"),
        xds: XdsAddress::Ip("127.0.0.1:18000".parse().unwrap()),
        variant: Variant::Delta,
        tls: None,
        admin: AdminAddress::Ip("127.0.0.1:19000".parse().unwrap()),
        ready_port: None,
    }
}

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/bootstrap.yaml")
}

fn assert_valid(file: &Path) {
    let output = Command::new(envoy().unwrap())
        .args(["--mode", "validate", "-c"])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", file.display());
    let complaint = said
        .lines()
        .find(|line| line.contains("[warning]") || line.contains("[error]"));
    assert_eq!(complaint, None, "{}", file.display());
}

#[test]
fn the_shipped_bootstrap_says_what_locum_would_write() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let shipped: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let mut written = beside_serve().json();
    // JSON has one kind of number, YAML two.
    let limit = written
        .pointer_mut("/layered_runtime/layers/0/static_layer/re2.max_program_size.error_level")
        .unwrap();
    *limit = 10_000.into();
    let limit = written
        .pointer_mut(
            "/overload_manager/resource_monitors/0/typed_config/max_active_downstream_connections",
        )
        .unwrap();
    *limit = 50_000.into();
    assert_eq!(shipped, written);
}

#[test]
fn envoy_takes_the_shipped_bootstrap() {
    assert_valid(&shipped());
}

#[test]
fn the_variant_is_the_type_of_the_discovery_service_and_nothing_else() {
    let mut bootstrap = beside_serve();
    let mut delta = bootstrap.json();
    bootstrap.variant = Variant::StateOfTheWorld;
    let sotw = bootstrap.json();
    let api_type = "/dynamic_resources/ads_config/api_type";
    assert_eq!(delta.pointer(api_type).unwrap(), "DELTA_GRPC");
    *delta.pointer_mut(api_type).unwrap() = "GRPC".into();
    assert_eq!(sotw, delta);
}

#[test]
fn envoy_takes_every_form_of_address() {
    let folder = tempfile::tempdir().unwrap();
    let socket = |name: &str| folder.path().join(name);
    let addresses = [
        (
            XdsAddress::Unix(socket("xds")),
            AdminAddress::Unix(socket("admin")),
        ),
        (
            XdsAddress::Name("localhost".into(), 18000),
            AdminAddress::Ip("127.0.0.1:0".parse().unwrap()),
        ),
        (
            XdsAddress::Ip("[::1]:18000".parse().unwrap()),
            AdminAddress::Ip("[::1]:0".parse().unwrap()),
        ),
    ];
    for (index, (xds, admin)) in addresses.into_iter().enumerate() {
        let bootstrap = Bootstrap {
            xds,
            admin,
            ..beside_serve()
        };
        let json = folder.path().join(format!("{index}.json"));
        std::fs::write(&json, bootstrap.json().to_string()).unwrap();
        assert_valid(&json);
        let yaml = folder.path().join(format!("{index}.yaml"));
        std::fs::write(&yaml, bootstrap.yaml()).unwrap();
        assert_valid(&yaml);
    }
}

#[test]
fn envoy_takes_mutual_tls_and_a_port_to_ask_for_readiness() {
    let folder = tempfile::tempdir().unwrap();
    let now = time::OffsetDateTime::now_utc();
    let authority = Authority::make(now).unwrap();
    let gateway = ObjectName::new("default", "eg");
    let issued = authority.proxy(&Domain::default(), &gateway, PROXY_LIFE, now);
    let issued = issued.unwrap();
    std::fs::create_dir(folder.path().join("tls")).unwrap();
    for (name, text) in issued.files() {
        std::fs::write(folder.path().join("tls").join(name), text).unwrap();
    }
    let names = [
        "locum.locum-system",
        "127.0.0.1",
        "spiffe://cluster.local/ns/a/sa/locum",
    ];
    for (index, server) in names.into_iter().enumerate() {
        let tls = ProxyTls {
            credentials: folder.path().join("tls"),
            secrets: folder.path().to_owned(),
            server: server.into(),
        };
        for (name, secret) in tls.secrets() {
            std::fs::write(folder.path().join(name), secret.to_string()).unwrap();
        }
        let bootstrap = Bootstrap {
            tls: Some(tls),
            ready_port: Some(19003),
            ..beside_serve()
        };
        let file = folder.path().join(format!("{index}.yaml"));
        std::fs::write(&file, bootstrap.yaml()).unwrap();
        assert_valid(&file);
    }
}
