"""Explanations as tables for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tzx.runtime.features.explaining import Explanation, RawInput, Slot

CELL_CHARACTERS = 200
MISSING = ("", None)


def print_row(console: Console, title: str, explanations: Sequence[Explanation], elements: int) -> None:
    """Print one row of the data under a `title`, with so many `elements` of a sequence and values of a slot."""
    console.print()
    console.print(Text(title, "bold"))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    table.add_column("feature", overflow="fold", min_width=12)
    table.add_column("input", overflow="fold", ratio=4)
    table.add_column("value", overflow="fold", ratio=5)
    table.add_column("id or number", overflow="fold")
    table.add_column("made by", overflow="fold", style="dim")
    for explanation in explanations:
        _add(table, explanation, elements)
    console.print(table)


def _add(table: Table, explanation: Explanation, elements: int) -> None:
    name = Text(explanation.feature.name, "bold")
    if explanation.stub:
        name.append(" (stub)", "dim")
    lines = list(_lines(explanation, elements))
    if explanation.error:
        lines.append((Text(explanation.error, "red"), Text("none", "red")))
    inputs = Group(*(_input(entry) for entry in explanation.inputs))
    values, made = (Group(*side) for side in zip(*lines, strict=True))
    table.add_row(name, inputs, values, made, _about(explanation))


def _about(explanation: Explanation) -> str:
    kind = explanation.feature.kind.removesuffix("_feature")
    sequence = " sequence" if explanation.feature.is_sequence else ""
    return f"{kind}{sequence}, {explanation.bucketizer}"


def _input(entry: RawInput) -> Text:
    text = Text.assemble((entry.column or entry.written, "cyan"), (" = ", "dim"))
    if entry.value in MISSING or entry.value in ([], {}):
        return text.append(_shown(entry.value), "yellow")
    return text.append(_shown(entry.value))


def _shown(value: Any) -> str:
    """A cell on one line, separators visible, long ones cut."""
    if value is None:
        return "null"
    if isinstance(value, str):
        text = value if value and value.isprintable() and value.strip() == value else repr(value)
    elif isinstance(value, list):
        text = "[" + ", ".join(_shown(item) for item in value[:CELL_CHARACTERS]) + "]"
    else:
        text = str(value)
    if len(text) <= CELL_CHARACTERS:
        return text
    size = f"{len(value):,} {'items' if isinstance(value, list) else 'characters'}" if hasattr(value, "__len__") else ""
    return f"{text[: CELL_CHARACTERS // 2].rstrip()} ... ({size})"


def _lines(explanation: Explanation, elements: int) -> Iterator[tuple[Text, Text]]:
    """Left and right cell of every line: one per value of a row, one per element of a sequence."""
    if not explanation.feature.is_sequence:
        for slot in explanation.slots:
            yield from _row_lines(explanation, slot, elements)
        return
    for number, slot in enumerate(explanation.slots[:elements]):
        yield _element_line(explanation, number, slot)
    count = len(explanation.slots)
    notes = [f"{count} element{'s' * (count != 1)}"] if explanation.slots else ["no elements"]
    if explanation.elements_cut:
        limit = explanation.feature.sequence_length
        notes.append(f"{explanation.elements_cut} more cut off by sequence_length {limit}")
    if count > elements or explanation.elements_cut or not count:
        yield Text(("... " if count > elements else "") + ", ".join(notes), "dim"), Text("")


def _row_lines(explanation: Explanation, slot: Slot, limit: int) -> Iterator[tuple[Text, Text]]:
    if not slot.values:
        yield _missing(explanation, slot), _made(slot.made, slot)
    elif not explanation.feature.is_sparse:
        yield Text(", ".join(map(_shown, slot.values[:limit]))), _made(slot.made[:limit], slot)
    else:
        for at, value in enumerate(slot.values[:limit]):
            flag = bool(slot.unknown) and slot.unknown[at]
            yield _value(value, flag), _made(slot.made[at : at + 1], slot, at)
    hidden = len(slot.values) - limit
    notes = [f"... {hidden} more values"] if hidden > 0 else []
    notes += [f"{slot.cut} more cut off by value_dim {explanation.feature.value_dim}"] if slot.cut else []
    if notes:
        yield Text(", ".join(notes), "dim"), Text("")


def _element_line(explanation: Explanation, number: int, slot: Slot) -> tuple[Text, Text]:
    left = Text(f"{number}: ", "dim")
    if not slot.values:
        return left.append_text(_missing(explanation, slot)), _made(slot.made, slot)
    for at, value in enumerate(slot.values):
        left.append(", " if at else "").append_text(_value(value, bool(slot.unknown) and slot.unknown[at]))
    if slot.cut:
        left.append(f" (+{slot.cut} cut)", "dim")
    return left, _made(slot.made, slot)


def _value(value: str, is_unknown: bool) -> Text:
    text = Text(_shown(value))
    return text.append(" not in the vocabulary", "magenta") if is_unknown else text


def _missing(explanation: Explanation, slot: Slot) -> Text:
    if not slot.defaulted:
        return Text("missing", "yellow")
    return Text.assemble(("missing", "yellow"), (" -> default ", "dim"), (_shown(explanation.default), "yellow"))


def _made(made: Sequence[Any], slot: Slot, first: int = 0) -> Text:
    if not made:
        return Text("-", "dim")
    texts = [str(item).removesuffix(".0") if isinstance(item, float) else str(item) for item in made]
    if slot.weights:
        texts = [f"{text} (weight {slot.weights[first + at]:g})" for at, text in enumerate(texts)]
    return Text(", ".join(texts), "yellow" if slot.defaulted else "green")
