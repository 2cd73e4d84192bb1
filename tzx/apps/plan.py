"""Show where tables would go, before anything runs: `python -m tzx.apps.plan x.config --world-size 16 --device gpu`."""

import json
import sys

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser(
        "Show the sharding plan of a config: the place of every table, memory of every rank and bytes moved per step. "
        "Needs one process and no GPU."
    )
    parser.add_argument("path", nargs="?", metavar="FILE", help="config file; the same as --config FILE")
    add_config_flags(parser, required=False)
    parser.add_argument("--world-size", "--world_size", type=int, default=1, metavar="N", help="number of processes")
    parser.add_argument(
        "--local-world-size",
        "--local_world_size",
        type=int,
        default=0,
        metavar="N",
        help="processes on one host; 0: all, but at most 8",
    )
    parser.add_argument(
        "--host-memory-gib",
        "--host_memory_gib",
        type=float,
        metavar="N",
        help="memory of one host, where the config has no sharding_planner.host_memory_gib (default: this machine's)",
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="what the processes train on")
    parser.add_argument("--json", action="store_true", help="print JSON; its `plan` is what plan_file takes")
    return parser


def main(argv: list[str]) -> int:
    """Print the plan, or raise a ConfigError that says which tables do not fit."""
    args = (parser := build_parser()).parse_args(argv)
    if bool(args.path) == bool(args.config):
        parser.error("name one config file, as in: python -m tzx.apps.plan my.config")
    local = args.local_world_size or min(args.world_size, 8)
    if args.world_size < 1 or local < 1 or args.world_size % local:
        parser.error(f"--world-size {args.world_size} must be a positive multiple of --local-world-size {local}")
    from tzx.runtime.config import load_config
    from tzx.runtime.training.plan_preview import preview

    config = load_config(args.path or args.config, args.sets, args.edit_config_json)
    planner = config.train_config.sharding_planner
    if args.host_memory_gib and not planner.HasField("host_memory_gib"):
        planner.host_memory_gib = args.host_memory_gib
    found = preview(config, args.world_size, local, "cuda" if args.device == "gpu" else "cpu")
    if args.json:
        json.dump(found.to_json(), sys.stdout, indent=1)
        print()
    else:
        found.print()
    return 0


if __name__ == "__main__":
    run(main)
