"""Count what the features of a data set hold: `python -m tzx.apps.feature_statistics --config C --output_dir D`."""

import argparse
from typing import Any

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser(
        "Count what the features of a data set hold: coverage, distinct and top values, quantiles, unknown words."
    )
    add_config_flags(parser)
    parser.add_argument("--input_path", help="rows to read: paths, globs or URLs, by commas; default: train_input_path")
    parser.add_argument("--output_dir", required=True, help="folder or URL for statistics.json and statistics.html")
    parser.add_argument("--max_rows", type=int, default=0, help="count only the first rows; 0 means all")
    parser.add_argument("--batch_rows", type=int, default=16384, help="rows counted at a time")
    return parser


def main(argv: list[str]) -> int:
    """Parse, count this process's share of the rows; the first process writes the files."""
    args = (parser := build_parser()).parse_args(argv)
    if args.max_rows < 0 or args.batch_rows < 1:
        parser.error("--max_rows must be at least 0, --batch_rows at least 1")
    from tzx.runtime.data.report_files import make_place, write_report
    from tzx.runtime.training.process import Process

    make_place(args.output_dir)  # rather now than after an hour of counting
    process = Process.from_env()
    statistics = _count(args, process)
    if process.world_size > 1:
        statistics = _merge(process, statistics)
    if process.is_chief:
        places = write_report(statistics, args.output_dir)
        print(f"{statistics.rows:,} rows, {len(statistics.features)} features: {', '.join(places)}")
    return 0


def _count(args: argparse.Namespace, process: Any) -> Any:
    """Statistics of this process's share."""
    from tzx.runtime.config import load_config
    from tzx.runtime.data.survey import SurveyOptions, survey
    from tzx.runtime.features import FeatureSet

    config = load_config(args.config, args.sets, args.edit_config_json)
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    options = SurveyOptions(
        rank=process.rank,
        world_size=process.world_size,
        max_rows=args.max_rows,
        batch_rows=args.batch_rows,
        local_world_size=process.local_world_size,
    )
    return survey(config.data_config, features, args.input_path or config.train_input_path, options)


def _merge(process: Any, statistics: Any) -> Any:
    """Statistics of all processes, in the first one."""
    import torch.distributed as dist

    from tzx.runtime.features.statistics import DataStatistics

    process.join_group()
    parts = [None] * process.world_size if process.is_chief else None
    dist.gather_object(statistics.to_json(), parts)
    process.leave_group()
    if parts is None:
        return statistics
    first, *others = [DataStatistics.from_json(part) for part in parts]
    for other in others:
        first.merge(other)
    return first


if __name__ == "__main__":
    run(main)
