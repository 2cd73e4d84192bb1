#!/bin/bash
# Ends what start_slurm.sh DIR has started, jobs included, and takes its line out of /etc/hosts.
set -uo pipefail
dir=$(realpath -m "${1:?usage: stop_slurm.sh DIR}")
export SLURM_CONF=$dir/slurm.conf

scancel --user="$(id -un)" 2>/dev/null
for _ in $(seq 40); do
    [ -z "$(squeue -h 2>/dev/null)" ] && break
    sleep 0.25
done
pids=$(cat "$dir"/run/*.pid 2>/dev/null)
for pid in $pids; do
    kill "$pid" 2>/dev/null
done
for _ in $(seq 40); do
    # shellcheck disable=SC2086
    kill -0 $pids 2>/dev/null || break
    sleep 0.25
done
for pid in $pids; do
    kill -9 "$pid" 2>/dev/null
done
# In place, as /etc/hosts is a mount in containers.
hosts=$(grep -vF "# slurm in $dir" /etc/hosts)
echo "$hosts" >/etc/hosts
exit 0
