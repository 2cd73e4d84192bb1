"""What becomes of one row in every feature: raw input, values before bucketizing, ids; as plain data for JSON."""

import math
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from tzx.runtime.errors import DataError
from tzx.runtime.features import arrow
from tzx.runtime.features.bucketizers import given_options
from tzx.runtime.features.declared import CONSTANT, FROM_FEATURE, Input
from tzx.runtime.features.feature import Feature
from tzx.runtime.features.feature_set import FeatureSet
from tzx.runtime.features.ragged import Ragged, Strings
from tzx.runtime.features.tracing import Traced, unknown


@dataclass(frozen=True)
class RawInput:
    """One input: `written` as in the config, and the column's value as it lies in the data."""

    written: str
    column: str
    value: Any


@dataclass(frozen=True)
class Slot:
    """A row, or an element of a sequence.

    Args:
        values: before defaults and bucketizing, as text; [] for a missing one.
        made: the ids, or the numbers of a dense feature.
        weights: of the ids.
        unknown: which values are not in the vocabulary; [] without one.
        cut: values left out because of value_dim.
        defaulted: `made` comes from the default.
    """

    values: list[str]
    made: list[Any]
    weights: list[float] | None
    unknown: list[bool]
    cut: int
    defaulted: bool


@dataclass(frozen=True)
class Explanation:
    """One feature of one row; with an `error`, what came before the stage that failed."""

    feature: Feature
    stub: bool
    bucketizer: str
    default: str
    inputs: list[RawInput]
    slots: list[Slot]
    elements_cut: int = 0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The explanation as JSON has it."""
        feature = self.feature
        record: dict[str, Any] = {
            "feature": feature.name,
            "type": feature.kind,
            "is_sequence": feature.is_sequence,
            "is_sparse": feature.is_sparse,
            "is_stub": self.stub,
            "bucketizer": self.bucketizer,
            "default_value": self.default,
            "inputs": [asdict(entry) for entry in self.inputs],
            "slots": [asdict(slot) for slot in self.slots],
            "elements_cut": self.elements_cut,
        }
        if feature.is_sequence and not self.error:
            record["seq_length"] = len(self.slots)
            record["key_lengths"] = [len(slot.made) for slot in self.slots]
        return {**record, "error": self.error} if self.error else record


def explain_row(features: FeatureSet, row: pa.RecordBatch, wanted: Collection[str] = ()) -> Iterator[Explanation]:
    """Explain the features of a batch of one row, those called `wanted` or all."""
    for traced in features.trace(row):
        if not wanted or traced.feature.name in wanted:
            yield _explain(traced)


def _explain(traced: Traced) -> Explanation:
    inputs: list[RawInput] = []
    values: Ragged | None = None
    made: Ragged | None = None
    error, elements_cut, values_cut = "", 0, np.zeros(0, np.int32)
    try:
        inputs = [_raw_input(traced, entry) for entry in traced.inputs]
        values = traced.values
        if traced.values_cut is not None:
            values_cut = traced.values_cut
        before = traced.elements_before_cut
        if before is not None and values.seq_lengths is not None:
            elements_cut = max(0, int(before[0]) - int(values.seq_lengths[0]))
        made = traced.result
    except DataError as failure:
        error = str(failure)
    slots = [] if values is None else _slots(traced, values, made, values_cut.tolist())
    feature = traced.feature
    return Explanation(
        feature, traced.stub, bucketizer_text(feature), traced.default_text, inputs, slots, elements_cut, error
    )


def bucketizer_text(feature: Feature) -> str:
    """What makes ids of a feature, in few words."""
    given = given_options(feature.config)
    if not given:
        return "ids" if feature.is_sparse else f"{feature.value_dim} number{'s' * (feature.value_dim != 1)}"
    option = given[0]
    rows = feature.num_embeddings
    return f"{option} ({rows} rows)" if option.startswith(("vocab", "boundaries")) else f"{option} {rows}"


def _raw_input(traced: Traced, entry: Input) -> RawInput:
    if entry.side == CONSTANT:
        return RawInput(f"const:{entry.name}", "", entry.name)
    if entry.side == FROM_FEATURE:
        read = traced.read[traced.inputs.index(entry)]
        return RawInput(f"feature:{entry.name}", "", _texts(read, 0, len(read.values)))
    written = f"{entry.side}:{entry.name}" if entry.side else entry.name
    return RawInput(written, entry.column, _plain(_cell(traced.raw(entry))))


def _cell(array: pa.Array) -> Any:
    """The first value, with text as bytes where it is no UTF-8."""
    array = arrow.plain(array)
    try:
        return array[0].as_py()
    except UnicodeDecodeError:
        return array.cast(_with_bytes(array.type))[0].as_py()


def _with_bytes(kind: pa.DataType) -> pa.DataType:
    """The type with bytes in place of text."""
    if pt.is_map(kind):
        return pa.map_(_with_bytes(kind.key_type), _with_bytes(kind.item_type))
    if arrow.is_list(kind):
        return pa.large_list(_with_bytes(kind.value_type))
    return pa.large_binary() if arrow.is_text(kind) else kind


def _plain(value: Any) -> Any:
    """A cell as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return ":".join(str(_plain(item)) for item in value)
    if isinstance(value, float):
        return _finite(value)
    return value if value is None or isinstance(value, int | str) else str(value)


def _slots(traced: Traced, values: Ragged, made: Ragged | None, values_cut: list[int]) -> list[Slot]:
    flags = unknown(traced.bucketizer, values.values)
    slots = []
    at = made_at = 0
    for slot, count in enumerate(values.lengths.tolist()):
        texts = _texts(values, at, at + count)
        made_count = int(made.lengths[slot]) if made is not None else 0
        defaulted = made_count > 0 and count == 0
        slots.append(
            Slot(
                values=texts,
                made=[] if made is None else _items(made, made_at, made_at + made_count),
                weights=None if made is None or made.weights is None else _weights(made, made_at, made_count),
                unknown=[] if flags is None else flags[at : at + count].tolist(),
                cut=values_cut[slot] if values_cut else 0,
                defaulted=defaulted,
            )
        )
        at, made_at = at + count, made_at + made_count
    return slots


def _weights(made: Ragged, start: int, count: int) -> list[float]:
    assert made.weights is not None
    return [float(text) for text in _short_texts(made.weights[start : start + count])]


def _short_texts(numbers: Any) -> list[str]:
    """Numbers as their shortest text, without the digits that a wider type would add."""
    texts = [str(number) for number in numbers]
    return [text.removesuffix(".0") for text in texts]


def _texts(ragged: Ragged, start: int, end: int) -> list[str]:
    values = ragged.values
    if not isinstance(values, Strings):
        return _short_texts(values[start:end])
    texts = [values.text(at) for at in range(start, end)]
    items = ragged.items
    if items is None:
        return texts
    others = [items.text(at) for at in range(start, end)] if isinstance(items, Strings) else _short_texts(items)
    return [f"{key}:{item}" for key, item in zip(texts, others, strict=True)]


def _items(made: Ragged, start: int, end: int) -> list[Any]:
    values = made.values
    if isinstance(values, Strings):
        return _texts(made, start, end)
    part = values[start:end]
    # float(str(x)): the shortest number that is this float32, as a reader would write it.
    return part.tolist() if part.dtype.kind == "i" else [_finite(float(str(number))) for number in part]


def _finite(number: float) -> float | str:
    """JSON has no NaN and no infinity: they become text."""
    return number if math.isfinite(number) else str(number)
