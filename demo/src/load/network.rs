//! Where a load may go: loopback, and networks that its caller made for its own tests and names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A private IPv4 network, written `10.244.0.0/16`.
///
/// A network that is not private, as those of a cluster made for tests are, cannot be named: a load
/// has no business with anybody else's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestNetwork {
    base: Ipv4Addr,
    bits: u8,
}

/// Why a text is no network that a load may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotATestNetwork(String);

impl fmt::Display for NotATestNetwork {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(
            out,
            "{text:?} is no private IPv4 network, such as 10.244.0.0/16"
        )
    }
}

impl std::error::Error for NotATestNetwork {}

impl TestNetwork {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else {
            return false;
        };
        address.to_bits() & mask(self.bits) == self.base.to_bits()
    }
}

impl FromStr for TestNetwork {
    type Err = NotATestNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (base, bits) = text.split_once('/')?;
            let (base, bits) = (base.parse::<Ipv4Addr>().ok()?, bits.parse::<u8>().ok()?);
            let last = Ipv4Addr::from_bits(base.to_bits() | !mask(bits));
            let whole = bits <= 32 && base.to_bits() & !mask(bits) == 0;
            // Both ends in private space: no private range holds a public one.
            let private = base.is_private() && last.is_private() && bits >= 8;
            (whole && private).then_some(Self { base, bits })
        };
        parse().ok_or_else(|| NotATestNetwork(text.to_owned()))
    }
}

/// The bits of an address that name its network.
fn mask(bits: u8) -> u32 {
    let host = 32u32.saturating_sub(bits.into());
    u32::MAX.checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let network: TestNetwork = "10.201.0.0/24".parse().unwrap();
        for (address, inside) in [
            ("10.201.0.0", true),
            ("10.201.0.255", true),
            ("10.201.1.0", false),
            ("10.200.0.255", false),
            ("::ffff:10.201.0.1", false),
        ] {
            assert_eq!(
                network.contains(address.parse().unwrap()),
                inside,
                "{address}"
            );
        }
        let one: TestNetwork = "192.168.1.7/32".parse().unwrap();
        assert!(one.contains([192, 168, 1, 7].into()));
        assert!(!one.contains([192, 168, 1, 6].into()));
    }

    #[test]
    fn only_private_networks_can_be_named() {
        for text in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] {
            assert!(text.parse::<TestNetwork>().is_ok(), "{text}");
        }
        for text in [
            "0.0.0.0/0",
            "8.8.8.0/24",
            "172.0.0.0/8",
            "192.168.0.0/15",
            "10.0.0.1/24",
            "10.0.0.0/33",
            "10.0.0.0",
            "fd00::/8",
            "",
        ] {
            assert!(text.parse::<TestNetwork>().is_err(), "{text}");
        }
    }
}
