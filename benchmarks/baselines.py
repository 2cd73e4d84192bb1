"""Prints what constant, popularity and rate baselines reach on the splits of the example configs.

python benchmarks/baselines.py            (after python -m tzx.apps.prepare_data movielens)
"""

import argparse
from pathlib import Path

import pyarrow.parquet as pq

from tzx.datasets.baselines import baselines

CASES = (
    ("deepfm_movielens, mmoe_movielens", "random", "liked"),
    ("mmoe_movielens", "random", "loved"),
    ("din_movielens", "time", "liked"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/movielens"), help="what prepare_data wrote")
    args = parser.parse_args()
    for configs, split, label in CASES:
        train, test = (
            pq.read_table(args.data / split / f"{part}.parquet", columns=["user_id", "item_id", label])
            for part in ("train", "test")
        )
        print(f"{configs}: {split} split, label {label}, test rows {test.num_rows}")
        for baseline in baselines(train, test, label, "item_id", "user_id"):
            print(f"  {baseline.auc:.4f}  {baseline.name}")


if __name__ == "__main__":
    main()
