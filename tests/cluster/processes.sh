# shellcheck shell=bash
# Starting, waiting for and ending the cluster's processes. Sourced after settings.sh.
#
# All of them, those of Pods too, live in one cgroup, by which they are found again whatever became of who started them.
# They share a network namespace and a view of the file system; both end with them.

# cgroup v2, or one of v1's hierarchies: for finding processes any will do.
case $(stat -fc %T /sys/fs/cgroup) in
    cgroup2fs) CGROUPS=(/sys/fs/cgroup) ;;
    *) CGROUPS=(/sys/fs/cgroup/{pids,memory,cpu,cpuacct,cpuset,blkio,devices,freezer,hugetlb,systemd,unified}) ;;
esac
CGROUP=${CGROUPS[0]}/$CLUSTER

since=$(date +%s%3N)

# say WORD...: a line of progress, with the seconds since the script began.
say() {
    local passed=$(($(date +%s%3N) - since))
    printf '%3d.%d s  %s\n' $((passed / 1000)) $((passed % 1000 / 100)) "$*"
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# inside COMMAND...: runs it where the cluster's processes run.
inside() {
    nsenter --target "$(< "$STATE/pid/root")" --net --mount -- "$@"
}

# start NAME COMMAND...: runs it in the cluster until it ends, its output in log/NAME.log, its process id in pid/NAME.
start() {
    local name=$1
    shift
    (
        echo "$BASHPID" > "$CGROUP/components/cgroup.procs"
        exec setsid nsenter --target "$(< "$STATE/pid/root")" --net --mount -- "$@"
    ) >> "$STATE/log/$name.log" 2>&1 < /dev/null 9>&- &
    echo $! > "$STATE/pid/$name"
}

# runs NAME: whether the process that was started under this name has not ended; one that nobody has buried has.
runs() {
    local id
    id=$(< "$STATE/pid/$1")
    [ -e "/proc/$id" ] && ! grep -q '^State:.Z' "/proc/$id/status"
}

# await NAME SECONDS COMMAND...: until it succeeds. Else it says what it waited for, and the end of NAME's log.
await() {
    local log=$1 seconds=$2 end
    shift 2
    end=$(($(date +%s) + seconds))
    until "$@" > /dev/null 2>&1; do
        if [ "$(date +%s)" -ge "$end" ]; then
            tail -n 20 "$STATE/log/$log.log" >&2
            fail "not in $seconds s: $* (log: $STATE/log/$log.log)"
        fi
        sleep 0.1
    done
}

# The ids of all processes of the cluster.
process_ids() {
    [ ! -d "$CGROUP" ] || find "$CGROUP" -name cgroup.procs -exec cat {} + 2> /dev/null
}

# Ends them all, at once: nothing of theirs is kept.
end_processes() {
    local ids end=$(($(date +%s) + 20))
    while ids=$(process_ids) && [ -n "$ids" ]; do
        # Those that ended meanwhile are no mistake.
        xargs kill -KILL <<< "$ids" 2> /dev/null || true
        [ "$(date +%s)" -lt "$end" ] || fail "these processes do not end: $(xargs <<< "$ids")"
        sleep 0.1
    done
}
