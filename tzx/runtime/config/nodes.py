"""Every message inside a config, with its path."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from tzx.runtime.config.own_messages import inside
from tzx.runtime.config.schema import fields_of, is_any
from tzx.runtime.config.sourcemap import Path


@dataclass(frozen=True)
class Node:
    """A message of the config and its path."""

    message: Any
    path: Path


def walk(message: Message, path: Path = ()) -> Iterator[Node]:
    """The message and all that are set inside it, outer ones first."""
    message = inside(message)
    yield Node(message, path)
    if is_any(message.DESCRIPTOR):
        return
    specs = fields_of(message.DESCRIPTOR)
    for field, value in message.ListFields():
        spec = specs[field.name]
        if spec.message is None or spec.is_map:
            continue
        if spec.is_repeated:
            for index, item in enumerate(value):
                yield from walk(item, (*path, field.name, index))
        else:
            yield from walk(value, (*path, field.name))
