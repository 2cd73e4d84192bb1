"""Read JSON configs into the same trees as text format.

JSON writes maps as objects, names in camelCase if it likes, 64-bit numbers as strings and google.protobuf.Struct as
plain objects. `shape` turns all of that, guided by the schema, into what text format would have said.
"""

import contextlib
import json
import re

from google.protobuf.descriptor import Descriptor

from tzx.runtime.config.lexer import Token
from tzx.runtime.config.own_messages import descriptor_of
from tzx.runtime.config.problems import Report, quoted
from tzx.runtime.config.schema import FieldSpec, fields_of, is_any
from tzx.runtime.config.source import Place, Source
from tzx.runtime.config.syntax import Block, Entry, Items, Node, Scalar

# An object in a google.protobuf.Struct is three messages deep, and protobuf stops at a hundred.
_MAX_DEPTH = 24
_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")
    | (?P<number>-?[0-9][0-9.eE+-]*)
    | (?P<word>true|false|null)
    | (?P<mark>[{}\[\]:,])
    | (?P<bad>.[^\s{}\[\]:,"]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBERS = {"int32", "int64", "uint32", "uint64", "float", "double"}
_FLOATS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


class _Stop(Exception):
    """Reading ends at the first syntax mistake; what was read so far is still checked."""


def read_json(source: Source, descriptor: Descriptor, report: Report) -> Block:
    """The tree of a JSON object, shaped for a message type."""
    reader = _Reader(source, report)
    root = Block(0, len(source.text))
    with contextlib.suppress(_Stop):
        reader.read_root(root)
    return _shape_block(root, descriptor)


def read_json_field(source: Source, start: int, spec: FieldSpec, report: Report) -> Node | None:
    """The tree of one JSON value that fills a source from an offset on, shaped for a field."""
    reader = _Reader(source, report, start)
    try:
        return _shape_field(reader.read_only_value(), spec)
    except _Stop:
        return None


class _Reader:
    def __init__(self, source: Source, report: Report, start: int = 0) -> None:
        self.source = source
        self.report = report
        self.position = 0
        found = _TOKEN.finditer(source.text, start)
        self.tokens = [Token(m.lastgroup or "bad", m.start(), m.end(), m.group()) for m in found]
        self.tokens = [token for token in self.tokens if token.kind != "space"]
        self.tokens.append(Token("end", len(source.text), len(source.text), ""))

    def read_root(self, root: Block) -> None:
        if self._peek().text != "{":
            self._stop("expected a JSON object")
        self._read_object(root, 1)
        if self._peek().kind != "end":
            self._stop("text after the JSON object")

    def read_only_value(self) -> Node:
        value = self._read_value(0)
        if self._peek().kind != "end":
            self._stop("text after the value")
        return value

    def _peek(self) -> Token:
        return self.tokens[self.position]

    def _stop(self, message: str) -> None:
        token = self._peek()
        found = f", found {quoted(token.text)}" if token.text else ", found the end of the text"
        self.report.error(Place(self.source, token.start, token.end), message + found)
        raise _Stop

    def _take(self, mark: str) -> bool:
        token = self._peek()
        if token.kind == "mark" and token.text == mark:
            self.position += 1
            return True
        return False

    def _read_object(self, block: Block, depth: int) -> None:
        if depth > _MAX_DEPTH:
            self._stop(f"objects are nested more than {_MAX_DEPTH} deep")
        self.position += 1
        while not self._take("}"):
            if block.entries and not self._take(","):
                self._stop('expected "," or "}"')
            name = self._peek()
            if name.kind != "string":
                self._stop("expected a field name in double quotes")
            text = self._string(name)
            if not self._take(":"):
                self._stop('expected ":"')
            block.entries.append(Entry(name.start, name.end, text, self._read_value(depth)))
        block.end = self.tokens[self.position - 1].end

    def _read_array(self, items: Items, depth: int) -> None:
        if depth > _MAX_DEPTH:
            self._stop(f"lists are nested more than {_MAX_DEPTH} deep")
        self.position += 1
        while not self._take("]"):
            if items.values and not self._take(","):
                self._stop('expected "," or "]"')
            items.values.append(self._read_value(depth))
        items.end = self.tokens[self.position - 1].end

    def _read_value(self, depth: int) -> Node:
        token = self._peek()
        if token.kind == "string":
            return Scalar(token.start, token.end, "string", self._string(token))
        if token.kind in ("number", "word"):
            self.position += 1
            return Scalar(token.start, token.end, token.kind, token.text)
        node: Block | Items
        if token.text == "{":
            self._read_object(node := Block(token.start, token.end), depth + 1)
            return node
        if token.text != "[":
            self._stop("expected a value")
        self._read_array(node := Items(token.start, token.end), depth + 1)
        return node

    def _string(self, token: Token) -> str:
        try:
            text = json.loads(token.text)
            text.encode("utf-8")
        except ValueError:
            self._stop("not a valid JSON string")
        self.position += 1
        return text


def _shape_block(block: Block, descriptor: Descriptor) -> Block:
    """A JSON object as the block of a message type."""
    if descriptor.full_name == "google.protobuf.Struct":
        return _shape_struct(block)
    if is_any(descriptor):
        return _shape_own(block)
    specs = fields_of(descriptor)
    json_names = {field.json_name: field.name for field in descriptor.fields}
    shaped = Block(block.start, block.end)
    for entry in block.entries:
        if isinstance(entry.value, Scalar) and entry.value.kind == "word" and entry.value.text == "null":
            continue
        name = entry.name if entry.name in specs else json_names.get(entry.name, entry.name)
        value = _shape_field(entry.value, specs[name]) if name in specs else entry.value
        shaped.entries.append(Entry(entry.start, entry.end, name, value))
    return shaped


def _shape_own(block: Block) -> Block:
    """`{"@type": "package.Message", ...}` as `[package.Message] { ... }`; anything else is left for the binder."""
    kinds = [e for e in block.entries if e.name == "@type" and isinstance(e.value, Scalar) and e.value.kind == "string"]
    if len(kinds) != 1 or not isinstance(kinds[0].value, Scalar):
        return block
    node = kinds[0].value
    inner = Block(block.start, block.end, [e for e in block.entries if e is not kinds[0]])
    descriptor = descriptor_of(node.text)
    shaped = inner if descriptor is None else _shape_block(inner, descriptor)
    return Block(block.start, block.end, [Entry(node.start, node.end, f"[{node.text}]", shaped)])


def _shape_field(value: Node, spec: FieldSpec) -> Node:
    if spec.is_map and isinstance(value, Block):
        return _shape_map(value, spec)
    if isinstance(value, Items):
        return Items(value.start, value.end, [_shape_single(item, spec) for item in value.values])
    return _shape_single(value, spec)


def _shape_single(value: Node, spec: FieldSpec) -> Node:
    if spec.message is not None:
        return _shape_block(value, spec.message) if isinstance(value, Block) else value
    return _shape_scalar(value, spec) if isinstance(value, Scalar) else value


def _shape_map(block: Block, spec: FieldSpec) -> Items:
    assert spec.message is not None
    specs = fields_of(spec.message)
    entries = []
    for entry in block.entries:
        key = _shape_scalar(Scalar(entry.start, entry.end, "string", entry.name), specs["key"])
        pair = [
            Entry(entry.start, entry.end, "key", key),
            Entry(entry.start, entry.end, "value", _shape_single(entry.value, specs["value"])),
        ]
        entries.append(Block(entry.value.start, entry.value.end, pair))
    return Items(block.start, block.end, list(entries))


def _shape_scalar(node: Scalar, spec: FieldSpec) -> Scalar:
    """A JSON scalar under the conventions of protobuf JSON."""
    kind, text = node.kind, node.text
    if kind == "string" and spec.type in _NUMBERS:
        text = _FLOATS.get(text, text)
        if re.fullmatch(r"[-+0-9.eE]+|nan|-?inf", text):
            kind = "number"
    elif kind == "string" and (spec.type == "enum" or (spec.type == "bool" and text in ("true", "false"))):
        kind = "word"
    if kind == "number" and "int" in spec.type:
        text = _whole(text)
    return Scalar(node.start, node.end, kind, text)


def _whole(text: str) -> str:
    """A JSON number without its fraction and exponent, where it is whole."""
    if re.fullmatch(r"-?[0-9]+", text):
        return text
    try:
        number = float(text)
        return str(int(number)) if number.is_integer() else text
    except (ValueError, OverflowError):
        return text


def _shape_struct(block: Block) -> Block:
    pairs = []
    for entry in block.entries:
        key = Scalar(entry.start, entry.end, "string", entry.name)
        pair = [
            Entry(entry.start, entry.end, "key", key),
            Entry(entry.start, entry.end, "value", _shape_any(entry.value)),
        ]
        pairs.append(Block(entry.value.start, entry.value.end, pair))
    fields = Entry(block.start, block.end, "fields", Items(block.start, block.end, list(pairs)))
    return Block(block.start, block.end, [fields])


def _shape_any(node: Node) -> Block:
    """A JSON value as a google.protobuf.Value."""
    if isinstance(node, Block):
        name, value = "struct_value", _shape_struct(node)
    elif isinstance(node, Items):
        values = Items(node.start, node.end, [_shape_any(item) for item in node.values])
        inner = Entry(node.start, node.end, "values", values)
        name, value = "list_value", Block(node.start, node.end, [inner])
    elif node.kind == "word" and node.text == "null":
        return _value_block(node, "null_value", Scalar(node.start, node.end, "word", "NULL_VALUE"))
    else:
        name = {"string": "string_value", "number": "number_value"}.get(node.kind, "bool_value")
        return _value_block(node, name, node)
    return _value_block(node, name, value)


def _value_block(node: Node, name: str, value: Node) -> Block:
    return Block(node.start, node.end, [Entry(node.start, node.end, name, value)])
