"""Features that differ in little but their columns, made together.

A feature of a few thousand rows takes a tenth of a millisecond, and half of that is the price of the calls, whatever
the rows. So columns that are read alike are laid end to end and go through the stages as one, which is possible because
no stage looks beyond a slot. The calls are fewer and longer then, and threads get in each other's way less.

Legend: P features of a portion, B rows.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tzx.runtime.features import arrow
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import Bucketizer, Hash, Identity
from tzx.runtime.features.list_columns import make_from_lists, takes_lists
from tzx.runtime.features.node import Node
from tzx.runtime.features.numbers import to_ints
from tzx.runtime.features.operators.id import IdOperator
from tzx.runtime.features.operators.raw import RawOperator
from tzx.runtime.features.outputs import DenseOutput, SparseOutput
from tzx.runtime.features.ragged import BadValue, Ragged, Strings, cut_rows, fill_missing, value_bounds
from tzx.runtime.features.reading import read
from tzx.runtime.features.source import Source
from tzx.runtime.features.text_columns import make_from_text, takes_text

ShortWay = Callable[[Sequence[Node], Sequence[pa.Array]], list[Ragged] | None]

# What is large already gains nothing, and stays in no cache when there is more of it.
MOST_BYTES = 1 << 19


@dataclass(frozen=True)
class Group:
    """Nodes that can be made together; a single one that reads in its own way has no `recipe`."""

    nodes: tuple[Node, ...]
    recipe: bool


@dataclass(frozen=True)
class Portion:
    """Features that are made at once from `columns`, one each; without columns, from whatever they read."""

    nodes: tuple[Node, ...]
    columns: tuple[pa.Array, ...] = ()


def alike(nodes: Sequence[Node]) -> list[Group]:
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
    return [Group(tuple(group), not isinstance(key, int)) for key, group in groups.items()]


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


def portions(groups: Sequence[Group], source: Source) -> Iterator[Portion]:
    """The members of every group, by the type of their columns, and not more at a time than is good."""
    rows = source.batch.num_rows
    for group in groups:
        kinds: dict[pa.DataType, list[tuple[Node, pa.Array]]] = {}
        for node in group.nodes:
            array = source.find(node.inputs[0].column) if group.recipe and rows else None
            if array is None:
                yield Portion((node,))
                continue
            array = arrow.plain(array)
            kinds.setdefault(array.type, []).append((node, array))
        for kind, members in kinds.items():
            yield from [_portion(members)] if _short_way(members[0][0], kind) else _by_size(members)


def _by_size(members: Sequence[tuple[Node, pa.Array]]) -> Iterator[Portion]:
    waiting: list[tuple[Node, pa.Array]] = []
    size = 0
    for node, array in members:
        own = arrow.size_of(array)
        if waiting and size + own > MOST_BYTES:
            yield _portion(waiting)
            waiting, size = [], 0
        waiting.append((node, array))
        size += own
    if waiting:
        yield _portion(waiting)


def _portion(members: Sequence[tuple[Node, pa.Array]]) -> Portion:
    nodes, columns = zip(*members, strict=True)
    return Portion(nodes, columns)


def _short_way(node: Node, kind: pa.DataType) -> ShortWay | None:
    """What makes features of one column of this type in one pass, however many they are."""
    if takes_text(node, kind):
        return make_from_text
    return make_from_lists if takes_lists(node, kind) else None


def make_together(portion: Portion) -> list[Ragged] | None:
    """Values of every feature; None where it is no use to make them together.

    Raises:
        BadValue, WrongType, ArrowException: something is wrong with one of them; its row means nothing.
    """
    if not portion.columns:
        return None
    first = portion.nodes[0]
    short_way = _short_way(first, portion.columns[0].type)
    short = short_way(portion.nodes, portion.columns) if short_way else None
    if short is not None or len(portion.nodes) == 1:
        return short
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
    if isinstance(bucketizers[0], Identity):
        ids = to_ints(ragged)
        _check(ids, np.array(bounds, np.int64), np.array([bucketizer.rows for bucketizer in bucketizers], np.int64))
        return ids
    values = ragged.values
    each = [Ragged(values[first:last], ragged.lengths) for first, last in pairwise(bounds)]
    return np.concatenate([bucketizer(part) for bucketizer, part in zip(bucketizers, each, strict=True)])


def _check(ids: Int64, bounds: Int64, rows: Int64) -> None:
    """Refuse ids that are beyond the rows [P] of their table (0: any), in one pass over all of them."""
    filled = bounds[1:] > bounds[:-1]
    if not filled.any():
        return
    # As unsigned, a negative id is larger than any allowed one.
    largest = np.maximum.reduceat(ids.view(np.uint64), bounds[:-1][filled])
    limits = rows[filled]
    if ((limits > 0) & (largest >= limits.view(np.uint64))).any():
        raise BadValue("", None, "an id is out of range")
