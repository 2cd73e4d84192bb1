"""What a quickstart run reached and where its files lie: `python scripts/quickstart_summary.py RUN_DIRECTORY`."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

ROWS_SHOWN = 5


def last_result(path: Path) -> dict[str, float]:
    """The newest line of a result file, which holds one JSON object a line."""
    return json.loads(path.read_text().splitlines()[-1])


def show_metrics(model: Path) -> None:
    """Print the metrics on the valid part after training and on the test part."""
    for part, name in (("valid", "train_eval_result_v2.txt"), ("test", "eval_result.txt")):
        result = last_result(model / name)
        step = result.pop("global_step")
        shown = "  ".join(f"{metric} {value:.4f}" for metric, value in sorted(result.items()))
        print(f"{part:<6} step {step}: {shown}")


def show_predictions(folder: Path) -> None:
    """Print the first rows of what predict wrote."""
    table = pq.read_table(sorted(folder.glob("*.parquet")))
    print(f"\n{table.num_rows:,} predictions, the first {ROWS_SHOWN}:")
    for row in table.slice(0, ROWS_SHOWN).to_pylist():
        verdict = "liked" if row["liked"] else "did not like"
        print(f"  {row['probs']:.3f}  user {row['user_id']} {verdict} {row['title']}")


def show_places(run: Path) -> None:
    """Print where everything lies and how to look at it."""
    checkpoint = max((run / "model").glob("model.ckpt-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    print(
        f"\nTensorBoard   tensorboard --logdir {run / 'model'}"
        f"\ncheckpoint    {checkpoint}"
        f"\nbundle        {run / 'bundle'}"
        f"\npredictions   {run / 'predictions'}"
    )


def main() -> None:
    """Print it all."""
    run = Path(sys.argv[1])
    show_metrics(run / "model")
    show_predictions(run / "predictions")
    show_places(run)


if __name__ == "__main__":
    main()
