"""Messages of the user's own: what a google.protobuf.Any of a config may hold, written `[package.Message] { ... }`.

Only registered types are read, never whatever protobuf happens to know. Everywhere else in this folder the Any is
looked through: what is inside stands at the Any's path.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from tzx.runtime.config.problems import hint, listing, quoted
from tzx.runtime.config.schema import PACKAGE, TYPES, is_any
from tzx.runtime.errors import ConfigError

_REGISTERED: dict[str, type[Message]] = {}


def register_message(message: type[Message]) -> str:
    """Let configs hold a message type; returns its full name.

    Raises:
        ConfigError: it is no message type, one of tzx's own, or has fields that a config cannot hold.
    """
    if not (isinstance(message, type) and issubclass(message, Message)):
        raise ConfigError(f"{message!r} is neither a name nor a message class that protoc made of a .proto file")
    descriptor = message.DESCRIPTOR
    if descriptor.file.package == PACKAGE:
        raise ConfigError(f"{descriptor.full_name} comes with tzx; give its name, {descriptor.name!r}, instead")
    if unfit := list(_unfit_fields(descriptor, {descriptor.full_name})):
        raise ConfigError(f"{descriptor.full_name} cannot stand in a config: {listing(unfit)}")
    _REGISTERED[descriptor.full_name] = message
    return str(descriptor.full_name)


def _unfit_fields(descriptor: Descriptor, seen: set[str]) -> Iterator[str]:
    for field in descriptor.fields:
        inner = field.message_type
        if field.type not in TYPES:
            yield f"{descriptor.name}.{field.name} is of type bytes or a group"
        elif field.name == "task_towers" and (inner is None or inner.file.package != PACKAGE or not field.is_repeated):
            yield f"{descriptor.name}.task_towers must be repeated {PACKAGE}.TaskTower"
        elif inner is not None and not is_any(inner) and inner.full_name not in seen:
            seen.add(inner.full_name)
            yield from _unfit_fields(inner, seen)


def registered_messages() -> dict[str, type[Message]]:
    """Message classes by full name, in the order of the names."""
    return dict(sorted(_REGISTERED.items()))


def descriptor_of(name: str) -> Descriptor | None:
    """The registered message type that brackets name, with or without a host before a slash."""
    found = _REGISTERED.get(name.rpartition("/")[2])
    return None if found is None else found.DESCRIPTOR


def unknown_type(name: str) -> str:
    """What to say about a type that is not registered."""
    known = list(_REGISTERED)
    remedy = "pass the file that calls register_model(MESSAGE, CLASS) for it as --user_module FILE"
    given = f"no message type {quoted(name.rpartition('/')[2])} is registered"
    return f"{given}{hint(name, known)}; {remedy}" if known else f"{given}, nor any other; {remedy}"


def inside(message: Any) -> Any:
    """A copy of the message that an Any holds; any other message itself, an Any of an unregistered type as well."""
    if not is_any(message.DESCRIPTOR):
        return message
    name = message.type_url.rpartition("/")[2]
    if name not in _REGISTERED:
        return message
    held = _REGISTERED[name]()
    held.MergeFromString(message.value)
    return held


def put(holder: Any, message: Message) -> None:
    """Let an Any hold a message, complete or not."""
    holder.type_url = f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
    holder.value = message.SerializePartialToString(deterministic=True)
