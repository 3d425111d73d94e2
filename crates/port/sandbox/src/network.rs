//! Addresses of pods and services, in both worlds.

use std::net::Ipv4Addr;

use crate::spec::Mode;

/// The addresses that the sandbox gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pods: [u8; 2],
    services: [u8; 2],
}

impl Network {
    /// The addresses of a mode: `10.88/16` and `10.96/16` in namespaces, `127.88/16` and `127.96/16` for plain processes.
    pub const fn of(mode: Mode) -> Self {
        match mode {
            Mode::Plain => Network { pods: [127, 88], services: [127, 96] },
            Mode::Auto | Mode::Namespaces => Network { pods: [10, 88], services: [10, 96] },
        }
    }

    /// The n-th service address; 1 is the API server, 10 the resolver.
    pub const fn service(self, n: u16) -> Ipv4Addr {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(self.services[0], self.services[1], high, low)
    }

    /// The n-th pod address; 1 is the host's end of the bridge.
    pub const fn pod(self, n: u16) -> Ipv4Addr {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(self.pods[0], self.pods[1], high, low)
    }

    /// Whether the address is a service's.
    pub fn is_service(self, address: Ipv4Addr) -> bool {
        address.octets()[..2] == self.services
    }

    /// Whether the address is a pod's.
    pub fn is_pod(self, address: Ipv4Addr) -> bool {
        address.octets()[..2] == self.pods
    }

    /// The address at which a pod reaches the host's end of the network.
    pub const fn gateway(self) -> Ipv4Addr {
        self.pod(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_worlds() {
        let namespaces = Network::of(Mode::Namespaces);
        assert_eq!(namespaces.service(10).to_string(), "10.96.0.10");
        assert_eq!(namespaces.pod(258).to_string(), "10.88.1.2");
        assert_eq!(Network::of(Mode::Plain).service(1).to_string(), "127.96.0.1");
        assert!(
            namespaces.is_pod(Ipv4Addr::new(10, 88, 7, 7))
                && !namespaces.is_pod(Ipv4Addr::new(127, 88, 0, 2))
        );
    }
}
