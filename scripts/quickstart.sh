#!/usr/bin/env bash
# From nothing to predictions: MovieLens-100K, DeepFM, through TorchX on this machine.
# Run it as `make quickstart`. Every run has a directory of its own, so it can be run again at any time.
#
#   scripts/quickstart.sh [RUN_DIRECTORY]      default: runs/quickstart-<date>-<time>
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=$PWD/.venv/bin
RUN=${1:-runs/quickstart-$(date +%Y%m%d-%H%M%S)}
CONFIG=examples/deepfm_movielens.config
DATA=data/movielens/random
export PATH="$BIN:$PATH"

if [ -t 1 ]; then BOLD=$(printf '\033[1m') DIM=$(printf '\033[2m') PLAIN=$(printf '\033[0m'); else BOLD='' DIM='' PLAIN=''; fi
STARTED=$SECONDS

step() { printf '\n%s== %s%s\n' "$BOLD" "$1" "$PLAIN"; }

# Shows a command as one would type it, then runs it.
run() {
  printf '%s$ %s%s\n' "$DIM" "$*" "$PLAIN"
  "$@"
}

fail() {
  printf '\nquickstart stopped at: %s\n' "${STAGE:-start}" >&2
  printf 'what was done so far lies in %s; run again with: make quickstart\n' "$RUN" >&2
}
if ! command -v torchx >/dev/null || [ ! -x "$BIN/python" ]; then
  echo "no environment in $BIN: run 'make install' first" >&2
  exit 2
fi
if [ -e "$RUN" ]; then
  echo "$RUN exists: give another directory, or none" >&2
  exit 2
fi
mkdir -p "$RUN"
trap 'code=$?; [ $code -eq 0 ] || fail; exit $code' EXIT

STAGE="1/5 data"
step "$STAGE: MovieLens-100K, 100,000 ratings"
run python -m tzx.apps.prepare_data movielens --out data/movielens --format parquet

STAGE="2/5 train"
step "$STAGE: three epochs, an evaluation after each"
run torchx run -s local_cwd tzx.components.train --config "$CONFIG" --model_dir "$RUN/model"

STAGE="3/5 eval"
step "$STAGE: on the test part, which training never saw"
run torchx run -s local_cwd tzx.components.eval --config "$CONFIG" --checkpoint_path "$RUN/model" \
  --model_dir "$RUN/model" --eval_input_path "$DATA/test.parquet"

STAGE="4/5 export"
step "$STAGE: a bundle that predicts by itself"
run torchx run -s local_cwd tzx.components.export --config "$CONFIG" --checkpoint_path "$RUN/model" \
  --export_dir "$RUN/bundle"

STAGE="5/5 predict"
step "$STAGE: score the test part with the bundle"
run torchx run -s local_cwd tzx.components.predict --scripted_model_path "$RUN/bundle" \
  --predict_input_path "$DATA/test.parquet" --predict_output_path "$RUN/predictions" \
  --reserved_columns user_id,title,liked

STAGE="summary"
step "done in $((SECONDS - STARTED)) s"
python scripts/quickstart_summary.py "$RUN"
