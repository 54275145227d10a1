# shellcheck shell=bash
# A network of the cluster's own, and a view of the file system in which it may mount what it likes. Sourced by up.sh.

make_namespaces() {
    mkdir -p "${FIXED_PLACES[@]}"
    ip netns add "$CLUSTER"
    ip -n "$CLUSTER" link set lo up
    # The node's interface: one end of a wire whose other end nobody holds. (Not every kernel has dummy devices.)
    ip -n "$CLUSTER" link add node type veth peer name nowhere
    ip -n "$CLUSTER" address add "$NODE_ADDRESS/24" dev node
    ip -n "$CLUSTER" link set node up
    ip -n "$CLUSTER" link set nowhere up
    # The components look for the interface of the default route, and DNAT for any route at all.
    ip -n "$CLUSTER" route add default dev node
    nsenter --net="$NETNS" sysctl -qw net.ipv4.ip_forward=1

    # The process that holds the view of the file system. Not `ip netns exec`: it hides /sys/fs/cgroup.
    (
        echo "$BASHPID" > "$CGROUP/components/cgroup.procs"
        # shellcheck disable=SC2016 # the words are for the inner shell
        exec setsid nsenter --net="$NETNS" unshare --mount --propagation slave -- bash -euc '
            mount --make-rshared /
            for place in "$@"; do mount -t tmpfs tmpfs "$place"; done
            touch "$0"
            exec sleep infinity' "$STATE/pid/root.ready" /run "${FIXED_PLACES[@]}"
    ) > "$STATE/log/root.log" 2>&1 < /dev/null 9>&- &
    echo $! > "$STATE/pid/root"
    await root 10 test -e "$STATE/pid/root.ready"
}

make_cgroups() {
    local root
    for root in "${CGROUPS[@]}"; do
        [ ! -d "$root" ] || mkdir -p "$root/$CLUSTER"
    done
    mkdir -p "$CGROUP/components"
    # v2: the kubelet wants every controller below the root. On v1 there is no such file.
    local controllers=/sys/fs/cgroup/cgroup.controllers controller
    [ ! -f "$controllers" ] || for controller in $(< "$controllers"); do
        echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control || say "cgroup v2 without $controller"
    done
}

# The kubelet sets these for the whole machine; they are put back when the cluster goes.
save_sysctls() {
    local names=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops)
    names+=(kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
    sysctl "${names[@]}" > "$STATE/sysctls"
}
