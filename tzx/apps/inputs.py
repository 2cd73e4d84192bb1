"""The config that a command line names, with the paths that flags replace."""

import argparse
from collections.abc import Iterable

from tzx.runtime.config import load_config
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig


def load_with_paths(args: argparse.Namespace, fields: Iterable[str]) -> EasyRecConfig:
    """Load and check the config after applying --set, --edit_config_json and the path flags in `fields`."""
    sets = list(args.sets)
    sets += [f"{name}={getattr(args, name)}" for name in fields if getattr(args, name) is not None]
    return load_config(args.config, sets, args.edit_config_json)


def split_list(text: str) -> tuple[str, ...]:
    """The entries of a comma-separated flag."""
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())
