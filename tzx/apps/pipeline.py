"""Runs several apps one after the other: what the component `pipeline` starts on every node."""

from pathlib import Path

from tzx.apps.command import Parser, run
from tzx.launch.stages import parse_stage, run_stages


def main(argv: list[str]) -> int:
    """Ends with the exit code of the first stage that fails."""
    parser = Parser(__doc__ or "")
    stages = "NAME=ARGUMENTS of python; NAME@0=... on the first node only; may be repeated"
    parser.add_argument("--stage", action="append", required=True, help=stages)
    parser.add_argument("--record", type=Path, required=True, help="file that remembers which stages are done")
    args = parser.parse_args(argv)
    return run_stages([parse_stage(text) for text in args.stage], args.record)


if __name__ == "__main__":
    run(main)
