"""The shortest way for the most common kinds of features from text: hashed words, written ids, and one number.

What takes the general way a dozen calls over all values is one pass here. Both ways give the same; this one returns
None where it cannot.

Legend: P features, B rows, D default values of each.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tzx.runtime.features import arrow
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import Bucketizer, Hash, Identity
from tzx.runtime.features.node import Node
from tzx.runtime.features.operators.id import IdOperator
from tzx.runtime.features.operators.raw import RawOperator
from tzx.runtime.features.outputs import DenseOutput, SparseOutput
from tzx.runtime.features.ragged import Float32, Ragged, ones

NUMERIC = b"0123456789.-"


def takes_text(node: Node, kind: pa.DataType) -> bool:
    """Whether this is the way to make a feature of one column of this type."""
    layout = node.layouts[0]
    plain = layout.delimiter is None and len(layout.separator) == 1 and not layout.weighted and not layout.pairs
    if not plain or not arrow.is_text(kind):
        return False
    operator, output = node.operator, node.output
    if isinstance(output, SparseOutput):
        words = operator.value_type in ("", "string") if isinstance(operator, IdOperator) else operator is None
        return words and layout.drop_empty and isinstance(output.bucketizer, Hash | Identity)
    if isinstance(output, DenseOutput) and output.width == 1 and layout.separator not in NUMERIC:
        return operator.width == 1 if isinstance(operator, RawOperator) else operator is None
    return False


def make_from_text(nodes: Sequence[Node], columns: Sequence[pa.Array]) -> list[Ragged] | None:
    """Values of features with equal recipes for which `takes_text` holds, or None where a value is not written so."""
    return _ids(nodes, columns) if isinstance(nodes[0].output, SparseOutput) else _numbers(nodes, columns)


def _ids(nodes: Sequence[Node], columns: Sequence[pa.Array]) -> list[Ragged] | None:
    from tzx.runtime.features.kernels import text_columns

    operator = nodes[0].operator
    outputs = [node.output for node in nodes if isinstance(node.output, SparseOutput)]
    bucketizers = [output.bucketizer for output in outputs]
    rows = len(columns[0])
    limit = operator.value_dim if isinstance(operator, IdOperator) else 0
    ids, lengths, bounds = text_columns.make_ids(
        _places(columns),
        rows,
        (nodes[0].layouts[0].separator[0], limit),
        np.array([table_rows(bucketizer) for bucketizer in bucketizers], np.int64),
        np.stack([output.default for output in outputs]).astype(np.int64),
        (arrow.is_wide(columns[0].type), _way(bucketizers[0])),
    )
    at = bounds.tolist()
    if at[-1] < 0:
        return None
    return [
        Ragged(ids[at[i] : at[i + 1]], lengths[i * rows : (i + 1) * rows], column=node.inputs[0].column)
        for i, node in enumerate(nodes)
    ]


def table_rows(bucketizer: Bucketizer) -> int:
    """What ids have to be below; 0 for any."""
    return bucketizer.buckets if isinstance(bucketizer, Hash) else bucketizer.rows


def _way(bucketizer: Bucketizer) -> int:
    from tzx.runtime.features.kernels import text_columns

    if not isinstance(bucketizer, Hash):
        return text_columns.NUMBER
    return text_columns.FARM if bucketizer.farm else text_columns.MURMUR


def _numbers(nodes: Sequence[Node], columns: Sequence[pa.Array]) -> list[Ragged] | None:
    from tzx.runtime.features.kernels import text_columns

    rows = len(columns[0])
    numbers, missing, plain = text_columns.parse_columns(_places(columns), rows, arrow.is_wide(columns[0].type))
    defaults = np.stack([node.output.default for node in nodes if isinstance(node.output, DenseOutput)])
    if not plain or (len(missing) and not defaults.size):
        return None
    operator = nodes[0].operator
    if isinstance(operator, RawOperator) and operator.normalizer is not None:
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
    width = 8 if arrow.is_wide(columns[0].type) else 4
    places = []
    for array in columns:
        valid, offsets, data = array.buffers()
        first = array.offset
        text = (data.address, data.size) if data is not None else (0, 0)
        places.append((*text, offsets.address + width * first, valid.address if valid is not None else 0, first))
    return np.array(places, np.int64)
