"""From a config path and overrides to a checked EasyRecConfig."""

from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig


def load_config(path: str, sets: Sequence[str] = (), edit_json: str | None = None) -> EasyRecConfig:
    """Read, override and check a config.

    Args:
        path: text format, or JSON when it ends in ".json".
        sets: overrides such as "train_config.num_steps=10".
        edit_json: JSON object from path to value, as TorchEasyRec's --edit_config_json.

    Raises:
        ConfigError: lists every problem found.
    """
    text = "\n".join([Path(path).read_text(encoding="utf-8"), *map(_as_text, sets)])
    return parse_text(text, path)


def _as_text(override: str) -> str:
    path, _, value = override.partition("=")
    names = path.split(".")
    return " { ".join(names) + ": " + value + " }" * (len(names) - 1)


def parse_text(text: str, filename: str = "<config>") -> EasyRecConfig:
    """Parse text format strictly, without checks between fields.

    Raises:
        ConfigError: lists every problem found.
    """
    config = EasyRecConfig()
    try:
        text_format.Merge(text, config)
    except text_format.ParseError as error:
        raise ConfigError(f"{filename}:{error}") from error
    return config


def dump_config(config: EasyRecConfig) -> str:
    """The config as text format, which `parse_text` reads back to an equal message."""
    return text_format.MessageToString(config, as_utf8=True)
