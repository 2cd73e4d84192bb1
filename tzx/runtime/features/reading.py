"""From an input column to slots of values: separators, lists, maps, sequences, weights.

Null, empty text, an empty list and an empty map are all the same: a slot without values.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tzx.runtime.features import arrow
from tzx.runtime.features.arrays import Float32, Int32, Int64
from tzx.runtime.features.arrow import WrongType
from tzx.runtime.features.numbers import to_float32, to_strings
from tzx.runtime.features.ragged import (
    BadValue,
    Bool,
    Ragged,
    Strings,
    Values,
    bad_value,
    counts_of_kept,
    fill_empty_rows,
    head_elements,
    ones,
)

COLON = 58
NO_VALUES: Values = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Layout:
    """How the values of a column are written.

    Args:
        separator: between the values of one slot; empty when text is one value however it reads.
        delimiter: between the elements of a sequence; None when the column holds none.
        drop_empty: leave empty values out (ids); otherwise one is an error, because the others would move up.
        max_elements: elements kept of each sequence.
        fill_rows: an empty sequence has one missing element, where the default goes.
        weighted: values are `id:weight`.
        map_keys: a map stands for its keys; otherwise for `key:value` texts.
        pairs: values are `key:value`, or entries of a map, read as keys with items.
        key_end: byte that ends the key of a pair, if it is not the last colon.
    """

    separator: bytes
    delimiter: bytes | None = None
    drop_empty: bool = True
    max_elements: int | None = None
    fill_rows: bool = False
    weighted: bool = False
    map_keys: bool = False
    pairs: bool = False
    key_end: int = 0


def read(array: pa.Array | pa.ChunkedArray, layout: Layout, column: str, skip: Int64 | None = None) -> Ragged:
    """Read a whole column; slots numbered in `skip`, as before any are cut off or put in, are taken as missing.

    Raises:
        WrongType: the column's type cannot be read this way.
        BadValue: a value cannot be read.
    """
    array = arrow.plain(array)
    if layout.delimiter is None:
        return _read_slots(_nulled(array, skip), layout, column)
    ragged = _read_sequences(array, layout, column, skip)
    ragged = head_elements(ragged, layout.max_elements)
    return fill_empty_rows(ragged) if layout.fill_rows else ragged


def _nulled(array: pa.Array, skip: Int64 | None) -> pa.Array:
    """The array with nulls at the places in `skip`."""
    if skip is None or not len(skip):
        return array
    mask = np.zeros(len(array), bool)
    mask[skip] = True
    return array.take(pa.array(np.arange(len(array), dtype=np.int64), mask=mask))


def _split(strings: Strings, separator: bytes, drop_empty: bool, limit: int = 0) -> tuple[Strings, Int32]:
    if not separator:
        filled = strings.ends > strings.starts
        return strings[filled], filled.astype(np.int32)
    from tzx.runtime.features.kernels import text

    starts, ends, counts = text.split(
        strings.data, strings.starts, strings.ends, arrow.mask_of_bytes(separator), drop_empty, limit
    )
    return Strings(strings.data, starts, ends), counts


def split_values(values: Strings, separator: bytes, like: Ragged) -> Ragged:
    """Split every value of `like`, given as text, into several in the same slot; empty ones are kept."""
    tokens, counts = _split(values, separator, False)
    running = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=running[1:])
    ends = np.cumsum(like.lengths, dtype=np.int64)
    lengths = (running[ends] - running[ends - like.lengths]).astype(np.int32)
    return replace(like, values=tokens, lengths=lengths, items=None)


def _read_slots(array: pa.Array, layout: Layout, column: str, seq_lengths: Int32 | None = None) -> Ragged:
    """One slot per item of the array; `seq_lengths` says how many of them each row has."""
    kind = array.type
    if arrow.is_text(kind):
        return _read_tokens(arrow.strings_of(array), layout, column, seq_lengths)
    if arrow.is_direct(kind) and not layout.weighted and not layout.pairs:
        values, valid = arrow.scalars_of(array)
        lengths = ones(len(array)) if valid is None else valid.astype(np.int32)
        return Ragged(values, lengths, seq_lengths, column=column)
    if pt.is_map(kind):
        return _read_maps(array, layout, column, seq_lengths)
    if arrow.is_list(kind):
        return _read_lists(array, layout, column, seq_lengths)
    values, valid = arrow.scalars_of(array)
    if layout.weighted and seq_lengths is None and not isinstance(values, Strings):
        raise WrongType(f"{kind}, and a weighted feature needs text `id:weight` or a map")
    lengths = ones(len(array)) if valid is None else valid.astype(np.int32)
    return _split_tokens(Ragged(values, lengths, seq_lengths, column=column), layout)


def _read_tokens(strings: Strings, layout: Layout, column: str, seq_lengths: Int32 | None) -> Ragged:
    """Split the text of every slot into values."""
    tokens, lengths = _split(strings, layout.separator, layout.drop_empty)
    return _split_tokens(Ragged(tokens, lengths, seq_lengths, column=column), layout)


def _split_tokens(ragged: Ragged, layout: Layout) -> Ragged:
    """Take apart tokens that have two parts."""
    if layout.weighted:
        return _split_weights(ragged)
    return split_pairs(ragged, layout.key_end) if layout.pairs else ragged


def _read_lists(array: pa.Array, layout: Layout, column: str, seq_lengths: Int32 | None) -> Ragged:
    """One list per slot; nulls and empty texts among the items are left out or refused."""
    items, lengths = arrow.list_parts(array)
    values, valid = arrow.scalars_of(items)
    if layout.weighted and seq_lengths is None and not isinstance(values, Strings) and len(values):
        raise WrongType(f"{array.type}, and a weighted feature needs text `id:weight` or a map")
    keep = _worth_keeping(values, valid)
    ragged = Ragged(values, lengths, seq_lengths, column=column)
    if keep is not None:
        if not layout.drop_empty:
            problem = "null or empty text in a list where every item has its place"
            raise bad_value(ragged, int(np.argmin(keep)), problem, lambda: np.flatnonzero(~keep))
        ragged = replace(ragged, values=_without_empty(values), lengths=counts_of_kept(keep, lengths))
    return _split_tokens(ragged, layout)


def _worth_keeping(values: Values, valid: Bool | None) -> Bool | None:
    """Which items are neither null nor empty, over all items; None when every one is."""
    if not isinstance(values, Strings):
        return valid
    filled = values.ends > values.starts
    if filled.all():
        return valid
    if valid is None:
        return filled
    keep = valid.copy()
    keep[valid] = filled
    return keep


def _without_empty(values: Values) -> Values:
    return values[values.ends > values.starts] if isinstance(values, Strings) else values


def _cut(tokens: Strings, key_end: int = 0) -> tuple[Strings, Strings, Bool]:
    """What comes before and after the last colon, or the first `key_end`, and where there is one."""
    from tzx.runtime.features.kernels import text

    search, byte = (text.find_first, key_end) if key_end else (text.find_last, COLON)
    places = search(tokens.data, tokens.starts, tokens.ends, byte)
    found = places < tokens.ends
    before = Strings(tokens.data, tokens.starts, places)
    return before, Strings(tokens.data, np.where(found, places + 1, places), tokens.ends), found


def split_pairs(ragged: Ragged, key_end: int = 0) -> Ragged:
    """Cut `key:value` at its last colon, or at the first byte `key_end`; without one the value is empty."""
    keys, items, _ = _cut(to_strings(ragged.values), key_end)
    return replace(ragged, values=keys, items=items)


def _split_weights(ragged: Ragged) -> Ragged:
    """Cut `id:weight` at its last colon; without one the weight is 1."""
    tokens = ragged.values
    weights = np.ones(len(tokens), np.float32)
    if not isinstance(tokens, Strings):
        return replace(ragged, weights=weights)
    ids, texts, weighted = _cut(tokens)
    written = texts[weighted]
    try:
        lengths = counts_of_kept(weighted, ragged.lengths)
        weights[weighted] = to_float32(Ragged(written, lengths, ragged.seq_lengths))
    except BadValue as error:
        wrong = BadValue(ragged.column, error.row, f"weight {error.problem}")
        wrong.slots, wrong.of_elements = error.slots, error.of_elements
        raise wrong from None
    return replace(ragged, values=ids, weights=weights)


def _read_maps(array: pa.MapArray, layout: Layout, column: str, seq_lengths: Int32 | None) -> Ragged:
    keys, items, lengths = arrow.map_parts(array)
    if layout.pairs:
        return _map_pairs(keys, items, Ragged(NO_VALUES, lengths, seq_lengths, column=column))
    if layout.weighted:
        values, _ = arrow.scalars_of(keys)
        return Ragged(values, lengths, seq_lengths, weights=_map_weights(items), column=column)
    if layout.map_keys:
        return Ragged(arrow.scalars_of(keys)[0], lengths, seq_lengths, column=column)
    pairs = pc.binary_join_element_wise(keys.cast(pa.string()), items.cast(pa.string()).fill_null(""), ":")
    return Ragged(arrow.strings_of(pairs), lengths, seq_lengths, column=column)


def _map_pairs(keys: pa.Array, items: pa.Array, ragged: Ragged) -> Ragged:
    """Entries of maps; one whose item is null is left out."""
    values, valid = arrow.scalars_of(items)
    words = to_strings(arrow.scalars_of(keys)[0])
    if valid is None:
        return replace(ragged, values=words, items=values)
    return replace(ragged, values=words[valid], items=values, lengths=counts_of_kept(valid, ragged.lengths))


def _map_weights(items: pa.Array) -> Float32:
    if not (pt.is_integer(items.type) or pt.is_floating(items.type)):
        raise WrongType(f"map to {items.type}, and weights must be numbers")
    return arrow.view(items.cast(pa.float32()).fill_null(1.0), np.float32)


def _read_sequences(array: pa.Array, layout: Layout, column: str, skip: Int64 | None) -> Ragged:
    kind = array.type
    if arrow.is_text(kind):
        assert layout.delimiter is not None
        strings = arrow.strings_of(array)
        elements, seq_lengths = _split(strings, layout.delimiter, False, layout.max_elements or 0)
        if skip is not None and len(skip):
            ends = elements.ends.copy()
            ends[skip] = elements.starts[skip]
            elements = replace(elements, ends=ends)
        return _read_tokens(elements, layout, column, seq_lengths)
    if pt.is_map(kind):
        raise WrongType(f"{kind}, and a sequence is text or a list")
    if not arrow.is_list(kind):
        values, valid = arrow.scalars_of(array)
        seq_lengths = ones(len(array)) if valid is None else valid.astype(np.int32)
        return Ragged(values, ones(len(values)), seq_lengths, column=column)
    items, seq_lengths = arrow.list_parts(array)
    return _read_slots(_nulled(arrow.plain(items), skip), layout, column, seq_lengths)
