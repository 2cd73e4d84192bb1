"""The shortest way for the two most common kinds of features, both from text: hashed words, and one number.

What takes the general way a dozen calls over all values is one pass here. Both ways give the same; this one returns
None where it cannot.

Legend: P features, B rows, D default values of each.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tzx.runtime.features import arrow
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import Hash
from tzx.runtime.features.node import Node
from tzx.runtime.features.operators.id import IdOperator
from tzx.runtime.features.operators.raw import RawOperator
from tzx.runtime.features.outputs import DenseOutput, SparseOutput
from tzx.runtime.features.ragged import Float32, Ragged, ones

NUMERIC = b"0123456789.-"


def make_from_text(nodes: Sequence[Node], columns: Sequence[pa.Array]) -> list[Ragged] | None:
    """Values of features with equal recipes, or None where this is not the way to make them."""
    first, layout = nodes[0], nodes[0].layouts[0]
    plain = layout.delimiter is None and len(layout.separator) == 1 and not layout.weighted and not layout.pairs
    if not plain or not arrow.is_text(columns[0].type):
        return None
    operator, output = first.operator, first.output
    if isinstance(operator, IdOperator) and isinstance(output, SparseOutput) and isinstance(output.bucketizer, Hash):
        return _hashed(nodes, columns) if operator.value_type in ("", "string") else None
    if isinstance(operator, RawOperator) and isinstance(output, DenseOutput) and operator.width == output.width == 1:
        return _numbers(nodes, columns) if layout.separator not in NUMERIC else None
    return None


def _hashed(nodes: Sequence[Node], columns: Sequence[pa.Array]) -> list[Ragged]:
    from tzx.runtime.features.kernels import text_columns

    operator = nodes[0].operator
    assert isinstance(operator, IdOperator)
    outputs = [node.output for node in nodes if isinstance(node.output, SparseOutput)]
    hashes = [output.bucketizer for output in outputs if isinstance(output.bucketizer, Hash)]
    rows = len(columns[0])
    ids, lengths, bounds = text_columns.hash_columns(
        _places(columns),
        rows,
        (nodes[0].layouts[0].separator[0], operator.value_dim),
        np.array([bucketizer.buckets for bucketizer in hashes], np.int64),
        np.stack([output.default for output in outputs]).astype(np.int64),
        (arrow.is_wide(columns[0].type), hashes[0].farm),
    )
    at = bounds.tolist()
    return [
        Ragged(ids[at[i] : at[i + 1]], lengths[i * rows : (i + 1) * rows], column=node.inputs[0].column)
        for i, node in enumerate(nodes)
    ]


def _numbers(nodes: Sequence[Node], columns: Sequence[pa.Array]) -> list[Ragged] | None:
    from tzx.runtime.features.kernels import text_columns

    operator = nodes[0].operator
    assert isinstance(operator, RawOperator)
    rows = len(columns[0])
    numbers, missing, plain = text_columns.parse_columns(_places(columns), rows, arrow.is_wide(columns[0].type))
    defaults = np.stack([node.output.default for node in nodes if isinstance(node.output, DenseOutput)])
    if not plain or (len(missing) and not defaults.size):
        return None
    if operator.normalizer is not None:
        numbers = operator.normalizer(numbers)
    with np.errstate(over="ignore"):
        made: Float32 = numbers.astype(np.float32)
    if len(missing):
        made[missing] = defaults[missing // rows, 0]
    lengths = ones(rows)
    return [
        Ragged(made[i * rows : (i + 1) * rows], lengths, column=node.inputs[0].column) for i, node in enumerate(nodes)
    ]


def _places(columns: Sequence[pa.Array]) -> Int64:
    """Where the kernels find the columns, which must outlive the call."""
    places = []
    for array in columns:
        valid, offsets, data = array.buffers()
        width = 8 if arrow.is_wide(array.type) else 4
        places.append(
            (
                data.address if data is not None else 0,
                data.size if data is not None else 0,
                offsets.address + width * array.offset,
                valid.address if valid is not None else 0,
                array.offset,
            )
        )
    return np.array(places, np.int64)
