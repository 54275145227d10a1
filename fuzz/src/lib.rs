//! What is thrown at Locum: input that no honest peer would send, and what must hold all the same.
//!
//! `stream` plays a proxy that lies, forgets and never answers against the machine of one discovery
//! stream, in either variant of the protocol; `files` is text as the file source reads it. The
//! programs in `fuzz_targets/` hand both to libFuzzer. A failed assertion is the finding.

#![forbid(unsafe_code)]

pub mod files;
pub mod stream;
