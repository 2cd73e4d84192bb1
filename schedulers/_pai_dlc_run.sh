# What every node of a DLC job runs. The lines above set: max_retries, never, secrets; the function program; variables.
# Kubernetes, below DLC, would replace $(NAME) of a known variable, and $$: neither is written here.
export TZX_MASTER_ADDR="${MASTER_ADDR:-localhost}" TZX_MASTER_PORT="${MASTER_PORT:-23456}"
export TORCHX_REPLICA_IDX="${RANK:-0}" TORCHX_RANK0_HOST="$TZX_MASTER_ADDR" PYTHONUNBUFFERED="${PYTHONUNBUFFERED:-1}"
unset MASTER_ADDR MASTER_PORT RANK WORLD_SIZE # they count nodes here, and processes in torch

tries=0 stopped="" child=""
stop() { # once, as a second SIGTERM means "at once" to a trainer
    [ -z "$stopped" ] || return 0
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
trap stop TERM

while :; do
    export TZX_RESTART_COUNT="$tries"
    (program) </dev/null &
    child=$!
    [ -z "$stopped" ] || kill -TERM "$child" 2>/dev/null
    while :; do
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break # else a signal has ended the wait, not the program
    done
    case " 0 $never " in *" $code "*) exit "$code" ;; esac
    if [ -n "$stopped" ] || [ "$tries" -ge "$max_retries" ]; then exit "$code"; fi
    tries=$((tries + 1))
    echo "tzx: exited with $code; restart $tries of $max_retries"
    pause=$((tries < 6 ? 1 << (tries - 1) : 30))
    sleep "$pause" &
    wait $!
done
