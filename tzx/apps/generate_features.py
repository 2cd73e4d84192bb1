"""Make features ahead of training: `python -m tzx.apps.generate_features --config x.config --output_path DIR`."""

import argparse

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Make features of data sets once, as columns named like them, with a config to train on these.")
    add_config_flags(parser)
    parser.add_argument("--output_path", required=True, help="folder or URL for train/, eval/ and pipeline.config")
    parser.add_argument(
        "--form", default="none", choices=("none", "bucketize"), help="final ids, or values before them"
    )
    parser.add_argument("--train_input_path", help="replaces train_input_path of the config; '' for none")
    parser.add_argument("--eval_input_path", help="replaces eval_input_path of the config; '' for none")
    parser.add_argument("--reserved_columns", default="", help="more input columns to keep, by commas; or ALL_COLUMNS")
    parser.add_argument("--no_labels", action="store_true", help="the data has no labels or sample weights")
    parser.add_argument("--writer_type", default="parquet", choices=("parquet", "csv"), help="format of the output")
    parser.add_argument("--threads", type=int, help="threads that make features; default: the cores of this process")
    return parser


def main(argv: list[str]) -> int:
    """Parse, make features of this process's share of the rows, and say what was written."""
    args = (parser := build_parser()).parse_args(argv)
    if args.threads is not None and args.threads < 1:
        parser.error("--threads must be at least 1")
    return _generate(args)


def _generate(args: argparse.Namespace) -> int:
    from tzx.apps.inputs import load_with_paths, split_list
    from tzx.runtime.data.cores import cores_for_me
    from tzx.runtime.data.generating import GeneratingOptions, generate_files
    from tzx.runtime.errors import UserError
    from tzx.runtime.features.tolerance import told
    from tzx.runtime.training.process import Process

    config = load_with_paths(args, ("train_input_path", "eval_input_path"))
    inputs = {"train": config.train_input_path, "eval": config.eval_input_path}
    inputs = {name: paths for name, paths in inputs.items() if paths}
    if not inputs:
        raise UserError("there is nothing to read: set train_input_path or eval_input_path, or pass it as a flag")
    process = Process.from_env()
    options = GeneratingOptions(
        output_path=args.output_path,
        form=args.form,
        kind=args.writer_type,
        reserved_columns=split_list(args.reserved_columns),
        labels=not args.no_labels,
        threads=args.threads or cores_for_me(process.local_world_size),
        rank=process.rank,
        world_size=process.world_size,
    )
    summary = generate_files(config, inputs, options)
    rate = summary.rows / max(summary.seconds, 1e-9)
    files = ", ".join(summary.files) or "no file, as this process had no rows"
    print(f"{summary.rows:,} rows in {summary.seconds:.1f} s ({rate:,.0f} rows/s): {files}")
    if summary.bad_values:
        print(f"taken as missing: {told(summary.bad_values)}")
    print(f"train on it: python -m tzx.apps.train --config {summary.config}")
    return 0


if __name__ == "__main__":
    run(main)
