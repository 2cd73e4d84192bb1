"""Embedded rows of a batch, in as few tensors as the groups allow.

TorchRec returns all bags of a collection as one wide tensor. Taken apart feature by feature and joined again for each
group, it would be copied several times a step, forwards and backwards; so lookups that every group lists side by side
stay together in one tensor, a *run*.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from tzx.runtime.embedding.specs import Lookup

Run = tuple[Lookup, ...]


class Neighbours:
    """Which lookups stand side by side wherever they are used."""

    def __init__(self) -> None:
        self._before: dict[Lookup, set[Lookup | None]] = defaultdict(set)
        self._after: dict[Lookup, set[Lookup | None]] = defaultdict(set)

    def add(self, columns: Sequence[Lookup | None]) -> None:
        """Take in the columns of one user in their order, None for anything that is not a lookup."""
        for left, right in zip((None, *columns), (*columns, None), strict=True):
            if left is not None:
                self._after[left].add(right)
            if right is not None:
                self._before[right].add(left)

    def runs(self, lookups: Sequence[Lookup]) -> list[Run]:
        """Cut lookups, in the order in which their rows lie, wherever a user would take them apart."""
        runs: list[list[Lookup]] = []
        for lookup in lookups:
            if runs and self._always_together(runs[-1][-1], lookup):
                runs[-1].append(lookup)
            else:
                runs.append([lookup])
        return [tuple(run) for run in runs]

    def _always_together(self, left: Lookup, right: Lookup) -> bool:
        # Bags that are averaged are divided one by one.
        if "mean" in (left.pooling, right.pooling):
            return False
        return self._after[left] == {right} and self._before[right] == {left}


class EmbeddedRows:
    """Tensors by run.

    Args:
        by_run: [B, sum of widths] of runs of bags, [M, width] of lookups of elements.
    """

    def __init__(self, by_run: Mapping[Run, Tensor]) -> None:
        self._by_first = {run[0]: (run, tensor) for run, tensor in by_run.items()}

    def __getitem__(self, lookup: Lookup) -> Tensor:
        """The rows of a lookup that forms a run of its own."""
        (tensor,) = self.pieces((lookup,))
        return tensor

    def pieces(self, lookups: Sequence[Lookup]) -> Iterator[Tensor]:
        """Tensors that hold the rows of neighbouring columns, in order."""
        at = 0
        while at < len(lookups):
            run, tensor = self._by_first[lookups[at]]
            assert tuple(lookups[at : at + len(run)]) == run, "runs are cut where a user needs it"
            at += len(run)
            yield tensor
