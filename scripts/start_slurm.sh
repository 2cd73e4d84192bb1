#!/bin/bash
# Starts a Slurm of its own on this machine, for tests: munged, slurmctld and one slurmd for each node, all on loopback.
# As root, with slurm-wlm and munge installed. It is up within seconds; stop_slurm.sh DIR ends it.
#
#   scripts/start_slurm.sh DIR [NODES] [PORT]     then: export SLURM_CONF=DIR/slurm.conf
set -euo pipefail
dir=$(realpath -m "${1:?usage: start_slurm.sh DIR [NODES] [PORT]}")
nodes=${2:-2}
port=${3:-6817}
conf=$dir/slurm.conf
host=$(hostname -s)
names=$(seq -f "tzx%g" -s " " 0 $((nodes - 1)))

mkdir -p "$dir/state" "$dir/log" "$dir/run"
chmod 755 "$dir" "$dir/run"
(umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
munged --force --key-file="$dir/munge.key" --socket="$dir/run/munge.sock" --pid-file="$dir/run/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/run/munge.seed" --num-threads=2

cat >"$conf" <<END
ClusterName=tzx
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.sock
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/run/spool.%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
MinJobAge=${MIN_JOB_AGE:-3600}
KillWait=2
END
for index in $(seq 0 $((nodes - 1))); do
    echo "NodeName=tzx$index NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 100 + index)) CPUs=2 RealMemory=8192"
done >>"$conf"
echo "PartitionName=debug Nodes=tzx[0-$((nodes - 1))] Default=YES MaxTime=INFINITE State=UP" >>"$conf"

# The processes of a job look their nodes' names up.
echo "127.0.0.1 $names # slurm in $dir" >>/etc/hosts

export SLURM_CONF=$conf
slurmctld -f "$conf" -c
for name in $names; do
    slurmd -f "$conf" -N "$name"
done
for _ in $(seq 120); do
    [ "$(sinfo -h -N -o %t 2>/dev/null | grep -c idle)" = "$nodes" ] && echo "export SLURM_CONF=$conf" && exit 0
    sleep 0.25
done
echo "no $nodes idle nodes within 30 s; see $dir/log" >&2
exit 1
