#!/usr/bin/env bash
# A shell in the cluster's network, kubectl set up. usage: shell.sh [COMMAND...]
set -euo pipefail
cd "$(dirname "$0")"
. ./settings.sh
. ./processes.sh

[ -e "$STATE/up" ] || fail "the cluster $CLUSTER is not up: make cluster"
export PATH=$STATE/programs/bin:$PATH
cd - > /dev/null
if [ $# = 0 ]; then
    echo "kubectl works here, and so do the addresses of Pods and Services; exit leaves"
    set -- "${SHELL:-bash}"
fi
exec nsenter --net="$NETNS" -- "$@"
