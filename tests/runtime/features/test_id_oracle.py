"""IdFeature against a slow reading of its rules, over generated configs, values and memory layouts."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import DataError

MUL, WORD = 0xC6A4A7935BD1E995, 2**64 - 1
WORDS = ["a", "bb", "ccc", "0", "7", "42", "é", "a b", "longer than eight bytes", "-3", "99"]
NUMERALS = ["0", "7", "42", "49", "007", "50", "-1"]
LAYOUTS = ("plain", "sliced", "large", "view", "dictionary", "garbage")


class Refused(Exception):
    """The oracle's word for a row that must be an error."""


def murmur64(text: str) -> int:
    data = text.encode()
    h = 0xC70F6907 ^ (len(data) * MUL & WORD)
    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        k = int.from_bytes(data[at : at + 8], "little") * MUL & WORD
        h = (h ^ ((k ^ k >> 47) * MUL & WORD)) * MUL & WORD
    if data[whole:]:
        h = (h ^ int.from_bytes(data[whole:], "little")) * MUL & WORD
    h = (h ^ h >> 47) * MUL & WORD
    return h ^ h >> 47


@dataclass
class Case:
    mode: str
    bucketizer: str
    default: str
    value_dim: int | None
    group: str  # "", "grouped" or "alone"
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
        body = f'feature_name: "f" expression: "user:c" embedding_dim: 4 {self.bucketizer}'
        if self.mode == "FG_NONE":
            body += f' fg_encoded_default_value: "{self.default}"'
        else:
            body += f' default_value: "{self.default}" separator: "{self.separator}"'
        if self.value_dim is not None:
            body += f" value_dim: {self.value_dim}"
        if self.group == "grouped":
            inner = f"features {{ id_feature {{ {body} }} }}"
            return f'sequence_feature {{ sequence_name: "seq" sequence_length: {self.length} {inner} }}'
        if self.group == "alone":
            return f"sequence_id_feature {{ {body} sequence_length: {self.length} }}"
        return f"id_feature {{ {body} }}"


def to_id(token: str, case: Case) -> int:
    option = case.bucketizer
    if case.mode == "FG_NONE" or option.startswith("num_buckets"):
        try:
            number = int(token)
        except ValueError:
            raise Refused(token) from None
        if not 0 <= number < 50:
            raise Refused(token)
        return number
    if option.startswith("hash"):
        return murmur64(token) % 50
    if "vocab_dict" in option:
        known = {"a": 3, "bb": 5} | ({case.default: 0} if case.default else {})
        return known.get(token, 1)
    if "default_bucketize_value" in option:
        return {"a": 0, "bb": 1}.get(token, 1)
    known = {case.default: 0, "<OOV>": 1} | {"a": 2, "bb": 3}
    return known.get(token, 1)


def tokens_of(cell: Any, separator: str) -> list[str]:
    """Values of one slot, missing ones left out."""
    if cell is None:
        return []
    if isinstance(cell, list):
        return [str(item) for item in cell if item not in (None, "")]
    return [token for token in str(cell).split(separator) if token]


def oracle(case: Case) -> tuple[list[int], list[int], list[int]]:
    """Values, lengths per slot, elements per row."""
    encoded = case.mode == "FG_NONE"
    sequence = bool(case.group)
    default = case.default or ("0" if sequence and not encoded else "")
    case = Case(**{**vars(case), "default": default})
    width = case.value_dim if case.value_dim is not None else (1 if sequence else 0)
    values, lengths, rows = [], [], []
    for cell in case.cells:
        slots = [cell]
        if sequence:
            slots = cell.split(";") if isinstance(cell, str) and cell else cell if isinstance(cell, list) else []
            slots = slots if encoded else slots[: case.length]
            if not slots and (default or not encoded):
                slots = [None]
        rows.append(len(slots))
        for slot in slots:
            tokens = tokens_of(slot, case.separator)
            tokens = tokens[: width or None] if not encoded else tokens
            if not tokens and default:
                tokens = [default]
            lengths.append(len(tokens))
            values += [to_id(token, case) for token in tokens]
    return values, lengths, rows


def cells_of(column_type: str, case: Case, pool: list[str]) -> st.SearchStrategy[Any]:
    words = st.sampled_from([*pool, ""])
    numbers = st.sampled_from([int(word) for word in NUMERALS])
    row = st.lists(words, max_size=4).map(case.separator.join)
    text = st.lists(row, max_size=4).map(";".join) if case.group else row
    item = st.none() | (row if case.group and column_type == "list<string>" else words)
    kinds = {
        "string": text,
        "int64": numbers,
        "list<string>": st.lists(item, max_size=4),
        "list<int64>": st.lists(st.none() | numbers, max_size=4),
        "list<list<string>>": st.lists(st.none() | st.lists(st.none() | words, max_size=3), max_size=3),
        "list<list<int64>>": st.lists(st.none() | st.lists(numbers, max_size=3), max_size=3),
    }
    return st.none() | kinds[column_type]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    group = draw(st.sampled_from(["", "", "grouped", "alone"]))
    types = ["string", "list<string>", "list<int64>"] + (
        ["list<list<string>>", "list<list<int64>>"] if group else ["int64"]
    )
    mode = draw(st.sampled_from(["FG_NONE", "FG_NORMAL", "FG_DAG", "FG_BUCKETIZE"]))
    options = ["num_buckets: 50"]
    if mode != "FG_NONE":
        options += [
            "hash_bucket_size: 50",
            'vocab_list: "a" vocab_list: "bb"',
            'vocab_list: "a" vocab_list: "bb" default_bucketize_value: 1',
            'vocab_dict { key: "a" value: 3 } vocab_dict { key: "bb" value: 5 }',
        ]
    bucketizer = draw(st.sampled_from(options))
    numeric = bucketizer.startswith("num_buckets")
    case = Case(
        mode=mode,
        bucketizer=bucketizer,
        default=draw(st.sampled_from(["", "7"] if numeric else ["", "a", "zz"])),
        value_dim=0 if mode == "FG_BUCKETIZE" else draw(st.sampled_from([None, 0, 1, 2])),
        group=group,
        length=draw(st.sampled_from([2, 50])),
        separator="\x03" if mode == "FG_NONE" else draw(st.sampled_from(["\x1d", "|", "::"])),
        column_type=draw(st.sampled_from(types)),
        layout=draw(st.sampled_from(LAYOUTS)),
    )
    pool = NUMERALS[: draw(st.sampled_from([5, 7]))] if numeric else WORDS
    case.cells = draw(st.lists(cells_of(case.column_type, case, pool), min_size=1, max_size=6))
    return case


@given(cases())
@settings(max_examples=250, deadline=None)
def test_ids_equal_the_oracle(make_features, other_layout, case):
    scalar = pa.string() if "string" in case.column_type else pa.int64()
    for _ in range(case.column_type.count("list")):
        scalar = pa.list_(scalar)
    array = other_layout(pa.array(case.cells, scalar), case.layout)
    features = make_features(case.mode, case.text())
    batch = pa.record_batch({case.column: array})
    try:
        values, lengths, rows = oracle(case)
    except Refused:
        with pytest.raises(DataError):
            features.generate(batch)
        return
    made = features.generate(batch)[case.name]
    assert made.values.tolist() == values
    assert (made.key_lengths if case.group else made.lengths).tolist() == lengths
    if case.group:
        assert made.seq_lengths.tolist() == rows
    assert made.values.dtype == np.int64
