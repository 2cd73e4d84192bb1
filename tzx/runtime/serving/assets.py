"""Files a config refers to and a bundle must bring along: vocabularies, stop characters, tokenizers.

A copy is named after its content, so that two files of one name do not meet and a bundle says what it holds.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import fsspec
from google.protobuf.message import Message

from tzx.runtime.errors import UserError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.program import BundleError

ASSETS = "assets"
_FILE_FIELDS = ("vocab_file", "stop_char_file")


def copy_assets(config: EasyRecConfig, bundle: Path, extra: Sequence[str] = ()) -> EasyRecConfig:
    """Copy the files that features need, and `extra` ones under their own names, into `bundle`.

    Returns:
        The config with its file fields naming the copies, relative to the bundle.
    """
    result = EasyRecConfig()
    result.CopyFrom(config)
    for message, field in _file_fields(result.feature_configs):
        content = _read(_source(message, field))
        name = f"{hashlib.sha256(content).hexdigest()[:16]}-{PurePosixPath(getattr(message, field)).name}"
        _write(bundle / ASSETS / name, content)
        setattr(message, field, f"{ASSETS}/{name}")
        _forget_directory(message)
    for path in extra:
        _write(bundle / ASSETS / PurePosixPath(path).name, _read(path))
    return result


def bind_assets(config: EasyRecConfig, bundle: Path) -> None:
    """Turn the relative names that `copy_assets` left in a config into paths of this machine.

    Raises:
        BundleError: a file field names anything but an asset of the bundle.
    """
    for message, field in _file_fields(config.feature_configs):
        value = PurePosixPath(getattr(message, field))
        if value.parts[:1] != (ASSETS,) or len(value.parts) != 2 or ".." in value.parts:
            raise BundleError(
                f"{bundle}: pipeline.config: {field} {str(value)!r} is no file of {ASSETS}/ of this bundle"
            )
        setattr(message, field, str(bundle / value))
        _forget_directory(message)


def _file_fields(messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    for message in messages:
        for descriptor, value in message.ListFields():
            if descriptor.name in _FILE_FIELDS and value:
                yield message, descriptor.name
            elif descriptor.message_type is not None and not descriptor.message_type.GetOptions().map_entry:
                yield from _file_fields([value] if isinstance(value, Message) else list(value))


def _source(message: Message, field: str) -> str:
    directory = getattr(message, "asset_dir", "")
    return f"{directory.rstrip('/')}/{getattr(message, field)}" if directory else getattr(message, field)


def _forget_directory(message: Message) -> None:
    if "asset_dir" in message.DESCRIPTOR.fields_by_name:
        message.ClearField("asset_dir")


def _read(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(f"asset {path!r} does not exist") from None


def _write(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() != content:
        raise UserError(f"two different assets are named {path.name!r}; rename one of them")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
