"""Write seeded rows in the layout of a public data set, with a signal that the example models can learn.

python -m tzx.apps.generate_data criteo --out data/criteo --rows 1000000
"""

from pathlib import Path

from tzx.apps.command import Parser, add_debug_flag, run
from tzx.datasets.generate import LAYOUTS, Request, generate, summary
from tzx.datasets.writing import FORMATS

_LAYOUTS = "criteo_hashed holds finished ids, for FG_NONE; taobao_long histories of up to 100 clicks instead of 50"


def main(argv: list[str]) -> int | None:
    """Parse flags, write, say what lies where and how good a model can get."""
    parser = Parser("Write seeded rows in the layout of a public data set, with a signal that models can learn.")
    parser.add_argument("layout", choices=sorted(LAYOUTS), help=_LAYOUTS)
    parser.add_argument("--out", type=Path, help="folder to write to; data/LAYOUT when not given")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to train on")
    parser.add_argument("--test_rows", type=int, default=100_000, help="rows to test on")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same rows")
    parser.add_argument("--files", type=int, default=1, help="files of each part; the rows do not depend on it")
    parser.add_argument("--format", choices=FORMATS, default="parquet", help="file format")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    out = args.out or Path("data") / args.layout
    request = Request(args.layout, out, args.rows, args.test_rows, args.seed, args.files, (args.format,))
    print(summary(generate(request)))
    return None


if __name__ == "__main__":
    run(main)
