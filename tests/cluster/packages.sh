#!/usr/bin/env bash
# Prints the Debian packages that the cluster needs and this machine has not, on one line; nothing when all are there.
set -euo pipefail

missing=()
needs() { command -v "$1" > /dev/null || missing+=("$2"); }

needs containerd containerd
needs runc runc
needs nft nftables
needs ip iproute2
needs nsenter util-linux
needs openssl openssl
needs python3 python3
needs strip binutils
[ -x "${CNI_PLUGINS:-/usr/lib/cni}/ptp" ] || missing+=(containernetworking-plugins)
echo "${missing[*]}"
