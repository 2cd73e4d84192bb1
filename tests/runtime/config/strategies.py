"""Random messages of the schema, and random spellings of a message in text format."""

import math
from collections.abc import Callable

from google.protobuf.message import Message
from hypothesis import strategies as st

from tzx.runtime.config.schema import FieldSpec, fields_of
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

_INTS = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["\x03", 'a"b', "it's", "\\d+"])


def _scalars(spec: FieldSpec) -> st.SearchStrategy:
    if spec.type in _INTS:
        return _INTS[spec.type] | st.integers(0, 10)
    if spec.type == "string":
        return _TEXT
    if spec.type == "bool":
        return st.booleans()
    if spec.enum is not None:
        return st.sampled_from(sorted(spec.enum.values_by_number))
    return st.floats(width=32 if spec.type == "float" else 64)


def _fill(draw: Callable, message: Message, depth: int) -> None:
    specs = [spec for spec in fields_of(message.DESCRIPTOR).values() if depth > 0 or spec.message is None]
    chosen = draw(st.lists(st.sampled_from(specs), max_size=4, unique_by=lambda spec: spec.name)) if specs else []
    for spec in chosen:
        if spec.oneof and message.WhichOneof(spec.oneof) not in (None, spec.name):
            continue
        count = draw(st.integers(1, 3)) if spec.is_repeated else 1
        for _ in range(count):
            _set(draw, message, spec, depth)


def _set(draw: Callable, message: Message, spec: FieldSpec, depth: int) -> None:
    field = getattr(message, spec.name)
    if spec.is_map:
        value = fields_of(spec.message)["value"]
        key = draw(_TEXT)
        if value.message is None:
            field[key] = draw(_scalars(value))
        else:
            _fill(draw, field[key], depth - 1)
    elif spec.message is not None:
        child = field.add() if spec.is_repeated else field
        child.SetInParent()
        _fill(draw, child, depth - 1)
    elif spec.is_repeated:
        field.append(draw(_scalars(spec)))
    else:
        setattr(message, spec.name, draw(_scalars(spec)))


@st.composite
def messages(draw: Callable, depth: int = 4) -> Message:
    """A random EasyRecConfig."""
    message = EasyRecConfig()
    _fill(draw, message, depth)
    return message


@st.composite
def spelled(draw: Callable, source: st.SearchStrategy = messages()) -> tuple[Message, str]:  # noqa: B008
    """A message and one of the many texts that stand for it."""
    message = draw(source)
    return message, _Speller(draw).block(message)


class _Speller:
    def __init__(self, draw: Callable) -> None:
        self.draw = draw

    def one(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def gap(self) -> str:
        return self.one(" ", "\n", "\t", "  # note { \n", " \r\n")

    def block(self, message: Message) -> str:
        parts = []
        specs = fields_of(message.DESCRIPTOR)
        for field, value in message.ListFields():
            spec = specs[field.name]
            if spec.is_map:
                parts += [self.field(spec, self.entry(spec, key, value[key])) for key in value]
            elif spec.is_repeated:
                parts.append(self.repeated(spec, list(value)))
            else:
                parts.append(self.field(spec, self.value(spec, value)))
        return self.gap().join(parts) + self.gap()

    def field(self, spec: FieldSpec, text: str) -> str:
        colon = self.one(":", "") if spec.message is not None else ":"
        return f"{spec.name}{self.one('', ' ')}{colon}{self.gap()}{text}{self.one('', ',', ';', ' ;')}"

    def repeated(self, spec: FieldSpec, values: list) -> str:
        texts = [self.value(spec, value) for value in values]
        if self.draw(st.booleans()):
            return self.field(spec, "[" + self.gap() + ",".join(f"{text}{self.gap()}" for text in texts) + "]")
        return self.gap().join(self.field(spec, text) for text in texts)

    def entry(self, spec: FieldSpec, key: str, value: object) -> str:
        inner = fields_of(spec.message)
        return "{ " + f"value: {self.value(inner['value'], value)} key: {self.value(inner['key'], key)}" + " }"

    def value(self, spec: FieldSpec, value) -> str:
        if spec.message is not None:
            opening, closing = self.one("{}", "<>")
            return f"{opening}{self.gap()}{self.block(value)}{closing}"
        if spec.type == "string":
            return self.string(value)
        if spec.type == "bool":
            return self.one("true", "True", "t", "1") if value else self.one("false", "False", "f", "0")
        if spec.enum is not None:
            return self.one(spec.enum.values_by_number[value].name, str(value))
        return self.float(value) if spec.type in ("float", "double") else self.integer(value)

    def integer(self, value: int) -> str:
        sign, size = ("-", -value) if value < 0 else ("", value)
        return self.one(str(value), f"{sign}{size:#x}", f"{sign}0{size:o}")

    def float(self, value: float) -> str:
        if math.isnan(value):
            return self.one("nan", "NaN", "nanf")
        if math.isinf(value):
            return self.one("inf", "Infinity", "inff") if value > 0 else self.one("-inf", "-infinity")
        return self.one(repr(value), f"{value!r}f", f"{value!r}F")

    def string(self, value: str) -> str:
        cut = self.draw(st.integers(0, len(value)))
        if self.draw(st.booleans()):
            return self.quoted(value[:cut]) + self.gap() + self.quoted(value[cut:])
        return self.quoted(value)

    def quoted(self, value: str) -> str:
        quote = self.one('"', "'")
        return quote + "".join(self.character(char, quote) for char in value) + quote

    def character(self, char: str, quote: str) -> str:
        data = char.encode("utf-8")
        octal = "".join(f"\\{byte:03o}" for byte in data)
        hexa = "".join(f"\\x{byte:02x}" for byte in data)
        if char in f"{quote}\\\n":
            return self.one({"\n": "\\n"}.get(char, "\\" + char), octal)
        spellings = [char, octal, hexa]
        if len(data) > 1 and ord(char) < 0x10000:
            spellings.append(f"\\u{ord(char):04x}")
        return self.one(*spellings)
