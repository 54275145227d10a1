# shellcheck shell=bash
# The configuration files of the cluster's components. Sourced by up.sh.

write_configuration() {
    local place
    for place in log pid cni containers images kubelet pods; do mkdir -p "$STATE/$place"; done
    audit > "$STATE/audit.yaml"
    containerd_toml > "$STATE/containerd.toml"
    pod_network > "$STATE/cni/10-pods.conflist"
    kubelet_yaml > "$STATE/kubelet.yaml"
    kube_proxy_yaml > "$STATE/kube-proxy.yaml"
    # The kubelet appends the cluster's domains. An empty file would give Pods the machine's own name servers.
    echo "nameserver $DNS_ADDRESS" > "$STATE/resolv.conf"
}

# What Locum asks of the API server, and nothing else: tests compare it with Locum's role.
audit() {
    cat << END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:serviceaccounts:locum-system"]}
- {level: None}
END
}

containerd_toml() {
    cat << END
version = 2
root = "$STATE/containers/root"
state = "$STATE/containers/state"
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/containers/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "locum.test/pause:1"
  # Machines of CI may not raise their own priority.
  restrict_oom_score_adj = true
  # As containerd 2 has it: Pods that are not root may listen on port 80.
  enable_unprivileged_ports = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_PLUGINS:-/usr/lib/cni}"
    conf_dir = "$STATE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
END
}

# A wire from each Pod to the node and nothing between Pods: what goes from one to another passes the node's rules, which
# on a bridge it does only with a kernel module.
pod_network() {
    cat << END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp",
  "ipam": {"type": "host-local", "dataDir": "$STATE/pod-addresses",
           "ranges": [[{"subnet": "$POD_NETWORK"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
}

kubelet_yaml() {
    cat << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-server.crt
tlsPrivateKeyFile: $PKI/kubelet-server.key
containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
cgroupDriver: cgroupfs
cgroupRoot: /$CLUSTER
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
clusterDomain: cluster.local
clusterDNS: [$DNS_ADDRESS]
resolvConf: $STATE/resolv.conf
podLogsDir: $STATE/pods
volumePluginDir: $STATE/kubelet/volumeplugins
serializeImagePulls: false
registryPullQPS: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
# The disk and the memory are the machine's: what fills them is none of the cluster's doing.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "1Mi", nodefs.available: "0%", imagefs.available: "0%"}
END
}

kube_proxy_yaml() {
    cat << END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $STATE/kube-proxy.conf}
mode: nftables
clusterCIDR: $POD_NETWORK
hostnameOverride: $NODE
oomScoreAdj: 0
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
}
