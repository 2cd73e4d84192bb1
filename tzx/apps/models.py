"""List the models there are: `python -m tzx.apps.models`, or one of them with a config: `tzx.apps.models DeepFM`."""

import json

from google.protobuf.descriptor import Descriptor

from tzx.apps.command import Parser, add_debug_flag, add_user_module_flag, run
from tzx.runtime.config.catalog import CATALOG, ModelFacts
from tzx.runtime.config.model_pages import as_json, describe, describe_own, markdown_table, own_as_json
from tzx.runtime.config.own_messages import registered_messages
from tzx.runtime.config.problems import hint
from tzx.runtime.errors import UserError


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("List models with their feature groups, fields, defaults and papers, or show one with a config.")
    parser.add_argument("name", nargs="?", help="a model, as class or as field of model_config; default: all")
    parser.add_argument("--format", choices=["text", "json", "markdown"], default="text", help="markdown lists all")
    add_user_module_flag(parser)
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
    own = [message.DESCRIPTOR for message in registered_messages().values()]
    chosen = [_find(args.name, own)] if args.name else [*CATALOG.values(), *own]
    if args.format == "json":
        found = [as_json(model) if isinstance(model, ModelFacts) else own_as_json(model) for model in chosen]
        print(json.dumps(found, indent=2))
    else:
        print("\n\n".join(_page(model, with_config=bool(args.name)) for model in chosen))


def _page(model: ModelFacts | Descriptor, with_config: bool) -> str:
    return describe(model, with_config) if isinstance(model, ModelFacts) else describe_own(model)


def _find(name: str, own: list[Descriptor]) -> ModelFacts | Descriptor:
    for facts in CATALOG.values():
        if name.lower() in (facts.name.lower(), facts.field.name):
            return facts
    for descriptor in own:
        if name in (descriptor.name, descriptor.full_name):
            return descriptor
    raise UserError(f"no model {name!r}{hint(name, [*CATALOG, *(d.full_name for d in own)])}")


if __name__ == "__main__":
    run(main)
