#!/usr/bin/env bash
# Builds the cluster's programs from the Go modules beside this script, unless that was done, and prints the folder that
# holds them: bin/ and crds/. What is built once is used until a module, this script or the Go version changes.
set -euo pipefail
cd "$(dirname "$0")"
. ./settings.sh

command -v go > /dev/null || {
    echo "the cluster's programs are built with Go 1.26 or later: https://go.dev/dl" >&2
    exit 1
}
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" GOWORK=off
key=$(cat programs.sh modules/*/* <(go version) | sha256sum | cut -c 1-16)
programs=$CACHE/programs-$key
if [ -d "$programs" ]; then
    echo "$programs"
    exit 0
fi

modules=$PWD/modules
mkdir -p "$CACHE"
new=$(mktemp -d "$CACHE/building.XXXXXX")
trap 'rm -rf "$new"' EXIT
mkdir "$new/bin"

# program NAME MODULE PACKAGE [LDFLAGS]
program() {
    local started=$SECONDS
    (cd "$modules/$2" && go build -ldflags "-s -w ${4-}" -o "$new/bin/$1" "$3")
    echo "built $1 in $((SECONDS - started)) s" >&2
}

version=$(cd modules/kubernetes && go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v*.}
stamp=k8s.io/component-base/version
flags="-X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}"
flags+=" -X $stamp.gitCommit=none -X $stamp.gitTreeState=clean"

echo "building Kubernetes $version, once: 7 to 25 minutes on two cores when Go has none of it in its cache" >&2
program pause pause .
program coredns coredns .
program etcd etcd go.etcd.io/etcd/server/v3
for name in kubectl kube-apiserver kube-controller-manager kubelet kube-scheduler kube-proxy; do
    program "$name" kubernetes "k8s.io/kubernetes/cmd/$name" "$flags"
done

cd modules/gateway-api
go mod download sigs.k8s.io/gateway-api
cp -r --no-preserve=mode "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd" "$new/crds"

chmod 755 "$new"
mv -T "$new" "$programs"
echo "$programs"
