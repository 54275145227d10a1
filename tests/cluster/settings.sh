# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those that source it
# Names, places and addresses of the cluster. Sourced by the other scripts.

# The network namespace, the cgroup and the folder of the state have this name.
CLUSTER=${LOCUM_CLUSTER:-locum-cluster}
# Everything that a running cluster writes; it goes with the cluster.
STATE=/var/lib/$CLUSTER
PKI=$STATE/pki
CONTAINERD_SOCKET=$STATE/containerd.sock
# What was built, for as long as nobody deletes it.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/locum/cluster

# Where the programs write whatever they are told. The cluster sees something of its own there, which ends with it.
FIXED_PLACES=(/var/lib/cni /var/lib/kubelet /var/log/containers)

NETNS=/run/netns/$CLUSTER
NODE=node
NODE_ADDRESS=10.200.0.1
POD_NETWORK=10.244.0.0/24
SERVICE_NETWORK=10.96.0.0/16
API_ADDRESS=10.96.0.1
DNS_ADDRESS=10.96.0.10
LOADBALANCER_NETWORK=10.201.0.0/24

export KUBECONFIG=$STATE/admin.conf
