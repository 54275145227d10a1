#!/usr/bin/env bash
# Starts a Kubernetes of one node in a network namespace of its own. Says so and does nothing when it runs already;
# what a run that was killed has left is taken away first.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE"
. ./settings.sh
. ./processes.sh
. ./namespaces.sh
. ./certificates.sh
. ./configuration.sh
. ./components.sh
. ./images.sh

[ "$(id -u)" = 0 ] || fail "the cluster needs root: network namespaces, mounts and cgroups are made for it"
missing=$(./packages.sh)
[ -z "$missing" ] || fail "missing packages: apt-get install --no-install-recommends $missing"
PROGRAMS=$(./programs.sh)
export PATH=$PROGRAMS/bin:$PATH
mkdir -p "$CACHE"
# One at a time; those that are started must not hold the lock (`9>&-`).
exec 9> "$CACHE/lock-$CLUSTER"
flock 9

kubectl_inside() { inside "$PROGRAMS/bin/kubectl" --kubeconfig "$KUBECONFIG" --request-timeout 10s "$@"; }
is_up() { [ -e "$STATE/up" ] && kubectl_inside wait "node/$NODE" --for=condition=Ready --timeout=5s; }

if is_up > /dev/null 2>&1; then
    say "the cluster is up already, since $(date -r "$STATE/up" '+%F %T')"
    exit 0
fi
if [ -e "$STATE" ] || [ -e "$NETNS" ] || [ -n "$(process_ids)" ]; then
    say "taking away what an earlier run left"
    ./down.sh
fi

mkdir -p "$STATE"
ln -s "$PROGRAMS" "$STATE/programs"
write_configuration
make_cgroups
make_namespaces
save_sysctls
containerd
etcd
make_certificates
say "namespace, etcd, certificates"
kube-apiserver
await containerd 30 ctr -a "$CONTAINERD_SOCKET" version
load_image locum.test/pause:1 /pause "$PROGRAMS/bin/pause:/pause"
load_image locum.test/coredns:1 /coredns "$PROGRAMS/bin/coredns:/coredns"
say "containerd, images"
await kube-apiserver 120 kubectl_inside get --raw /readyz
say "API server"
kube-controller-manager
kube-scheduler
kubelet
kube-proxy
loadbalancer
kubectl_inside apply --server-side -f "$HERE/dns.yaml" > "$STATE/log/dns.log"
# Meanwhile the node gets ready; the API server takes its time to check the rules in these.
kubectl_inside apply --server-side -k "$PROGRAMS/crds" > "$STATE/log/crds.log"
say "Gateway API's resources"
await kubelet 60 kubectl_inside wait "node/$NODE" --for=condition=Ready --timeout=5s
await kube-controller-manager 60 kubectl_inside get serviceaccount default
kubectl_inside wait crd --all --for=condition=Established --timeout=30s > /dev/null
kubectl_inside -n kube-system rollout status deployment/coredns --timeout=60s > /dev/null
touch "$STATE/up"
say "the cluster is up; a shell on it: make cluster-shell"
