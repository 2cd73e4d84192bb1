"""Check a config without running it: every problem at once, or a summary of what it describes."""

import sys

from tzx.apps.command import Parser, add_config_flags, run
from tzx.runtime.config.loading import read_config
from tzx.runtime.config.problems import render_all
from tzx.runtime.config.summary import summarize
from tzx.runtime.errors import ConfigError


def main(argv: list[str]) -> int:
    """Print what is wrong with the config and return 2, or a summary and 0."""
    parser = Parser(__doc__ or "")
    parser.add_argument("path", nargs="?", metavar="FILE", help="config file; the same as --config FILE")
    add_config_flags(parser, required=False)
    parser.add_argument("--strict", action="store_true", help="count warnings as errors")
    args = parser.parse_args(argv)
    if bool(args.path) == bool(args.config):
        parser.error("name one config file, as in: python -m tzx.apps.validate my.config")
    try:
        draft = read_config(args.path or args.config, args.sets, args.edit_config_json)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    for problems in (draft.warnings, draft.report.errors):
        if problems:
            print(render_all(problems, draft.name), file=sys.stderr)
    if draft.report.errors or (args.strict and draft.warnings):
        return 2
    print(f"{draft.name}: ok\n{summarize(draft.config)}")
    return 0


if __name__ == "__main__":
    run(main)
