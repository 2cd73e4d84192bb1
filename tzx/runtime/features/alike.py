"""Features that differ in little but their columns, made together.

A feature of a few thousand rows takes a tenth of a millisecond, and half of that is the price of the calls, whatever
the rows. So columns that are read alike are laid end to end and go through the stages as one, which is possible because
no stage looks beyond a slot. The calls are fewer and longer then, and threads get in each other's way less.

Legend: P features of a portion, B rows.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tzx.runtime.features import arrow
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import Bucketizer, Hash, Identity
from tzx.runtime.features.node import Node
from tzx.runtime.features.numbers import to_ints
from tzx.runtime.features.operators.id import IdOperator
from tzx.runtime.features.operators.raw import RawOperator
from tzx.runtime.features.outputs import DenseOutput, SparseOutput
from tzx.runtime.features.ragged import Ragged, Strings, cut_rows, fill_missing, value_bounds
from tzx.runtime.features.reading import read
from tzx.runtime.features.source import Source
from tzx.runtime.features.text_columns import make_from_text

# What is large already gains nothing, and stays in no cache when there is more of it.
MOST_BYTES = 1 << 19


@dataclass(frozen=True)
class Portion:
    """Features that are made together from `columns`, one each; a single one has none."""

    nodes: tuple[Node, ...]
    columns: tuple[pa.Array, ...] = ()


def alike(nodes: Sequence[Node]) -> list[tuple[Node, ...]]:
    """Nodes in groups that can be made together; most groups have one member."""
    readers: dict[Hashable, int] = {}
    for node in nodes:
        for read_ in zip(node.inputs, node.layouts, strict=True):
            readers[read_] = readers.get(read_, 0) + 1
    groups: dict[Hashable, list[Node]] = {}
    for at, node in enumerate(nodes):
        # A column that several features read in the same way is read once for all of them, by the source.
        shared = any(readers[read_] > 1 for read_ in zip(node.inputs, node.layouts, strict=True))
        groups.setdefault(at if shared else (_recipe(node) or at), []).append(node)
    return [tuple(group) for group in groups.values()]


def _recipe(node: Node) -> Hashable:
    """Equal for nodes that can be made together; None for one that has to be made by itself."""
    plain = len(node.inputs) == 1 and bool(node.inputs[0].column)
    masked = getattr(node.feature.config, "use_mask", False)
    if not plain or masked or not isinstance(node.operator, IdOperator | RawOperator | None):
        return None
    output = node.output
    if isinstance(output, DenseOutput):
        return node.layouts, node.operator, output.width, len(output.default)
    if isinstance(output, SparseOutput):
        farm = isinstance(output.bucketizer, Hash) and output.bucketizer.farm
        return node.layouts, node.operator, type(output.bucketizer), farm, len(output.default)
    return None


def portions(groups: Sequence[tuple[Node, ...]], source: Source) -> Iterator[Portion]:
    """The members of every group, some at a time, whose columns are of one type and small."""
    rows = source.batch.num_rows
    for group in groups:
        waiting: dict[pa.DataType, list[tuple[Node, pa.Array]]] = {}
        sizes: dict[pa.DataType, int] = {}
        for node in group:
            array = source.find(node.inputs[0].column) if len(group) > 1 and rows else None
            if array is None:
                yield Portion((node,))
                continue
            array = arrow.plain(array)
            kind, own = array.type, arrow.size_of(array)
            size = sizes.get(kind, 0) + own
            if kind in waiting and size > MOST_BYTES:
                yield _portion(waiting.pop(kind))
                size = own
            waiting.setdefault(kind, []).append((node, array))
            sizes[kind] = size
        yield from map(_portion, waiting.values())


def _portion(members: Sequence[tuple[Node, pa.Array]]) -> Portion:
    nodes, columns = zip(*members, strict=True)
    return Portion(nodes, columns if len(nodes) > 1 else ())


def make_together(portion: Portion) -> list[Ragged]:
    """Values of every feature.

    Raises:
        BadValue, WrongType, ArrowException: something is wrong with one of them; its row means nothing.
    """
    short = make_from_text(portion.nodes, portion.columns)
    if short is not None:
        return short
    first = portion.nodes[0]
    ragged = first.values([read(pa.concat_arrays(portion.columns), first.layouts[0], "")])
    # Equal recipes have defaults of equal length.
    default = np.stack([node.output.default for node in portion.nodes])
    if isinstance(first.output, DenseOutput):
        made = replace(first.output, default=default)(ragged)
    else:
        ids = _ids([node.output.bucketizer for node in portion.nodes if isinstance(node.output, SparseOutput)], ragged)
        made = fill_missing(replace(ragged, values=ids), default)
    return cut_rows(made, len(portion.nodes))


def _ids(bucketizers: Sequence[Bucketizer], ragged: Ragged) -> Int64:
    """Rows of the tables for the values of every feature, end to end."""
    bounds = value_bounds(ragged, len(bucketizers))
    strings = ragged.values
    if isinstance(bucketizers[0], Hash) and isinstance(strings, Strings):
        from tzx.runtime.features.kernels import hashing

        buckets = np.array([bucketizer.buckets for bucketizer in bucketizers if isinstance(bucketizer, Hash)], np.int64)
        places = np.array(bounds, np.int64)
        return hashing.hash_parts((strings.data, strings.starts, strings.ends), places, buckets, bucketizers[0].farm)
    values = to_ints(ragged) if isinstance(bucketizers[0], Identity) else ragged.values
    each = [Ragged(values[first:last], ragged.lengths) for first, last in pairwise(bounds)]
    return np.concatenate([bucketizer(part) for bucketizer, part in zip(bucketizers, each, strict=True)])
