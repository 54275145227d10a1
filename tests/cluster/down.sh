#!/usr/bin/env bash
# Takes the cluster away, whatever became of it: its processes and those of its Pods, its network, its mounts, its
# cgroups, its files, and puts back what the kubelet set for the whole machine. What was built stays.
set -euo pipefail
cd "$(dirname "$0")"
. ./settings.sh
. ./processes.sh

[ "$(id -u)" = 0 ] || fail "taking the cluster away needs root"
end_processes
# The mounts were those processes' own and have ended with them; so have the Pods' networks.
[ ! -e "$NETNS" ] || ip netns delete "$CLUSTER"
for root in "${CGROUPS[@]}"; do
    # A cgroup can be busy for a moment after its last process.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -d "$root/$CLUSTER" ] || break
        find "$root/$CLUSTER" -depth -type d -exec rmdir {} + 2> /dev/null || sleep 0.1
    done
    [ ! -d "$root/$CLUSTER" ] || fail "cannot remove the cgroup $root/$CLUSTER"
done
[ ! -f "$STATE/sysctls" ] || sysctl -qp "$STATE/sysctls"
rm -rf --one-file-system "$STATE"
rmdir --ignore-fail-on-non-empty "${FIXED_PLACES[@]}" 2> /dev/null || true
say "the cluster is away"
