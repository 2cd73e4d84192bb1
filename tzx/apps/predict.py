"""Score a data set: `python -m tzx.apps.predict --bundle B --predict_input_path IN --predict_output_path OUT`."""

import argparse
from typing import Any

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Score rows with a bundle, or with a config and a checkpoint.")
    add_config_flags(parser, required=False)
    parser.add_argument("--bundle", "--scripted_model_path", metavar="DIR", help="bundle written by tzx.apps.export")
    parser.add_argument("--checkpoint_path", help="with --config: a checkpoint or a model directory")
    parser.add_argument("--model_dir", help="replaces model_dir of the config")
    parser.add_argument("--predict_input_path", required=True, help="rows to score: paths, globs or URLs, by commas")
    parser.add_argument("--predict_output_path", required=True, help="directory for part-<rank> files")
    parser.add_argument("--reserved_columns", default="", help="input columns to copy, by commas; or ALL_COLUMNS")
    parser.add_argument("--output_columns", default="", help="predictions to write, by commas; default: all")
    parser.add_argument("--batch_size", type=int, help="rows scored at a time; default: the config's for evaluation")
    parser.add_argument("--predict_steps", type=int, help="stop after this many batches in each process")
    parser.add_argument("--predict_threads", type=int, help="batches at a time; default: one for each core, at most 8")
    parser.add_argument("--dataset_type", help="replaces data_config.dataset_type, e.g. CsvDataset")
    parser.add_argument("--writer_type", default="", help="ParquetWriter or CsvWriter; default: as the input")
    parser.add_argument("--debug_level", type=int, default=0, help="1: add a column __features__, what the model saw")
    parser.add_argument("--is_profiling", action="store_true", help="profile a few batches into <output>_trace")
    return parser


def main(argv: list[str]) -> int:
    """Parse, score this process's share of the rows, and say what was written."""
    args = (parser := build_parser()).parse_args(argv)
    if (args.bundle is None) == (args.config is None):
        parser.error("give either --bundle, or --config (with --checkpoint_path), to say what to predict with")
    from tzx.apps.inputs import split_list
    from tzx.runtime.serving.scoring import ScoringOptions, score
    from tzx.runtime.training.process import Process

    process = Process.from_env()
    options = ScoringOptions(
        input_path=args.predict_input_path,
        output_path=args.predict_output_path,
        reserved_columns=split_list(args.reserved_columns),
        output_columns=split_list(args.output_columns),
        batch_size=args.batch_size,
        max_batches=args.predict_steps,
        writer_type=args.writer_type,
        threads=args.predict_threads,
        with_features=args.debug_level > 0,
        trace_dir=f"{args.predict_output_path.rstrip('/')}_trace" if args.is_profiling else "",
        rank=process.rank,
        world_size=process.world_size,
        local_world_size=process.local_world_size,
    )
    summary = score(_scorer(args, process.device), options)
    rate = summary.rows / max(summary.seconds, 1e-9)
    where = summary.file or "no file, as this process had no rows"
    print(f"{summary.rows:,} rows in {summary.seconds:.1f} s ({rate:,.0f} rows/s): {where}")
    return 0


def _scorer(args: argparse.Namespace, device: Any) -> Any:
    """The bundle, or the model of a checkpoint, that the command line names."""
    from tzx.apps.inputs import load_with_paths

    if args.dataset_type:
        args.sets.append(f"data_config.dataset_type={args.dataset_type}")
    if args.bundle:
        from tzx.runtime.serving.predictor import Predictor, edited_config

        return Predictor(args.bundle, device, edited_config(args.bundle, args.sets, args.edit_config_json))
    config = load_with_paths(args, ("model_dir",))
    from tzx.runtime.serving.trained import choose_checkpoint, load_trained

    return load_trained(config, choose_checkpoint(config, args.checkpoint_path), device)


if __name__ == "__main__":
    run(main)
