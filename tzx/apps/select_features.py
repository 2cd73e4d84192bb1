"""Rank features by their learned dropout: `python -m tzx.apps.select_features --config C --output_dir D`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Rank the features of a model trained with variational_dropout, and write a config with the best.")
    add_config_flags(parser)
    parser.add_argument("--model_dir", help="trained model, or one checkpoint; default: model_dir of the config")
    parser.add_argument("--output_dir", required=True, help="folder for the rates and the reduced pipeline.config")
    parser.add_argument("--topk", type=int, default=100, help="features to keep in each feature group")
    parser.add_argument("--visualize", action="store_true", help="also draw the rates of each group, as SVG")
    parser.add_argument(
        "--clear_variational_dropout", action="store_true", help="leave variational_dropout out of the reduced config"
    )
    return parser


def main(argv: list[str]) -> int:
    """Parse, rank, print and write."""
    args = (parser := build_parser()).parse_args(argv)
    if args.topk < 1:
        parser.error("--topk must be at least 1")
    from tzx.runtime.config import load_config

    config = load_config(args.config, args.sets, args.edit_config_json)
    from tzx.runtime.training.selection import rank_features, write_selection

    ranked = rank_features(config, args.model_dir or config.model_dir, args.topk)
    _show(ranked)
    keep = not args.clear_variational_dropout
    for path in write_selection(config, ranked, Path(args.output_dir), keep, args.visualize):
        print(f"wrote {path}")
    return 0


def _show(ranked: Mapping[str, Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    for group, features in ranked.items():
        table = Table("", "feature", "dropout rate", "", "", title=f"group {group}", title_justify="left")
        for place, feature in enumerate(features, 1):
            bar = "#" * round(20 * feature.rate)
            table.add_row(
                str(place), feature.feature, f"{feature.rate:.3f}", bar, "kept" if feature.kept else "dropped"
            )
        Console().print(table)


if __name__ == "__main__":
    run(main)
