#!/usr/bin/env bash
# Starts one component of the running cluster again, after a test has ended it by the id in its pid file.
# usage: component.sh NAME [ARGUMENT...]     for example: component.sh kube-apiserver --v=4
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE"
. ./settings.sh
. ./processes.sh
. ./components.sh

[ -e "$STATE/up" ] || fail "the cluster $CLUSTER is not up: make cluster"
name=${1:?which component?}
[ -f "$STATE/pid/$name" ] || fail "no component $name: $(cd "$STATE/pid" && echo *)"
! runs "$name" || fail "$name runs already"
shift
"$name" "$@"
