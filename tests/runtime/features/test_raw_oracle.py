"""RawFeature against a slow reading of its rules, over generated configs, values and memory layouts."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import DataError

EDGES = [-1.0, 0.5, 2.0]
NUMBERS = [0.0, 0.5, -1.0, 1.25, 2.0, 3.5, -7.0, 100.0]
NORMALIZERS = {
    "": lambda x: x,
    "method=log10,threshold=0.5,default=-5": lambda x: math.log10(x) if x > 0.5 else -5,
    "method=log10": lambda x: math.log10(x) if x > 1e-10 else -10,
    "method=zscore,mean=1,standard_deviation=2": lambda x: (x - 1) / 2,
    "method=minmax,min=-1,max=3": lambda x: (x + 1) / 4,
    "method=expression,expr=x > 1 ? min(x, 3) ^ 2 : -x": lambda x: min(x, 3) ** 2 if x > 1 else -x,
}
LAYOUTS = ("plain", "sliced", "large", "view", "dictionary", "garbage")


class Refused(Exception):
    """The oracle's word for a row that must be an error."""


@dataclass
class Case:
    mode: str
    normalizer: str
    sparse: bool
    default: str
    width: int
    group: str
    length: int
    separator: str
    column_type: str
    layout: str
    cells: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "seq__f" if self.group == "grouped" else "f"

    @property
    def column(self) -> str:
        raw = self.mode in ("FG_NORMAL", "FG_DAG")
        return {"grouped": "seq__c" if raw else "seq__f"}.get(self.group, "c" if raw else "f")

    def text(self) -> str:
        body = f'feature_name: "f" expression: "user:c" value_dim: {self.width}'
        if self.mode == "FG_NONE":
            body += f' fg_encoded_default_value: "{self.default}"'
        else:
            body += f' default_value: "{self.default}" separator: "{self.separator}" normalizer: "{self.normalizer}"'
        if self.sparse:
            body += " embedding_dim: 4" + "".join(f" boundaries: {edge}" for edge in EDGES)
        if self.group == "grouped":
            inner = f"features {{ raw_feature {{ {body} }} }}"
            return f'sequence_feature {{ sequence_name: "seq" sequence_length: {self.length} {inner} }}'
        if self.group == "alone":
            return f"sequence_raw_feature {{ {body} sequence_length: {self.length} }}"
        return f"raw_feature {{ {body} }}"


def numbers_of(slot: Any, separator: str) -> list[float]:
    """Numbers of one slot; anything that is none is refused."""
    if slot is None or slot == "":
        return []
    parts = slot if isinstance(slot, list) else slot.split(separator) if isinstance(slot, str) else [slot]
    try:
        return [float(part) for part in parts]
    except (TypeError, ValueError):
        raise Refused(slot) from None


def finish(numbers: list[float], case: Case) -> list[float]:
    """Bucket or number of one filled slot."""
    if case.sparse and case.mode != "FG_NONE":
        return [sum(edge <= np.float32(number) for edge in EDGES) for number in numbers]
    if case.sparse and any(number != int(number) or not 0 <= number <= len(EDGES) for number in numbers):
        raise Refused(numbers)
    if not case.sparse and len(numbers) != case.width:
        raise Refused(numbers)
    return numbers


def one_slot(slot: Any, default: list[float], case: Case) -> list[float]:
    numbers = numbers_of(slot, case.separator)
    if case.mode in ("FG_NORMAL", "FG_DAG"):
        numbers = numbers[:1] if case.group and case.width == 1 else numbers
        if numbers and len(numbers) != case.width:
            raise Refused(slot)
        numbers = [NORMALIZERS[case.normalizer](number) for number in numbers]
    return finish(numbers or default, case)


