# shellcheck shell=bash
# Images made of this machine's files and given to the cluster. Sourced after settings.sh.

# load_image IMAGE.PY'S ARGUMENTS AFTER THE FOLDER: makes the image and loads it, if it is not what was loaded last.
load_image() {
    local archive last
    archive=$("$HERE/image.py" "$STATE/images" "$@")
    last=${archive%-*}.last
    if [ -e "$last" ] && [ "$(< "$last")" = "$archive" ]; then
        return
    fi
    ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io images import "$archive" > /dev/null
    [ ! -e "$last" ] || rm -f "$(< "$last")"
    echo "$archive" > "$last"
}
