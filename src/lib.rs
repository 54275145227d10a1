//! Locum: a control plane for stock Envoy proxies that never misses a backend.
