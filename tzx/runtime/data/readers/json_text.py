"""Lists and maps as JSON text in CSV files, in both directions."""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def is_json(columns: Iterable[pa.ChunkedArray]) -> bool:
    """Whether every text in `columns`, of which there is at least one, opens like a JSON list or object."""
    seen = False
    for column in columns:
        texts = column.cast(pa.string()).drop_null()
        texts = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
        if pc.all(pc.match_substring_regex(texts, r"^\s*[\[{]")).as_py() is False:
            return False
        seen = seen or len(texts) > 0
    return seen


def parse_json(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Text as lists or maps of type `kind`; null and empty text is null.

    Raises:
        ValueError: a text is not JSON, or not of that type.
    """
    values = [None if text is None or not text.strip() else json.loads(text) for text in texts.to_pylist()]
    if pa.types.is_map(kind):
        key = int if pa.types.is_integer(kind.key_type) else str
        values = [None if v is None else [(key(k), x) for k, x in v.items()] for v in values]
    return pa.array(values, kind)


def to_json(column: pa.Array) -> pa.Array:
    """Lists, maps and structs as JSON text, one string a row; nulls stay null at the top and are `null` within."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lists = column.cast(pa.list_(kind.value_type))
        return _enclose(_join(lists, _inner(lists.values), lists.offsets), "[", "]")
    if pa.types.is_map(kind):
        keys = _quote(column.keys.cast(pa.string()))
        pairs = pc.binary_join_element_wise(keys, _inner(column.items), ": ")
        return _enclose(_join(column, pairs, column.offsets), "{", "}")
    return pa.array([None if v is None else json.dumps(v) for v in column.to_pylist()], pa.string())


def _inner(values: pa.Array) -> pa.Array:
    """Texts of values within a list, none of them null."""
    if pa.types.is_nested(values.type):
        texts = to_json(values)
    elif _is_number(values.type):
        texts = values.cast(pa.string())
    elif pa.types.is_boolean(values.type):
        texts = pc.if_else(values, "true", "false")
    else:
        texts = _quote(values.cast(pa.string()))
    return pc.fill_null(texts, "null")


def _join(lists: pa.Array, texts: pa.Array, offsets: pa.Array) -> pa.Array:
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ", ")
    return pc.if_else(lists.is_valid(), joined, pa.scalar(None, pa.string()))


def _enclose(texts: pa.Array, left: str, right: str) -> pa.Array:
    return pc.binary_join_element_wise(left, texts, right, "")


def _quote(texts: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(texts, r'[\x00-\x1f"\\]')).as_py():
        return pa.array(
            [None if t is None else json.dumps(t, ensure_ascii=False) for t in texts.to_pylist()], pa.string()
        )
    return _enclose(texts, '"', '"')


def _is_number(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
