"""The shortest way for sequences of ids from lists of integers; it returns None where it cannot go.

Legend: P features, B rows.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import Identity
from tzx.runtime.features.node import Node
from tzx.runtime.features.operators.id import IdOperator
from tzx.runtime.features.outputs import SparseOutput
from tzx.runtime.features.ragged import Ragged, ones
from tzx.runtime.features.text_columns import table_rows

ALL = 2**31 - 1


def takes_lists(node: Node, kind: pa.DataType) -> bool:
    """Whether this is the way to make a feature of one column of this type: a sequence with one id per element."""
    if not (pt.is_list(kind) or pt.is_large_list(kind)) or not pt.is_int64(kind.value_type):
        return False
    layout, output = node.layouts[0], node.output
    sequence = layout.delimiter is not None and layout.fill_rows and not layout.weighted and not layout.pairs
    return (
        sequence
        and isinstance(node.operator, IdOperator)
        and node.operator.value_type not in ("float", "double")
        and isinstance(output, SparseOutput)
        and isinstance(output.bucketizer, Identity)
        and len(output.default) == 1
    )


def make_from_lists(nodes: Sequence[Node], columns: Sequence[pa.Array]) -> list[Ragged] | None:
    """Values of features with equal recipes for which `takes_lists` holds, or None where there are nulls or bad ids."""
    from tzx.runtime.features.kernels import list_columns

    if any(array.values.null_count for array in columns):
        return None
    outputs = [node.output for node in nodes if isinstance(node.output, SparseOutput)]
    rows = len(columns[0])
    ids, lengths, bounds = list_columns.take_lists(
        _places(columns),
        rows,
        (pt.is_large_list(columns[0].type), nodes[0].layouts[0].max_elements or ALL),
        np.array([table_rows(output.bucketizer) for output in outputs], np.int64),
        np.array([output.default[0] for output in outputs], np.int64),
    )
    at = bounds.tolist()
    if at[-1] < 0:
        return None
    single = ones(len(ids))
    return [
        Ragged(
            ids[at[i] : at[i + 1]],
            single[at[i] : at[i + 1]],
            lengths[i * rows : (i + 1) * rows],
            column=node.inputs[0].column,
        )
        for i, node in enumerate(nodes)
    ]


def _places(columns: Sequence[pa.Array]) -> Int64:
    """Where the kernels find the columns, which must outlive the call."""
    width = 8 if pt.is_large_list(columns[0].type) else 4
    places = []
    for array in columns:
        valid, offsets, *_ = array.buffers()
        first, items = array.offset, array.values
        address = items.buffers()[1].address + 8 * items.offset if len(items) else 0
        places.append(
            (address, offsets.address + width * first, valid.address if valid is not None else 0, first),
        )
    return np.array(places, np.int64)