def oracle(case: Case) -> tuple[list[float], list[int], list[int]]:
    """Values, lengths per slot, elements per row."""
    encoded = case.mode == "FG_NONE"
    default_text = case.default or ("0" if case.group and not encoded else "")
    default = [float(part) for part in default_text.split(case.separator) if part]
    default = default * case.width if len(default) == 1 else default
    values: list[float] = []
    lengths, rows = [], []
    for cell in case.cells:
        slots = [cell]
        if case.group:
            slots = cell.split(";") if isinstance(cell, str) and cell else cell if isinstance(cell, list) else []
            slots = slots if encoded else slots[: case.length]
            if not slots and (default or not encoded):
                slots = [None]
        rows.append(len(slots))
        for slot in slots:
            made = one_slot(slot, default, case)
            lengths.append(len(made))
            values += made
    return values, lengths, rows


def cells_of(column_type: str, case: Case) -> st.SearchStrategy[Any]:
    allowed = [0.0, 1.0, 2.0, 3.0] if case.sparse and case.mode == "FG_NONE" else NUMBERS
    number = st.sampled_from(allowed)
    written = number.map(lambda x: f"{x:g}") | number.map(lambda x: f" {x:.3f}")
    if case.sparse and case.mode == "FG_NONE":
        written = number.map(lambda x: f"{x:g}")
    vector = st.lists(number, min_size=case.width, max_size=case.width)
    text = st.lists(written, min_size=case.width, max_size=case.width).map(case.separator.join)
    missing = st.just("") | text if case.group else text
    kinds = {
        "string": st.lists(missing, max_size=4).map(";".join) if case.group else text | st.just(""),
        "double": number,
        "int64": number.map(int),
        "list<string>": st.lists(st.none() | text, max_size=3)
        if case.group
        else st.lists(written, max_size=0) | st.lists(written, min_size=case.width, max_size=case.width),
        "list<double>": st.lists(st.none() | number, max_size=3) if case.group else vector | st.just([]),
        "list<list<double>>": st.lists(st.none() | vector | st.just([]), max_size=3),
    }
    return st.none() | kinds[column_type]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    group = draw(st.sampled_from(["", "", "grouped", "alone"]))
    width = draw(st.sampled_from([1, 1, 2, 3]))
    types = ["string", "list<string>"]
    types += ["list<list<double>>"] if group else ["list<double>"]
    if width == 1:
        types += ["list<double>"] if group else ["double", "int64"]
    mode = draw(st.sampled_from(["FG_NONE", "FG_NORMAL", "FG_DAG", "FG_BUCKETIZE"]))
    encoded = mode == "FG_NONE"
    separator = "\x03" if encoded else draw(st.sampled_from(["\x1d", ",", "::"]))
    full = separator.join(["1", "2", "3"][:width])
    case = Case(
        mode=mode,
        normalizer="" if mode in ("FG_NONE", "FG_BUCKETIZE") else draw(st.sampled_from(sorted(NORMALIZERS))),
        sparse=draw(st.booleans()),
        default=draw(st.sampled_from(["", full] if encoded and width > 1 else ["", "1", full])),
        width=width,
        group=group,
        length=draw(st.sampled_from([2, 50])),
        separator=separator,
        column_type=draw(st.sampled_from(types)),
        layout=draw(st.sampled_from(LAYOUTS)),
    )
    case.cells = draw(st.lists(cells_of(case.column_type, case), min_size=1, max_size=5))
    return case


@given(cases())
@settings(max_examples=250, deadline=None)
def test_numbers_equal_the_oracle(make_features, other_layout, case):
    kind = {"string": pa.string(), "double": pa.float64(), "int64": pa.int64()}[
        case.column_type.split("<")[-1].strip(">")
    ]
    for _ in range(case.column_type.count("list")):
        kind = pa.list_(kind)
    features = make_features(case.mode, case.text())
    batch = pa.record_batch({case.column: other_layout(pa.array(case.cells, kind), case.layout)})
    try:
        values, lengths, rows = oracle(case)
    except Refused:
        with pytest.raises(DataError):
            features.generate(batch)
        return
    made = features.generate(batch)[case.name]
    assert made.values.dtype == (np.int64 if case.sparse else np.float32)
    np.testing.assert_allclose(np.ravel(made.values), values, rtol=2e-6)
    if case.group:
        assert made.seq_lengths.tolist() == rows
    if case.sparse:
        assert (made.key_lengths if case.group else made.lengths).tolist() == lengths
    else:
        assert made.values.shape == (len(lengths), case.width)
