# Tells the program of this node to save its work and to leave. The line above sets: job.
kill -TERM "$(cat "$job/pids/$SLURMD_NODENAME")" 2>/dev/null || true
