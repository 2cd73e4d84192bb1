# What sbatch starts, on the first node of the job. The lines above set: job, session, max_retries, grace, modules, srun.
set -u

attempts=$(cat "$job/attempts" 2>/dev/null || echo 0)
stopped="" step="" timer=""
rm -f "$job/exit.json"

finish() { # state, exit code, replica that explains it
    printf '{"state": "%s", "code": %s, "replica": %s, "stopped": "%s", "restarts": %s, "ended": %s}\n' \
        "$1" "$2" "${3:-null}" "$stopped" "$restarts" "$(date +%s)" >"$job/.exit.json"
    mv -f "$job/.exit.json" "$job/exit.json"
    rm -f "$job/env.sh"
    exit "$2"
}

# Slurm would send a signal to every process of a step. A trainer needs its data workers until its work is saved, and
# takes a second SIGTERM as an order to leave at once, so that only one process of each node is told, and once.
tell_replicas() {
    srun --overlap --mem=0 --cpus-per-task=1 --ntasks-per-node=1 --nodes="$SLURM_JOB_NUM_NODES" \
        --ntasks="$SLURM_JOB_NUM_NODES" bash "$job/stop.sh" || scancel --signal=TERM "$SLURM_JOB_ID"
}

kill_step() { # pid of its srun, which takes SIGTERM as an order to kill everything at once
    [ -z "$1" ] || kill -TERM "$1" 2>/dev/null
}

# Not srun's own --kill-on-bad-exit: the first replica that has saved its work and left would end those still at it.
watch() { # pid of srun; ends the other replicas when one has failed
    while sleep 1; do
        grep -qsv '^0 ' "$job"/replicas/*/exit && break
    done
    sleep 3 # they often notice by themselves, and then say more
    [ -e "$job/stopping" ] || kill_step "$1"
}

stop() { # why
    local before=$stopped
    [ "$stopped" = cancel ] || stopped=$1
    if [ -n "$before" ]; then
        [ "$1" = time ] || kill_step "$step"
    elif [ -n "$step" ]; then
        : >"$job/stopping" # for replicas that are just being started
        tell_replicas &
        (sleep "$grace" && kill_step "$step") &
        timer=$!
    fi
}

explain() { # the exit code that says what happened, and its replica: the first telling one, else the first failure
    cat "$job"/replicas/*/exit 2>/dev/null | sort -k 2 -n | awk -v stopped="$stopped" '
        $1 != 0 && first == "" { first = $1 " " $3 }
        told == "" && ($1 == 2 || $1 == 65 || $1 == 74 || $1 == 75 || ($1 == 143 && stopped != "")) { told = $1 " " $3 }
        END { print told != "" ? told : first }'
}

may_retry() { # exit code
    case $1 in 2 | 65 | 126 | 127 | 130) return 1 ;; esac
    [ "$stopped" != cancel ] && [ "$attempts" -lt "$max_retries" ]
}

note() { # a line of our own in every log
    local folder
    for folder in "$job"/replicas/*/; do
        echo "tzx: $1" >>"$folder/combined.log"
    done
    echo "tzx: $1"
}

load_modules() {
    local file
    [ "${#modules[@]}" -gt 0 ] || return 0
    for file in /etc/profile.d/{modules,lmod,z00_lmod,z01_lmod}.sh; do
        type module >/dev/null 2>&1 && break
        [ -r "$file" ] && . "$file"
    done
    module load "${modules[@]}"
}

run_once() {
    rm -f "$job/stopping" "$job"/replicas/*/exit "$job"/replicas/*/error.json "$job"/pids/*
    "${srun[@]}" --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
        bash "$job/run.sh" &
    step=$!
    watch "$step" &
    local watcher=$!
    while :; do
        wait "$step"
        code=$?
        kill -0 "$step" 2>/dev/null || break # else a signal has ended the wait, not the step
    done
    step=""
    # shellcheck disable=SC2086
    kill "$watcher" $timer 2>/dev/null
    timer=""
    # srun calls a step that was killed as a whole a success.
    [ "$code" -ne 0 ] || [ "$(cat "$job"/replicas/*/exit 2>/dev/null | grep -c '^0 ')" -eq "$SLURM_JOB_NUM_NODES" ] || code=137
}

trap 'stop cancel' TERM
trap 'stop time' USR1
mkdir -p "$job/replicas" "$job/pids"
restarts=$((${SLURM_RESTART_COUNT:-0} + attempts))
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
echo "$nodes" >"$job/nodes"
export TZX_MASTER_ADDR=${nodes%%$'\n'*}
export TZX_MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export TORCHX_JOB_ID=slurm://$session/$SLURM_JOB_ID
load_modules || finish FAILED 2

while :; do
    [ "$stopped" = cancel ] || [ -e "$job/cancelled" ] && finish CANCELLED 143
    restarts=$((${SLURM_RESTART_COUNT:-0} + attempts))
    export TZX_RESTART_COUNT=$restarts
    run_once
    [ "$code" -eq 0 ] && finish SUCCEEDED 0
    read -r cause replica <<<"$(explain)"
    code=${cause:-$code}
    [ "$stopped" = cancel ] && finish CANCELLED "$code" "$replica"
    may_retry "$code" || finish FAILED "$code" "$replica"
    attempts=$((attempts + 1))
    echo "$attempts" >"$job/attempts"
    note "replica ${replica:-?} exited with $code; restart $attempts of $max_retries"
    if [ "$stopped" = time ]; then
        # There is no time left in this allocation: the next one goes on.
        scontrol requeue "$SLURM_JOB_ID" && exit 0
        finish FAILED "$code" "$replica"
    fi
    pause=$((attempts < 5 ? 1 << (attempts - 1) : 30))
    sleep "$pause" &
    wait $!
done
