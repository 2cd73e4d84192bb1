#!/usr/bin/env bash
# Makes .venv and installs tzx into it; called by `make install`. Variables: PYTHON, GPU (not empty: the CUDA builds).
# An environment that is already there is used as it is found.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
GPU=${GPU:-}
TORCH=2.13 # the CPU recipe in packaging/fbgemm-gpu-cpu is made for this one

stop() {
  printf 'make install: %s\n' "$@" >&2
  exit 2
}

if ! command -v "$PYTHON" >/dev/null; then
  stop "there is no $PYTHON here" "  on Debian or Ubuntu: sudo apt-get install python3 python3-venv"
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  stop "$("$PYTHON" --version) is too old: tzx needs Python 3.10 or later; choose one with PYTHON=python3.12"
fi

if [ ! -x .venv/bin/python ]; then
  if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    stop "$PYTHON cannot make environments: its venv module is missing" \
      "  on Debian or Ubuntu: sudo apt-get install python3-venv   (or python$version-venv)"
  fi
  echo "making .venv with $("$PYTHON" --version)"
  "$PYTHON" -m venv .venv
  # The one that comes with Python can be years old, and old ones take half a minute longer to find versions that fit.
  .venv/bin/python -m pip install --disable-pip-version-check -q --upgrade pip
fi

torch=$(.venv/bin/python -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || true)
if [ -z "$GPU" ] && [ -n "$torch" ] && [ "${torch%.*}" != "$TORCH" ]; then
  stop "the environment .venv has torch $torch, the CPU recipe is for torch $TORCH and would replace it" \
    "  remove .venv to start afresh, or install by hand as docs/install.md shows for other versions"
fi

if [ -n "$GPU" ]; then
  .venv/bin/python -m pip install --disable-pip-version-check -q -e '.[gpu,dev]'
else
  # One command, so that the resolver sees all of it: the first path satisfies torchrec's need for fbgemm-gpu with
  # its CPU build.
  .venv/bin/python -m pip install --disable-pip-version-check -q ./packaging/fbgemm-gpu-cpu -e '.[dev]'
fi
.venv/bin/python -m pip check
.venv/bin/python - <<'PY'
import torch, torchrec, tzx

device = f"{torch.cuda.device_count()} GPU(s)" if torch.cuda.is_available() else "CPU"
print(f"tzx {tzx.__version__} is ready: torch {torch.__version__}, torchrec {torchrec.__version__}, on {device}")
PY
