//! Options of the service that counts what is limited for all proxies together.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::options::{Misuse, duration};
use crate::resource::names;
use crate::translate::RateLimitService;

/// The rate limit service.
#[derive(Debug, Args)]
pub(super) struct RateLimitOptions {
    /// The service that counts the global rate limits of BackendTrafficPolicies
    ///
    /// It speaks Envoy's rate limit protocol in plaintext. All it has to know is the domain `locum`: a
    /// limit goes along with each question.
    #[arg(long, env = "LOCUM_RATE_LIMIT_SERVICE", value_name = "HOST:PORT")]
    rate_limit_service: Option<String>,
    /// How long a request waits for the rate limit service
    #[arg(
        long,
        env = "LOCUM_RATE_LIMIT_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "100ms"
    )]
    rate_limit_timeout: Duration,
    /// Refuse requests with a global rate limit while the rate limit service does not answer
    #[arg(
        long,
        env = "LOCUM_RATE_LIMIT_FAIL_CLOSED",
        value_parser = BoolishValueParser::new(),
        requires = "rate_limit_service"
    )]
    rate_limit_fail_closed: bool,
}

impl RateLimitOptions {
    /// The service, where there is one; or what is wrong with the options.
    pub(super) fn service(&self) -> Result<Option<RateLimitService>, Misuse> {
        let Some(text) = &self.rate_limit_service else {
            return Ok(None);
        };
        if self.rate_limit_timeout.is_zero() {
            return Err(Misuse::new(
                "--rate-limit-timeout must be more than 0s".into(),
            ));
        }
        let (host, port) = host_and_port(text)
            .map_err(|why| Misuse::new(format!("--rate-limit-service {text}: {why}")))?;
        Ok(Some(RateLimitService {
            host,
            port,
            timeout: self.rate_limit_timeout,
            fail_closed: self.rate_limit_fail_closed,
        }))
    }
}

/// The two parts of `HOST:PORT`; an IPv6 address stands in brackets.
fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = match text.parse::<SocketAddr>() {
        Ok(address) => (address.ip().to_string(), Some(address.port())),
        Err(_) => {
            let parts = text.rsplit_once(':');
            let (host, port) = parts.ok_or("say HOST:PORT, such as ratelimit:8081")?;
            if let Some(flaw) = names::SUBDOMAIN.flaw(host) {
                return Err(format!("its host {flaw}"));
            }
            (host.to_owned(), port.parse().ok())
        }
    };
    let port = port.filter(|port| *port > 0);
    Ok((
        host,
        port.ok_or("its port must be a number from 1 to 65535")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_name_or_an_address_with_a_port() {
        let parts = |text| host_and_port(text).ok();
        let expected = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(
            parts("ratelimit.infra.svc:8081"),
            expected("ratelimit.infra.svc", 8081)
        );
        assert_eq!(parts("192.0.2.1:81"), expected("192.0.2.1", 81));
        assert_eq!(parts("[2001:db8::1]:81"), expected("2001:db8::1", 81));
        for wrong in [
            "ratelimit",
            "ratelimit:",
            "ratelimit:0",
            "192.0.2.1:0",
            "[::1]:0",
            "ratelimit:99999",
            "a b:1",
            ":1",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
