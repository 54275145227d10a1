//! Everything around Locum that shows and tests failover, and nothing of Locum itself.
//!
//! `echo` is a backend that answers as the conformance suite's echo-basic does and can be made to
//! fail; `load` sends it requests at a pace that does not depend on the answers, and `report`
//! counts what became of them; `ask` sends one. `manifests` are the failover page's and what is
//! added to them, `process` starts and ends Locum and backends. The demo is made of these: `stage`
//! is what runs, `view` what is shown, `walk` what happens. Tests of failover have a `bench` each,
//! some in a `namespace` with a `dns` of their own, and end with a `table`.

pub mod ask;
pub mod bench;
pub mod dns;
pub mod echo;
pub mod load;
pub mod manifests;
pub mod namespace;
pub mod process;
pub mod report;
pub mod stage;
pub mod table;
pub mod tls;
pub mod view;
pub mod walk;
