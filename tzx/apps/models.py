"""List the models there are: `python -m tzx.apps.models`, or one of them with a config: `tzx.apps.models DeepFM`."""

import json

from tzx.apps.command import Parser, add_debug_flag, run
from tzx.runtime.config.catalog import CATALOG, ModelFacts
from tzx.runtime.config.model_pages import as_json, describe, markdown_table
from tzx.runtime.config.problems import hint
from tzx.runtime.errors import UserError


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("List models with their feature groups, fields, defaults and papers, or show one with a config.")
    parser.add_argument("name", nargs="?", help="a model, as class or as field of model_config; default: all")
    parser.add_argument("--format", choices=["text", "json", "markdown"], default="text", help="markdown lists all")
    add_debug_flag(parser)
    return parser


def main(argv: list[str]) -> None:
    """Print what is asked for."""
    args = (parser := build_parser()).parse_args(argv)
    if args.format == "markdown":
        if args.name:
            parser.error("--format markdown is a table of all models; leave the name out")
        print(markdown_table(), end="")
        return
    chosen = [_find(args.name)] if args.name else list(CATALOG.values())
    if args.format == "json":
        print(json.dumps([as_json(facts) for facts in chosen], indent=2))
    else:
        print("\n\n".join(describe(facts, with_config=bool(args.name)) for facts in chosen))


def _find(name: str) -> ModelFacts:
    for facts in CATALOG.values():
        if name.lower() in (facts.name.lower(), facts.field.name):
            return facts
    raise UserError(f"no model {name!r}{hint(name, [*CATALOG])}")


if __name__ == "__main__":
    run(main)
