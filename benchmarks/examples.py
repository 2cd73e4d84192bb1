"""What the example configs reach: trains each, evaluates it on its test part, and prints one line a config.

python benchmarks/examples.py                          all of them
python benchmarks/examples.py din_movielens --seeds 3  one of them, with three seeds
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import facts, show

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.config"))


def test_path(config: Path) -> str:
    """The test part that belongs to the eval_input_path of a config."""
    return re.search(r'eval_input_path: "(.*)"', config.read_text()).group(1).replace("valid.", "test.")


def app(name: str, config: Path, *flags: object) -> None:
    """Run an app to its end; its output is shown only when it fails."""
    command = [sys.executable, "-m", f"tzx.apps.{name}", "--config", str(config), *map(str, flags)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stderr}")


def measure(name: str, seed: int) -> tuple[float, dict[str, float]]:
    """Seconds the train command took, and the metrics on the test part."""
    config = ROOT / "examples" / f"{name}.config"
    with tempfile.TemporaryDirectory(prefix="tzx-examples-") as scratch:
        model = Path(scratch) / "model"
        began = time.perf_counter()
        app("train", config, "--model_dir", model, "--seed", seed)
        seconds = time.perf_counter() - began
        app("eval", config, "--model_dir", model, "--eval_input_path", test_path(config))
        metrics = json.loads((model / "eval_result.txt").read_text().splitlines()[-1])
    metrics.pop("global_step")
    return seconds, metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each config, with seeds 1, 2, ...")
    args = parser.parse_args()
    unknown = sorted(set(args.configs) - set(NAMES))
    if unknown:
        parser.error(f"no example named {', '.join(unknown)}; there are {', '.join(NAMES)}")
    show("machine", facts(0) | {"threads": "as the apps choose"})
    for name in args.configs or NAMES:
        for seed in range(1, args.seeds + 1):
            seconds, metrics = measure(name, seed)
            shown = "  ".join(f"{metric} {value:.4f}" for metric, value in sorted(metrics.items()) if "auc" in metric)
            print(f"{name:<22} seed {seed}  train command {seconds:6.1f} s  {shown}", flush=True)


if __name__ == "__main__":
    main()
