"""Follow an override's path into a config and write its value there."""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from tzx.runtime.config.binder import Binder
from tzx.runtime.config.own_messages import inside, put
from tzx.runtime.config.paths import Selector, Step, parse_path
from tzx.runtime.config.problems import Report, hint, quoted
from tzx.runtime.config.scalars import Unfit, convert
from tzx.runtime.config.schema import FieldSpec, fields_of, is_any
from tzx.runtime.config.source import Place, Source
from tzx.runtime.config.sourcemap import Path, SourceMap
from tzx.runtime.config.syntax import Block, Entry, Node, Scalar

# Of these siblings one holds; a file may not set both, an override of one clears the other.
_RIVALS: dict[Path, str] = {("train_config", "num_steps"): "num_epochs", ("train_config", "num_epochs"): "num_steps"}

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}

ValueReader = Callable[[FieldSpec], Node | None]


class Refused(Exception):
    """An override that cannot be applied, with the offsets of the part that is wrong."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


class UnreadType(Exception):
    """An override of what stands inside a message of a type that is not known; that has been reported."""


class Target(NamedTuple):
    """A message inside the config and the path it stands at."""

    message: Message
    path: Path


class Walker:
    """Follows one override's path and writes its value."""

    def __init__(self, source: Source, places: SourceMap, report: Report, needs_own_types: bool = True) -> None:
        self.source = source
        self.places = places
        self.report = report
        self.needs_own_types = needs_own_types
        self.damaged: set[Path] = set()
        self._opened: dict[Path, tuple[Message, Message]] = {}

    def close(self) -> None:
        """Put messages that were taken out of an Any back."""
        for holder, message in self._opened.values():
            put(holder, message)

    def _open(self, holder: Any, path: Path) -> Target:
        """A message as a target; instead of an Any the message inside."""
        if not is_any(holder.DESCRIPTOR) or not holder.type_url:
            return Target(holder, path)
        if path not in self._opened:
            message = inside(holder)
            if message is holder:
                raise UnreadType
            self._opened[path] = holder, message
        return Target(self._opened[path][1], path)

    def descend(self, targets: Sequence[Target], step: Step) -> list[Target]:
        """The messages that a step leads to from each target."""
        found = [child for target in targets for child in self._children(target, step, len(targets) > 1)]
        if not found:
            raise Refused(f"nothing has {quoted(step.name)}", step.start, step.end)
        return found

    def _children(self, target: Target, step: Step, one_of_many: bool) -> Iterator[Target]:
        target, spec = self._field(target, step, one_of_many)
        if spec is None:
            return
        if spec.message is None:
            raise Refused(f'"{spec.name}" is a {spec.type} and has no fields', step.start, step.end)
        if not spec.is_repeated:
            if step.selector is not None:
                raise Refused(f'"{spec.name}" is not a list', step.selector.start, step.selector.end)
            if self._other_member(target, spec) is not None:
                if one_of_many:
                    return
                self._switch_oneof(target, spec, step)
            yield self._open(getattr(target.message, spec.name), (*target.path, spec.name))
            return
        if spec.is_map:
            raise Refused(f'"{spec.name}" is a map; set it as a whole', step.start, step.end)
        items = getattr(target.message, spec.name)
        for index in self._chosen(items, step, spec):
            yield self._open(items[index], (*target.path, spec.name, index))

    def _chosen(self, items: Sequence[Any], step: Step, spec: FieldSpec) -> list[int]:
        if step.selector is not None:
            return self.select(items, step.selector, spec)
        if len(items) == 1:
            return [0]
        example = f"{step.name}[0]"
        raise Refused(f'"{step.name}" has {len(items)} items; choose one, as in {example}', step.start, step.end)

    def _field(self, target: Target, step: Step, one_of_many: bool) -> tuple[Target, FieldSpec | None]:
        """The field a step names, looked for in the message and then in the oneof members that are set."""
        spec = fields_of(target.message.DESCRIPTOR).get(step.name)
        if spec is not None:
            return target, spec
        names = list(fields_of(target.message.DESCRIPTOR))
        for oneof in target.message.DESCRIPTOR.oneofs:
            member = target.message.WhichOneof(oneof.name)
            if member is None or fields_of(target.message.DESCRIPTOR)[member].message is None:
                continue
            inner = self._open(getattr(target.message, member), (*target.path, member))
            if step.name in fields_of(inner.message.DESCRIPTOR):
                return inner, fields_of(inner.message.DESCRIPTOR)[step.name]
            names += fields_of(inner.message.DESCRIPTOR)
        if one_of_many:
            return target, None
        kind = target.message.DESCRIPTOR.name
        raise Refused(f"{kind} has no field {quoted(step.name)}{hint(step.name, names)}", step.start, step.end)

    @staticmethod
    def _other_member(target: Target, spec: FieldSpec) -> str | None:
        member = target.message.WhichOneof(spec.oneof) if spec.oneof else None
        return member if member != spec.name else None

    def _switch_oneof(self, target: Target, spec: FieldSpec, step: Step) -> None:
        other = self._other_member(target, spec)
        if other is not None:
            self._replace(target, other, Place(self.source, step.start, step.end), spec.name)

    def _replace(self, target: Target, other: str, place: Place, name: str) -> None:
        self.report.warn(place, f'"{name}" takes the place of "{other}"')
        target.message.ClearField(other)
        self.places.forget((*target.path, other))

    def select(self, items: Sequence[Any], selector: Selector, spec: FieldSpec) -> list[int]:
        """Indexes of the items that a selector picks, at least one."""
        numbers = list(range(len(items)))
        if selector.index is not None:
            if not -len(items) <= selector.index < len(items):
                message = f'"{spec.name}" has {len(items)} items; there is no [{selector.index}]'
                raise Refused(message, selector.start, selector.end)
            return [numbers[selector.index]]
        if selector.span is not None:
            chosen = numbers[selector.span]
            if not chosen:
                raise Refused(
                    f'"{spec.name}" has {len(items)} items; none is in that range', selector.start, selector.end
                )
            return chosen
        return self._matching(items, selector, spec)

    def _matching(self, items: Sequence[Any], selector: Selector, spec: FieldSpec) -> list[int]:
        if spec.message is None:
            raise Refused(f'"{spec.name}" holds {spec.type}s without fields', selector.start, selector.end)
        steps = parse_path(selector.key, 0, len(selector.key))
        seen: list[list[str]] = [list(self._texts_at(item, steps)) for item in items]
        chosen = [index for index, texts in enumerate(seen) if any(_meets(text, selector) for text in texts)]
        if not chosen:
            known = dict.fromkeys(text for texts in seen for text in texts)
            advice = hint(selector.value, known) if known else f"; no item has {quoted(selector.key)}"
            condition = selector.key + selector.operator + selector.value
            message = f'no item of "{spec.name}" has {condition}{advice}'
            raise Refused(message, selector.start, selector.end)
        return chosen

    def _texts_at(self, message: Message, steps: Sequence[Step]) -> Iterator[str]:
        """What the field at the end of a selector's key holds, as text."""
        target, spec = self._field(Target(message, ()), steps[0], one_of_many=True)
        if spec is None or spec.is_map:
            return
        value = getattr(target.message, spec.name)
        values = list(value) if spec.is_repeated else [value]
        chooser = steps[0].selector
        if chooser is not None and chooser.index is not None:
            values = values[chooser.index : chooser.index + 1 or None]
        for single in values:
            if len(steps) > 1 and spec.message is not None:
                yield from self._texts_at(single, steps[1:])
            elif spec.message is None:
                yield _text_of(single, spec)

    def assign(self, targets: Sequence[Target], step: Step, read: ValueReader) -> None:
        """Give the last step's field its value in every target."""
        done = 0
        for target in targets:
            target, spec = self._field(target, step, len(targets) > 1)
            if spec is not None:
                self._assign(target, spec, step, read(spec))
                done += 1
        if not done:
            raise Refused(f"nothing has {quoted(step.name)}", step.start, step.end)

    def _assign(self, target: Target, spec: FieldSpec, step: Step, value: Node | None) -> None:
        if step.selector is not None:
            if not spec.is_repeated or spec.is_map:
                raise Refused(f'"{spec.name}" is not a list', step.selector.start, step.selector.end)
            self._assign_items(target, spec, step.selector, value)
            return
        target.message.ClearField(spec.name)
        self.places.forget((*target.path, spec.name))
        if value is None:
            return
        self._switch_oneof(target, spec, step)
        self._bind(target, Block(0, 0, [Entry(step.start, step.end, spec.name, value)]))
        rival = _RIVALS.get((*target.path, spec.name))
        if rival and getattr(target.message, spec.name) and getattr(target.message, rival):
            self._replace(target, rival, Place(self.source, step.start, step.end), spec.name)

    def _bind(self, target: Target, block: Block) -> None:
        binder = Binder(self.source, self.places, self.report, self.needs_own_types)
        binder.bind_block(block, target.message, target.path)
        self.damaged |= binder.damaged

    def _assign_items(self, target: Target, spec: FieldSpec, selector: Selector, value: Node | None) -> None:
        items = getattr(target.message, spec.name)
        chosen = self.select(items, selector, spec)
        for index in reversed(chosen):
            here = (*target.path, spec.name, index)
            if value is None:
                del items[index]
                self.places.forget(here[:-1])
            elif spec.message is None:
                self._assign_scalar(items, spec, here, value)
            elif isinstance(value, Block):
                items[index].Clear()
                self.places.forget(here)
                self._bind(Target(items[index], here), value)
            else:
                raise Refused(f'"{spec.name}" holds blocks {{ ... }}', value.start, value.end)

    def _assign_scalar(self, items: Any, spec: FieldSpec, here: Path, value: Node) -> None:
        if not isinstance(value, Scalar):
            raise Refused(f'"{spec.name}" holds single values', value.start, value.end)
        try:
            items[here[-1]] = convert(spec, value)
        except Unfit as unfit:
            self.damaged.add(here[:-1])
            raise Refused(f"{spec.name} {unfit}", value.start, value.end) from None
        place = Place(self.source, value.start, value.end)
        self.places.record(here, place, place)


def _text_of(value: Any, spec: FieldSpec) -> str:
    if spec.enum is not None:
        return str(spec.enum.values_by_number[value].name)
    if isinstance(value, float):
        return f"{value:.7g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _meets(text: str, selector: Selector) -> bool:
    """Whether a field's value passes a selector; numbers are compared as numbers, to the precision of float32."""
    wanted = selector.value
    if selector.operator == "=" and (text == wanted or (text in ("true", "false") and text == wanted.lower())):
        return True
    try:
        left, right = float(f"{float(text):.7g}"), float(f"{float(wanted):.7g}")
    except ValueError:
        return False
    return _COMPARE[selector.operator](left, right)
