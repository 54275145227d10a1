# shellcheck shell=bash
# How each of the cluster's processes is started: a function of its name for each. Sourced by up.sh and component.sh,
# which may give the API server further arguments.

etcd() {
    # No fsync: nothing of it outlives the machine's being switched off.
    start etcd "$STATE/programs/bin/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
}

kube-apiserver() {
    start kube-apiserver "$STATE/programs/bin/kube-apiserver" \
        --etcd-servers http://127.0.0.1:2379 \
        --bind-address 0.0.0.0 --advertise-address "$NODE_ADDRESS" --secure-port 6443 \
        --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" \
        --client-ca-file "$PKI/ca.crt" \
        --kubelet-client-certificate "$PKI/apiserver-to-kubelet.crt" \
        --kubelet-client-key "$PKI/apiserver-to-kubelet.key" \
        --kubelet-preferred-address-types InternalIP \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$PKI/service-accounts.pub" \
        --service-account-signing-key-file "$PKI/service-accounts.key" \
        --service-cluster-ip-range "$SERVICE_NETWORK" \
        --authorization-mode Node,RBAC --allow-privileged \
        --audit-policy-file "$STATE/audit.yaml" --audit-log-path "$STATE/log/audit.jsonl" \
        "$@"
}

kube-controller-manager() {
    # Credentials for each controller of its own: RBAC knows them by these.
    start kube-controller-manager "$STATE/programs/bin/kube-controller-manager" \
        --kubeconfig "$STATE/controller-manager.conf" --leader-elect=false \
        --use-service-account-credentials \
        --service-account-private-key-file "$PKI/service-accounts.key" --root-ca-file "$PKI/ca.crt"
}

kube-scheduler() {
    start kube-scheduler "$STATE/programs/bin/kube-scheduler" \
        --kubeconfig "$STATE/scheduler.conf" --leader-elect=false
}

containerd() {
    start containerd containerd --config "$STATE/containerd.toml"
}

kubelet() {
    start kubelet "$STATE/programs/bin/kubelet" --config "$STATE/kubelet.yaml" --kubeconfig "$STATE/kubelet.conf" \
        --root-dir "$STATE/kubelet" --cert-dir "$STATE/kubelet/pki" \
        --hostname-override "$NODE" --node-ip "$NODE_ADDRESS"
}

kube-proxy() {
    start kube-proxy "$STATE/programs/bin/kube-proxy" --config "$STATE/kube-proxy.yaml"
}

loadbalancer() {
    start loadbalancer python3 "$HERE/loadbalancer.py" "https://$NODE_ADDRESS:6443" "$PKI" "$LOADBALANCER_NETWORK"
}
