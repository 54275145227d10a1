# shellcheck shell=bash
# Certificates and kubeconfigs of the cluster's components, for as long as it runs. Sourced by up.sh.

key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$PKI/$1.key"
}

# certificate NAME SUBJECT [NAMES]: signed by the cluster's CA, good for both ends of a connection.
certificate() {
    local extensions="extendedKeyUsage=serverAuth,clientAuth"
    [ $# -lt 3 ] || extensions+=$'\n'"subjectAltName=$3"
    key "$1"
    openssl req -new -key "$PKI/$1.key" -subj "$2" |
        openssl x509 -req -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -days 365 -out "$PKI/$1.crt" \
            -extfile <(echo "$extensions") 2> /dev/null
}

# kubeconfig NAME: for the component that has the certificate of this name.
kubeconfig() {
    cat > "$STATE/$1.conf" << END
apiVersion: v1
kind: Config
clusters: [{name: $CLUSTER, cluster: {server: "https://$NODE_ADDRESS:6443", certificate-authority: $PKI/ca.crt}}]
users: [{name: $1, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: $CLUSTER, context: {cluster: $CLUSTER, user: $1}}]
current-context: $CLUSTER
END
}

make_certificates() {
    mkdir -p "$PKI"
    key ca
    openssl req -x509 -key "$PKI/ca.key" -subj "/CN=$CLUSTER" -days 365 -out "$PKI/ca.crt"
    local api=localhost,kubernetes,kubernetes.default,kubernetes.default.svc,kubernetes.default.svc.cluster.local
    certificate apiserver /CN=kube-apiserver "DNS:${api//,/,DNS:},IP:127.0.0.1,IP:$NODE_ADDRESS,IP:$API_ADDRESS"
    certificate apiserver-to-kubelet /O=system:masters/CN=kube-apiserver
    certificate kubelet-server "/CN=$NODE" "DNS:$NODE,IP:$NODE_ADDRESS"
    certificate admin /O=system:masters/CN=admin
    certificate controller-manager /CN=system:kube-controller-manager
    certificate scheduler /CN=system:kube-scheduler
    certificate kube-proxy /CN=system:kube-proxy
    certificate kubelet "/O=system:nodes/CN=system:node:$NODE"
    local name
    for name in admin controller-manager scheduler kube-proxy kubelet; do kubeconfig "$name"; done
    key service-accounts
    openssl pkey -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub"
}
