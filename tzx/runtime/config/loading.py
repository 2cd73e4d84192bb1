"""From a config path and overrides to a checked EasyRecConfig."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format

from tzx.runtime.config.binder import Binder
from tzx.runtime.config.checks import check
from tzx.runtime.config.jsonformat import read_json
from tzx.runtime.config.overrides import Edits
from tzx.runtime.config.problems import Problem, Report, nearest
from tzx.runtime.config.required import check_required, fill_in
from tzx.runtime.config.source import Source
from tzx.runtime.config.sourcemap import Path as MessagePath
from tzx.runtime.config.sourcemap import SourceMap
from tzx.runtime.config.textformat import read_text
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

_log = logging.getLogger("tzx")


@dataclass
class Draft:
    """A config while it is being read: the message, where its fields stand, what is wrong with it."""

    name: str
    config: EasyRecConfig
    places: SourceMap
    report: Report
    damaged: set[MessagePath]

    @property
    def warnings(self) -> list[Problem]:
        """What works but is probably not meant."""
        return self.report.warnings


def load_config(
    path: str, sets: Sequence[str] = (), edit_json: str | None = None, needs_own_types: bool = True
) -> EasyRecConfig:
    """Read, override and check a config; warnings go to the "tzx" logger.

    Args:
        path: text format, or JSON when it ends in ".json".
        sets: overrides such as "train_config.num_steps=10", applied in order after `edit_json`.
        edit_json: JSON object from path to value, as TorchEasyRec's --edit_config_json.
        needs_own_types: False passes over a custom_model whose message type is not registered here.

    Raises:
        ConfigError: lists every problem found.
    """
    draft = read_config(path, sets, edit_json, needs_own_types)
    for warning in draft.warnings:
        _log.warning("%s", warning.render())
    draft.report.raise_errors(draft.name)
    return draft.config


def read_config(
    path: str, sets: Sequence[str] = (), edit_json: str | None = None, needs_own_types: bool = True
) -> Draft:
    """Like `load_config`, but problems stay in the draft's report.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    return draft_config(_read_file(path), path, sets, edit_json, needs_own_types)


def draft_config(
    text: str, name: str, sets: Sequence[str] = (), edit_json: str | None = None, needs_own_types: bool = True
) -> Draft:
    """Like `read_config` for a text at hand.

    Args:
        text: the config.
        name: stands for the file in messages; JSON when it ends in ".json".
        sets: as in `load_config`.
        edit_json: as in `load_config`.
        needs_own_types: as in `load_config`.
    """
    draft = _parse(Source(name, text), name.endswith(".json"), needs_own_types)
    edits = Edits(draft.config, draft.places, draft.report, needs_own_types)
    if edit_json:
        edits.apply_json(edit_json)
    for override in sets:
        edits.apply_set(override)
    draft.damaged |= edits.damaged
    fill_in(draft.config)
    check_required(draft.config, draft.places, draft.report, draft.damaged)
    check(draft.config, draft.places, draft.report, draft.damaged)
    return draft


def parse_text(text: str, filename: str = "<config>", needs_own_types: bool = True) -> EasyRecConfig:
    """Parse text format strictly, without checks between fields; arguments as `load_config`.

    Raises:
        ConfigError: lists every problem found.
    """
    draft = _parse(Source(filename, text), False, needs_own_types)
    fill_in(draft.config)
    check_required(draft.config, draft.places, draft.report, draft.damaged)
    draft.report.raise_errors(filename)
    return draft.config


def dump_config(config: EasyRecConfig) -> str:
    """The config as text format, which `parse_text` reads back to an equal message."""
    return text_format.MessageToString(config, as_utf8=True)


def _parse(source: Source, is_json: bool, needs_own_types: bool = True) -> Draft:
    config = EasyRecConfig()
    draft = Draft(source.label, config, SourceMap(), Report(), set())
    if is_json:
        tree = read_json(source, config.DESCRIPTOR, draft.report)
    else:
        tree = read_text(source, draft.report)
    binder = Binder(source, draft.places, draft.report, needs_own_types)
    binder.bind_block(tree, config, ())
    draft.damaged = binder.damaged
    return draft


def _read_file(path: str) -> str:
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the config as UTF-8 text") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; name the config file in it") from None
    except FileNotFoundError:
        raise ConfigError(_missing_file(path)) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _read_bytes(path: str) -> bytes:
    if "://" not in path:
        return Path(path).read_bytes()
    import fsspec

    with fsspec.open(path, "rb") as file:
        return file.read()


def _missing_file(path: str) -> str:
    folder = Path(path).parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    if not folder.is_dir():
        return f"{path}: no such file; the folder {folder} does not exist either"
    close = nearest(Path(path).name, names)
    return f"{path}: no such file" + (f"; did you mean {folder / close}?" if close else "")
