"""From a tree to a message: every name and value is checked against the schema, and its place is remembered."""

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from tzx.runtime.config.own_messages import descriptor_of, inside, put, unknown_type
from tzx.runtime.config.problems import Report, hint, nearest, quoted
from tzx.runtime.config.scalars import Unfit, convert, wanted
from tzx.runtime.config.schema import FieldSpec, fields_of, is_any
from tzx.runtime.config.source import Place, Source
from tzx.runtime.config.sourcemap import Path, SourceMap
from tzx.runtime.config.syntax import Block, Entry, Items, Node, Scalar

# Looking for near names takes time; nobody reads that many messages.
_ADVISED = 200


class Binder:
    """Fills messages from the trees of one source."""

    def __init__(self, source: Source, places: SourceMap, report: Report, needs_own_types: bool = True) -> None:
        self.source = source
        self.places = places
        self.report = report
        self.needs_own_types = needs_own_types
        self.damaged: set[Path] = set()

    def bind_block(self, block: Block, message: Message, path: Path) -> None:
        """Merge the fields of a block into a message that stands at a path."""
        if is_any(message.DESCRIPTOR):
            self._bind_any(block, message, path)
            return
        specs = fields_of(message.DESCRIPTOR)
        for entry in block.entries:
            spec = specs.get(entry.name)
            if spec is None:
                self._unknown_field(entry, message.DESCRIPTOR, path)
            elif spec.is_repeated:
                self._bind_repeated(entry, spec, message, path)
            else:
                self._bind_single(entry, spec, message, path)

    def _bind_any(self, block: Block, holder: Any, path: Path) -> None:
        """Fill an Any: one `[package.Message] { ... }`."""
        for number, entry in enumerate(block.entries):
            name = entry.name.strip("[] \t\r\n")
            if entry.name == name or number > 0 or not isinstance(entry.value, Block):
                self.damaged.add(path)
                message = f"{path[-1]} takes one block, named by its message type: [package.Message] {{ ... }}"
                self.report.error(self._place(entry), f"{message}; found {quoted(entry.name)}")
            elif (descriptor := descriptor_of(name)) is None:
                self.damaged.add(path)
                holder.type_url = name
                if self.needs_own_types:
                    self.report.error(self._place(entry), unknown_type(name))
            else:
                own = inside(holder)
                if own.DESCRIPTOR is not descriptor:
                    own = message_factory.GetMessageClass(descriptor)()
                self.bind_block(entry.value, own, path)
                put(holder, own)

    def _place(self, node: Node | Entry) -> Place:
        return Place(self.source, node.start, node.end)

    def _unknown_field(self, entry: Entry, descriptor: Descriptor, path: Path) -> None:
        names = list(fields_of(descriptor))
        known, advice = None, ""
        if len(self.report.problems) < _ADVISED:
            known = nearest(entry.name, names)
            advice = f'; did you mean "{known}"?' if known else hint("", names)
        self.damaged.add((*path, known or entry.name))
        self.report.error(self._place(entry), f"{descriptor.name} has no field {quoted(entry.name)}{advice}")

    def _bind_single(self, entry: Entry, spec: FieldSpec, message: Message, path: Path) -> None:
        here = (*path, spec.name)
        place = Place(self.source, entry.start, entry.end)
        if spec.oneof and not self._claim_oneof(place, spec, message, path):
            return
        earlier = self.places.name(here) if self.places.written(here) else None
        if earlier is not None:
            self._warn_twice(place, earlier, spec)
        value = entry.value
        self.places.record(here, place, place if isinstance(value, Block) else self._place(value))
        if isinstance(value, Items):
            self._refuse(value, spec, here, "not a list")
        elif spec.message is not None:
            child = getattr(message, spec.name)
            child.SetInParent()
            if isinstance(value, Block):
                self.bind_block(value, child, here)
            else:
                self._refuse(value, spec, here, f"not {quoted(value.text)}")
        elif isinstance(value, Block):
            self._refuse(value, spec, here, "not a block")
        else:
            self._bind_scalar(value, spec, message, here)

    def _bind_scalar(self, value: Scalar, spec: FieldSpec, message: Message, here: Path) -> None:
        try:
            setattr(message, spec.name, convert(spec, value))
        except Unfit as unfit:
            self._unfit(value, spec, here, unfit)

    def _unfit(self, value: Scalar, spec: FieldSpec, here: Path, unfit: Unfit) -> None:
        self.damaged.add(here)
        self.report.error(self._place(value), f"{spec.name} {unfit}")

    def _refuse(self, value: Node, spec: FieldSpec, here: Path, found: str) -> None:
        self.damaged.add(here)
        span = Place(self.source, value.start, value.start + 1 if isinstance(value, Block | Items) else value.end)
        self.report.error(span, f"{spec.name} takes {wanted(spec)}, {found}")

    def _claim_oneof(self, place: Place, spec: FieldSpec, message: Message, path: Path) -> bool:
        """Whether no other member of the field's oneof is set; reports it otherwise."""
        assert spec.oneof is not None
        other = message.WhichOneof(spec.oneof)
        if other is None or other == spec.name:
            return True
        first = self.places.name((*path, other))
        where = f" ({first.short_label})" if first else ""
        self.report.error(place, f'"{spec.name}" and "{other}"{where} are both set; only one {spec.oneof} is possible')
        return False

    def _warn_twice(self, place: Place, earlier: Place, spec: FieldSpec) -> None:
        effect = "the blocks are merged" if spec.message is not None else "the last one counts"
        first = earlier.short_label
        second = place.short_label
        both = f"on {first} and again on {second}" if first != second else f"twice on {first}"
        self.report.warn(place, f'"{spec.name}" is set {both}; {effect}')

    def _bind_repeated(self, entry: Entry, spec: FieldSpec, message: Message, path: Path) -> None:
        container = getattr(message, spec.name)
        values = entry.value.values if isinstance(entry.value, Items) else [entry.value]
        name = Place(self.source, entry.start, entry.end)
        for value in values:
            here = (*path, spec.name, len(container))
            if spec.is_map:
                self._bind_map_entry(name, value, spec, container, (*path, spec.name))
            elif spec.message is not None:
                self.places.record(here, name, name if value is entry.value else self._place(value))
                self._bind_item(value, spec, container.add(), here)
            elif isinstance(value, Scalar):
                self.places.record(here, name, self._place(value))
                try:
                    container.append(convert(spec, value))
                except Unfit as unfit:
                    self._unfit(value, spec, (*path, spec.name), unfit)
            else:
                self._refuse(value, spec, (*path, spec.name), "not a block or list")

    def _bind_item(self, value: Node, spec: FieldSpec, message: Message, here: Path) -> None:
        if isinstance(value, Block):
            self.bind_block(value, message, here)
        else:
            self._refuse(value, spec, here, "not a list" if isinstance(value, Items) else f"not {quoted(value.text)}")

    def _bind_map_entry(self, name: Place, value: Node, spec: FieldSpec, container: Message, here: Path) -> None:
        """One `{ key: ... value: ... }` of a map; a key given twice keeps the last value."""
        assert spec.message is not None
        if not isinstance(value, Block):
            self._refuse(value, spec, here, "as { key: ... value: ... }")
            return
        entry = container.GetEntryClass()()  # type: ignore[attr-defined]
        scratch = Binder(self.source, SourceMap(), self.report, self.needs_own_types)
        scratch.bind_block(value, entry, here)
        if scratch.damaged:
            self.damaged.add(here)
            return
        key_path = (*here, entry.key)
        if entry.key in container:  # type: ignore[operator]
            self.report.warn(self._place(value), f"{spec.name} has the key {entry.key!r} twice; the last one counts")
        self.places.record(key_path, name, self._place(value))
        if fields_of(spec.message)["value"].message is not None:
            container[entry.key].CopyFrom(entry.value)  # type: ignore[index]
        else:
            container[entry.key] = entry.value  # type: ignore[index]
