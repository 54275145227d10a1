#!/usr/bin/env bash
# Gives the running cluster the images that the tests' manifests name, made of what was built here: Locum, Envoy, the
# echo backend of the failover page. usage: test-images.sh LOCUM ENVOY ECHO (paths of the programs)
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/settings.sh"
. "$HERE/processes.sh"
. "$HERE/images.sh"

[ -e "$STATE/up" ] || fail "the cluster $CLUSTER is not up: make cluster"
locum=${1:?which locum?} envoy=${2:?which envoy?} echo=${3:?which locum-echo?}

# Without what only debuggers read: it is copied to every node, and into the volumes of Envoy's Pods.
stripped=$STATE/images/locum
strip --strip-all -o "$stripped" "$locum"

# The names are those that the manifests have, so that they are tested as they are shipped.
load_image ghcr.io/locum-dev/locum:0.1.0 /locum "$stripped:/locum" \
    --libraries "$locum" --user 65532
# Locum's libraries too: `locum shutdown` runs in this image, and the build that is tested is not static.
load_image docker.io/envoyproxy/envoy:v1.40.0 /usr/local/bin/envoy "$envoy:/usr/local/bin/envoy" \
    --libraries "$envoy" --libraries "$locum"
load_image gcr.io/k8s-staging-gateway-api/echo-basic:v20231214-v1.0.0-140-gf544a46e /locum-echo "$echo:/locum-echo" \
    --libraries "$echo" --env LOCUM_ECHO_LISTEN=0.0.0.0:3000
say "images of Locum, Envoy and the echo backend"
