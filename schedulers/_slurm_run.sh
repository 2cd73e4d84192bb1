# What srun starts on every node: the program, its logs, and a note of how it ended. The lines above set: job, bin, cwd.
me=$job/replicas/$SLURM_PROCID
mkdir -p "$me"
child="" stopped=""

leave() { # exit code
    printf '%s %s %s %s\n' "$1" "$(date +%s.%N)" "$SLURM_PROCID" "$SLURMD_NODENAME" >"$me/.exit"
    mv -f "$me/.exit" "$me/exit"
    exit "$1"
}

stop() { # once, as a second SIGTERM means "at once" to a trainer
    [ -z "$stopped" ] || return
    stopped=yes
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null
}

collect() { # a stream's name; not ended by SIGTERM, so that the last words of a program are kept
    trap '' TERM INT HUP
    tee -a -- "$me/$1.log" | LC_ALL=C grep -a --line-buffered '' >>"$me/combined.log"
}

trap stop TERM
echo $$ >"$job/pids/$SLURMD_NODENAME"
export PYTHONUNBUFFERED=${PYTHONUNBUFFERED:-1} TORCHX_RANK0_HOST=$TZX_MASTER_ADDR
export TORCHX_REPLICA_IDX=$SLURM_PROCID TORCHELASTIC_ERROR_FILE=$me/error.json PET_LOG_DIR=$me/torchelastic
if ! . "$job/env.sh"; then
    echo "tzx: $job cannot be read on $SLURMD_NODENAME; is it on a file system that all nodes share?" >&2
    leave 126
fi
[ -z "$bin" ] || export PATH=$bin:$PATH
cd -- "$cwd" 2>>"$me/combined.log" || leave 126

pipes=$(mktemp -d) || leave 74
mkfifo "$pipes/stdout" "$pipes/stderr" || leave 74
collect stdout <"$pipes/stdout" &
collectors=$!
collect stderr <"$pipes/stderr" &
collectors="$collectors $!"
(exec -- "${command[@]}") >"$pipes/stdout" 2>"$pipes/stderr" </dev/null &
child=$!
[ -n "$stopped" ] && kill -TERM "$child" 2>/dev/null
[ -e "$job/stopping" ] && stop
while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break # else a signal has ended the wait, not the program
done
rm -rf "$pipes"
for _ in $(seq 50); do # a process left behind may hold the pipes open for ever
    # shellcheck disable=SC2086
    kill -0 $collectors 2>/dev/null || break
    sleep 0.1
done
leave "$code"
