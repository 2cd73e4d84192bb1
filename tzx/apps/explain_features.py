"""Show what every feature makes of a few rows: `python -m tzx.apps.explain_features x.config --rows 2`."""

import argparse
import difflib
import json
import sys

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Show raw input, value before bucketizing, and id or number of every feature for a few rows.")
    parser.add_argument("path", nargs="?", metavar="FILE", help="config file; the same as --config FILE")
    add_config_flags(parser, required=False)
    parser.add_argument("--rows", type=int, default=1, help="rows to show")
    parser.add_argument("--skip", type=int, default=0, help="rows to leave out at the start of the data")
    parser.add_argument("--input_path", help="rows to read: paths, globs or URLs, by commas; default: train_input_path")
    parser.add_argument("--features", default="", help="features to show, by commas; default: all")
    parser.add_argument("--elements", type=int, default=5, help="elements of a sequence, or values of a row, to show")
    parser.add_argument("--json", action="store_true", help="print a JSON object per row")
    return parser


def main(argv: list[str]) -> int:
    """Parse, read the rows and print them; 65 when a value of a shown feature cannot be used."""
    args = (parser := build_parser()).parse_args(argv)
    if bool(args.path) == bool(args.config):
        parser.error("name one config file, as in: python -m tzx.apps.explain_features my.config --rows 2")
    if args.rows < 1 or args.skip < 0 or args.elements < 1:
        parser.error("--rows and --elements must be at least 1, --skip at least 0")
    return _explain(args)


def _explain(args: argparse.Namespace) -> int:
    import numpy as np

    from tzx.apps.inputs import split_list
    from tzx.runtime.config import load_config
    from tzx.runtime.data.readers import open_reader
    from tzx.runtime.errors import UserError
    from tzx.runtime.features import FeatureSet
    from tzx.runtime.features.explaining import explain_row

    config = load_config(args.path or args.config, args.sets, args.edit_config_json)
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    wanted = split_list(args.features)
    for name in wanted:
        if name not in features.names:
            near = difflib.get_close_matches(name, features.names, 1)
            raise UserError(f"no feature {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    reader = open_reader(config.data_config, args.input_path or config.train_input_path, features.input_columns)
    if args.skip >= reader.num_rows:
        raise UserError(f"--skip {args.skip} leaves no rows: there are {reader.num_rows}")
    stop = min(args.skip + args.rows, reader.num_rows)
    failed = False
    for number, row in enumerate(reader.read(np.array([[args.skip, stop]]), 1), args.skip):
        explanations = list(explain_row(features, row, wanted))
        failed |= any(explanation.error for explanation in explanations)
        if args.json:
            made = [explanation.to_json() for explanation in explanations]
            print(json.dumps({"row": number, "place": reader.place(number), "features": made}))
        else:
            from rich.console import Console

            from tzx.runtime.features.explained_table import print_row

            width = None if sys.stdout.isatty() else 132
            title = f"{reader.place(number)} (row {number:,} of {reader.num_rows:,})"
            print_row(Console(width=width, highlight=False), title, explanations, args.elements)
    return 65 if failed else 0


if __name__ == "__main__":
    run(main)
