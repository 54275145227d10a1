//! What resolving must give, sentence by sentence; a file for each subject.

mod backend_tls;
mod backends;
mod certificates;
mod chains;
mod failover;
mod gateways;
mod guards;
mod matching;
mod mixes;
mod policies;
mod readiness;
mod references;
mod warnings;
